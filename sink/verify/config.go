package verify

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// Config is everything a Verifier needs. Brokers and ClickHouse are required.
type Config struct {
	// Brokers are Kafka's addresses to bootstrap from.
	Brokers []string

	// Dialer reaches Kafka, as the sink's does. Defaults to a plain one.
	Dialer *kafka.Dialer

	// Topic and Group are the sink's. They default to "leadron.events" and "leadhouse-sink".
	Topic, Group string

	// ClickHouse is the connection pool to ask through; native protocol. One connection is used at a time. It is not closed.
	ClickHouse driver.Conn

	// Database holds the tables. Defaults to "leadron".
	Database string

	// Since leaves out records from before, by the record's time. Defaults to all that the ledger and Kafka have.
	Since time.Time

	// Acknowledge are ranges to be recorded as lost and accepted before the books are looked at.
	Acknowledge []Range

	// Progress is told how far the work is. Defaults to nobody.
	Progress progress
}

// progress is told how far a piece of work is, one piece at a time, between Start and Done. total is an estimate. Nothing it
// does may fail or block the work.
type progress interface {
	Start(what string, total uint64)
	Add(rows int)
	Done()
}

type noProgress struct{}

func (noProgress) Start(string, uint64) {}
func (noProgress) Add(int)              {}
func (noProgress) Done()                {}

// Defaults is what an empty Config stands for.
func Defaults() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Dialer == nil {
		c.Dialer = &kafka.Dialer{ClientID: "leadhouse-verify"}
	}
	if c.Progress == nil {
		c.Progress = noProgress{}
	}
	c.Topic = cmp.Or(c.Topic, "leadron.events")
	c.Group = cmp.Or(c.Group, "leadhouse-sink")
	c.Database = cmp.Or(c.Database, "leadron")
	return c
}

// validate names every field that is wrong, at once.
func (c Config) validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("verify: Brokers: at least one address is needed"))
	}
	if c.ClickHouse == nil {
		errs = append(errs, errors.New("verify: ClickHouse: a connection is needed"))
	}
	if err := schema.CheckDatabase(c.Database); err != nil {
		errs = append(errs, fmt.Errorf("verify: Database: %w", err))
	}
	return errors.Join(errs...)
}

// Range is a run of offsets to acknowledge.
type Range struct {
	Epoch       uint32
	Partition   int32
	First, Last int64 // both lost
}

// ParseRange reads [EPOCH/]PARTITION:FIRST-LAST, as gaps are told of everywhere; without an epoch it is 0. FIRST alone is one
// offset.
func ParseRange(text string) (r Range, err error) {
	wrong := fmt.Errorf("%q is not a range of offsets like 2:100-149, or 1/2:100-149 with the topic's epoch", text)
	epoch, rest, found := strings.Cut(text, "/")
	if !found {
		epoch, rest = "0", text
	}
	partition, offsets, colon := strings.Cut(rest, ":")
	first, last, found := strings.Cut(offsets, "-")
	if !found {
		last = first
	}
	e, err1 := strconv.ParseUint(epoch, 10, 32)
	p, err2 := strconv.ParseUint(partition, 10, 31)
	a, err3 := strconv.ParseUint(first, 10, 62)
	b, err4 := strconv.ParseUint(last, 10, 62)
	if !colon || b < a || errors.Join(err1, err2, err3, err4) != nil {
		return r, wrong
	}
	return Range{uint32(e), int32(p), int64(a), int64(b)}, nil
}

// String is the range as ParseRange reads it.
func (r Range) String() string {
	text := fmt.Sprintf("%d:%d-%d", r.Partition, r.First, r.Last)
	if r.Epoch > 0 {
		text = fmt.Sprintf("%d/%s", r.Epoch, text)
	}
	return text
}
