package deadletters

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// Config is everything a Table needs. ClickHouse is required.
type Config struct {
	// ClickHouse is the connection pool to work through; native protocol. One connection is used at a time. It is not closed.
	ClickHouse driver.Conn

	// Database holds the warehouse. Defaults to "leadron".
	Database string

	// ChunkRows and ChunkBytes end a chunk: what is read, typed and inserted together, and what a replay that is killed
	// repeats. They default to 1,000 and 8 MiB: letters are few, and a chunk that is refused is halved down to its guilty rows.
	ChunkRows, ChunkBytes int

	// QueryTimeout bounds one statement. Defaults to 1 minute.
	QueryTimeout time.Duration

	// RetryMin and RetryMax are the shortest and the longest pause between two attempts. They default to 200 ms and 15 s.
	RetryMin, RetryMax time.Duration

	// RetryFor is how long ClickHouse may be away before a replay or discard gives up. Defaults to 5 minutes: a restart.
	RetryFor time.Duration

	// Progress is told how far a replay or discard is. Defaults to nobody.
	Progress progress

	// Logger gets one line per fault. Defaults to silence.
	Logger zerolog.Logger
}

// progress is told how far a piece of work is. One piece at a time, between Start and Done. Nothing it does may fail or
// block the work. backfill's bars and lines are such.
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
	c.ChunkRows = cmp.Or(c.ChunkRows, 1000)
	c.ChunkBytes = cmp.Or(c.ChunkBytes, 8<<20)
	c.QueryTimeout = cmp.Or(c.QueryTimeout, time.Minute)
	c.RetryMin = cmp.Or(c.RetryMin, 200*time.Millisecond)
	c.RetryMax = cmp.Or(c.RetryMax, max(15*time.Second, c.RetryMin))
	c.RetryFor = cmp.Or(c.RetryFor, 5*time.Minute)
	if c.Progress == nil {
		c.Progress = silence{}
	}
	return c
}

// validate names every field that is wrong, at once. It is called on a Config with its defaults.
func (c Config) validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("deadletters: "+format, args...))
		}
	}
	wrong(c.ClickHouse == nil, "ClickHouse: a connection is needed")
	if err := schema.CheckDatabase(c.Database); err != nil {
		wrong(true, "Database: %w", err)
	}
	wrong(c.ChunkRows < 1, "ChunkRows: %d is not positive", c.ChunkRows)
	wrong(c.ChunkBytes < 1, "ChunkBytes: %d is not positive", c.ChunkBytes)
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"QueryTimeout", c.QueryTimeout}, {"RetryMin", c.RetryMin}, {"RetryMax", c.RetryMax}, {"RetryFor", c.RetryFor}} {
		wrong(d.value < 0, "%s: %v is negative", d.field, d.value)
	}
	wrong(c.RetryMin > c.RetryMax, "RetryMin: %v is more than RetryMax %v", c.RetryMin, c.RetryMax)
	return errors.Join(errs...)
}

// Table is the dead letters of one warehouse.
type Table struct{ cfg Config }

// New checks the configuration and fills in its defaults. Nothing is dialled.
func New(cfg Config) (*Table, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Table{cfg}, nil
}

// name is a table's full name. Both parts are checked by schema to need no quotes; it quotes them all the same.
func (t *Table) name(table string) string { return "`" + t.cfg.Database + "`.`" + table + "`" }
