package backfill

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// Builtin is the Config.Catalog that means the one in the binary.
const Builtin = "builtin"

// Config is everything a Backfill needs. ClickHouse is required, and APIKey when the catalog comes from the API.
type Config struct {
	// ClickHouse is the connection pool to work through; native protocol. Two connections are used at a time (a stream,
	// and an insert or a question): with one it would wait for itself. It is not closed.
	ClickHouse driver.Conn

	// Database holds the tables; it is created when absent. Defaults to "leadron".
	Database string

	// Catalog is where the catalog comes from: "" is the API, Builtin the one in the binary, else the path of a file with
	// a saved response. Defaults to the API.
	Catalog string

	// APIURL is where Leadron's API is, with or without the version, /v1. It must be https, except on a loopback address.
	// Defaults to "https://api.leadron.io" (facts: base URLs).
	APIURL string

	// APIKey goes into X-API-Key. Without one, Catalog must be set.
	APIKey string

	// HTTPClient carries proxy and TLS settings. It is copied; the copy follows no redirect. Defaults to a plain one.
	HTTPClient *http.Client

	// PullTimeout bounds all attempts to get the catalog, waits for Leadron's rate limit included. Defaults to 16 minutes:
	// the limit's window is 15 ("1,000 requests per 15 minutes", rate-limits page).
	PullTimeout time.Duration

	// PlanOnly prints the plan and changes nothing.
	PlanOnly bool

	// DeadLettersTTL is how long after their receipt ClickHouse deletes dead letters, open ones too: a day at least. Defaults
	// to leaving the table as it is, which deletes none unless a run before was told to.
	DeadLettersTTL time.Duration

	// MaterializeViews says whether the views that can be are tables, filled anew every MaterializeEvery: fast to ask, and so
	// much behind. Defaults to what the database has, which is views in a new one.
	MaterializeViews *bool

	// MaterializeEvery is in whole seconds, 10 at least. Defaults to what the database has, and in the beginning to 5 minutes.
	MaterializeEvery time.Duration

	// Version is leadhouse's, for schema_changes. Defaults to "unknown".
	Version string

	// ChunkRows and ChunkBytes end a chunk of a fill: one INSERT of one block. Two chunks are in memory at a time, and with
	// the copies that clickhouse-go makes of what it reads and writes the process peaks at some 20 times ChunkBytes: 240 MB
	// with payloads of 230 bytes, 370 MB with 1,100 (measured). They default to 25,000 and 16 MiB, half of the sink's
	// batch: the whole batch takes 380 and 740 MB, and ClickHouse a tenth less CPU.
	ChunkRows, ChunkBytes int

	// SettleFor is how long no row typed with older columns may have appeared before the work is called done. A sink sends
	// no insert typed by a reading of the schema older than two of its reload intervals; an insert itself may take some
	// seconds more. Defaults to 30 s, for reload intervals of up to 10 s.
	SettleFor time.Duration

	// RetryMin and RetryMax are the shortest and the longest pause between two attempts at anything. They default to
	// 500 ms and 15 s.
	RetryMin, RetryMax time.Duration

	// RetryFor is how long ClickHouse may be away in the middle of the work. Defaults to 5 minutes: a restart, or a node's
	// move, and not a night.
	RetryFor time.Duration

	// Out takes the plan and the findings, as text. Defaults to nowhere.
	Out io.Writer

	// Progress is told how far long work is: NewBars or NewLines. Defaults to NewLines with Logger.
	Progress progress

	// Logger gets one line per event. Defaults to silence.
	Logger zerolog.Logger
}

// Defaults is what an empty Config stands for. The command line shows it in -h, and lets it be changed.
func Defaults() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	c.Database = cmp.Or(c.Database, "leadron")
	c.APIURL = cmp.Or(c.APIURL, "https://api.leadron.io")
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	c.PullTimeout = cmp.Or(c.PullTimeout, 16*time.Minute)
	c.Version = cmp.Or(c.Version, "unknown")
	c.ChunkRows = cmp.Or(c.ChunkRows, 25_000)
	c.ChunkBytes = cmp.Or(c.ChunkBytes, 16<<20)
	c.SettleFor = cmp.Or(c.SettleFor, 30*time.Second)
	c.RetryMin = cmp.Or(c.RetryMin, 500*time.Millisecond)
	c.RetryMax = cmp.Or(c.RetryMax, max(15*time.Second, c.RetryMin))
	c.RetryFor = cmp.Or(c.RetryFor, 5*time.Minute)
	if c.Out == nil {
		c.Out = io.Discard
	}
	if c.Progress == nil {
		c.Progress = NewLines(c.Logger)
	}
	return c
}

// validate names every field that is wrong, at once. It is called on a Config with its defaults.
func (c Config) validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("backfill: "+format, args...))
		}
	}
	wrong(c.ClickHouse == nil, "ClickHouse: a connection is needed")
	if err := schema.CheckDatabase(c.Database); err != nil {
		wrong(true, "Database: %w", err)
	}
	errs = append(errs, c.validateAPI())
	wrong(c.ChunkRows < 1, "ChunkRows: %d is not positive", c.ChunkRows)
	wrong(c.ChunkBytes < 1, "ChunkBytes: %d is not positive", c.ChunkBytes)
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"PullTimeout", c.PullTimeout},
		{"SettleFor", c.SettleFor},
		{"RetryMin", c.RetryMin},
		{"RetryMax", c.RetryMax},
		{"RetryFor", c.RetryFor},
	} {
		wrong(d.value < 0, "%s: %v is negative", d.field, d.value)
	}
	wrong(c.DeadLettersTTL != 0 && c.DeadLettersTTL < leastTTL, "DeadLettersTTL: %v is less than a day, in which nobody may have looked at them", c.DeadLettersTTL)
	wrong(c.MaterializeEvery != 0 && (c.MaterializeEvery < leastRefresh || c.MaterializeEvery%time.Second != 0),
		"MaterializeEvery: %v is not in whole seconds, %v at least", c.MaterializeEvery, leastRefresh)
	wrong(c.RetryMin > c.RetryMax, "RetryMin: %v is more than RetryMax %v", c.RetryMin, c.RetryMax)
	return errors.Join(errs...)
}

// leastTTL: less is a mistake in the unit.
const leastTTL = 24 * time.Hour

// leastRefresh: more often, ClickHouse would do little else than refresh.
const leastRefresh = 10 * time.Second

// validateAPI is about where the catalog comes from.
func (c Config) validateAPI() error {
	if c.Catalog != "" {
		return nil
	}
	var errs []error
	if err := checkAPIURL(c.APIURL); err != nil {
		errs = append(errs, fmt.Errorf("backfill: APIURL: %w", err))
	}
	if c.APIKey == "" {
		errs = append(errs, fmt.Errorf("backfill: APIKey: the catalog comes from the API, which needs a key; without one set Catalog to a file or to %q", Builtin))
	}
	// Said without showing it: a key with a line break is a file read whole, and still a key.
	if strings.ContainsFunc(c.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, errors.New("backfill: APIKey: it holds a space, a line break or another character that no key has"))
	}
	return errors.Join(errs...)
}

// checkAPIURL refuses what would send the key in the clear or to nowhere.
func checkAPIURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("it is not an address") // url's error would print it, with a password that may be in it
	}
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("give scheme, host and path alone: the key goes into APIKey")
	case u.Host == "":
		return errors.New("it names no host: https://api.leadron.io is Leadron's")
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return fmt.Errorf("http://%s would send the API key in the clear: use https", u.Host)
	}
	return fmt.Errorf("%q is neither https nor http", u.Scheme)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Backfill is one run to be.
type Backfill struct{ cfg Config }

// New checks the configuration and fills in its defaults. Nothing is dialled.
func New(cfg Config) (*Backfill, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Backfill{cfg}, nil
}
