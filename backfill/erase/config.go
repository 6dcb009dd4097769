package erase

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// Config is everything an Eraser needs. ClickHouse and Leads are required.
type Config struct {
	// ClickHouse is the connection pool to work through; native protocol. Two connections are used at a time: a mutation,
	// and how far it is. It is not closed.
	ClickHouse driver.Conn

	// Database holds the warehouse. Defaults to "leadron".
	Database string

	// Leads are the IDs of the leads to erase.
	Leads []string

	// DryRun counts what would be blanked, and changes nothing.
	DryRun bool

	// SettleFor is how long after the tombstone a sink may still write rows that are not blank: two of its schema reload
	// intervals, and the time an insert takes. Defaults to 30 s, for reload intervals of up to 10 s.
	SettleFor time.Duration

	// WaitFor is how long one mutation may take, on all replicas. Defaults to 1 hour: a mutation rewrites the columns of every
	// part that holds one of the rows, and waits its turn behind merges and other mutations.
	WaitFor time.Duration

	// Progress is told how far the work is. Defaults to nobody.
	Progress progress

	// Logger gets one line per event. Defaults to silence.
	Logger zerolog.Logger
}

// progress is told how far a piece of work is, one piece at a time, between Start and Done. total is an estimate. Nothing
// it does may fail or block the work. backfill's bars and lines are such.
type progress interface {
	Start(what string, total uint64)
	Add(rows int)
	Done()
}

type silence struct{}

func (silence) Start(string, uint64) {}
func (silence) Add(int)              {}
func (silence) Done()                {}

// Defaults is what an empty Config stands for.
func Defaults() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	c.Database = cmp.Or(c.Database, "leadron")
	c.SettleFor = cmp.Or(c.SettleFor, 30*time.Second)
	c.WaitFor = cmp.Or(c.WaitFor, time.Hour)
	if c.Progress == nil {
		c.Progress = silence{}
	}
	leads := slices.Clone(c.Leads)
	slices.Sort(leads)
	c.Leads = slices.Compact(leads)
	return c
}

// validate names every field that is wrong, at once. It is called on a Config with its defaults.
func (c Config) validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("erase: "+format, args...))
		}
	}
	wrong(c.ClickHouse == nil, "ClickHouse: a connection is needed")
	if err := schema.CheckDatabase(c.Database); err != nil {
		wrong(true, "Database: %w", err)
	}
	wrong(len(c.Leads) == 0, "Leads: the ID of a lead is needed")
	for _, lead := range c.Leads {
		if err := schema.CheckLead(lead); err != nil {
			wrong(true, "Leads: %w", err)
			break // the same of all
		}
	}
	wrong(c.SettleFor < 0, "SettleFor: %v is negative", c.SettleFor)
	wrong(c.WaitFor < 0, "WaitFor: %v is negative", c.WaitFor)
	return errors.Join(errs...)
}

// Eraser is one run to be.
type Eraser struct{ cfg Config }

// New checks the configuration and fills in its defaults. Nothing is dialled.
func New(cfg Config) (*Eraser, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Eraser{cfg}, nil
}

// name is a table's full name. Both parts are checked by schema to need no quotes; it quotes them all the same.
func (e *Eraser) name(table string) string { return "`" + e.cfg.Database + "`.`" + table + "`" }
