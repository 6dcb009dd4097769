package sink

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
)

// Config is everything a Sink needs. The fields without a default are required.
type Config struct {
	// Brokers are the Kafka addresses to bootstrap from, host:port.
	Brokers []string

	// Dialer carries TLS, SASL and the client ID. It is copied, never changed. Defaults to a plain one.
	Dialer *kafka.Dialer

	// Topic is read from its first record on. Defaults to "leadron.events".
	Topic string

	// Group is the consumer group whose offsets say how far the warehouse is. Defaults to "leadhouse-sink".
	Group string

	// AcceptNewTopic makes Run begin with accepting a topic that is not the one read up to now: recreated, or with other
	// records than the ledger has. The group must have no members. The topic is read from its start, as a new epoch. With
	// nothing to accept it changes nothing.
	AcceptNewTopic bool

	// ClickHouse is the connection pool to insert through; native protocol. The sink uses up to six connections at a time
	// (two inserts, a ledger's, a schema reload, a look at a partition's ledger, a ping) and does not close it. Without a DialContext in its Options a dial under way
	// does not end with the insert's context: its DialTimeout must be below SessionTimeout.
	ClickHouse driver.Conn

	// Database holds the tables. Defaults to "leadron".
	Database string

	// BatchRows ends a batch. Defaults to 50,000: from there on the server's cost per row no longer falls.
	BatchRows int

	// BatchBytes of keys, values and headers end a batch. Two batches are in memory at a time. Defaults to 32 MiB.
	BatchBytes int

	// BatchAge ends a batch this long after its first record was fetched: the price of freshness is more, smaller parts
	// in ClickHouse. Defaults to 1 s.
	BatchAge time.Duration

	// ReloadInterval is how often the sink looks which columns exist. A column that backfill adds is filled by rows
	// written two intervals later at the latest. Defaults to 5 s.
	ReloadInterval time.Duration

	// InsertTimeout bounds one attempt to insert one block; after it the outcome is unknown, and the same rows are sent
	// again under the same token. Defaults to 60 s.
	InsertTimeout time.Duration

	// RejectPercent and RejectWindow say when refusals are taken for the table's fault and no longer for the rows'. A row
	// that ClickHouse refuses for its content becomes a dead letter, unless more than RejectPercent of its table's last
	// RejectWindow rows were refused: then the sink keeps them, is not ready, and tries again. 100 never stops. Default to
	// 10 % of 1,000: an unfortunate ALTER makes at most a hundred dead letters.
	RejectPercent, RejectWindow int

	// RetryMax is the longest pause between two attempts at anything; the shortest is 100 ms. Defaults to 10 s.
	RetryMax time.Duration

	// SessionTimeout is how long Kafka waits for a lost member's heartbeat. kafka-go waits for its own ghost when the
	// coordinator crashes: that takes the broker's 9 s and this. Kafka's minimum is 6 s. Defaults to 10 s.
	SessionTimeout time.Duration

	// HeartbeatInterval is also the time in which a member notices that the group rebalances. Defaults to 1 s.
	HeartbeatInterval time.Duration

	// HandoverTimeout is how long a member goes on flushing what it has when its generation ends, while the group waits
	// for it. It must be well below SessionTimeout: heartbeats have stopped. Defaults to 3 s.
	HandoverTimeout time.Duration

	// ShutdownTimeout is how long the last batch may take to reach ClickHouse after Run's context has ended. What has not
	// by then is not committed, and is read again. Defaults to 15 s, so that with leaving the group a stop stays below
	// the 30 s that Kubernetes gives.
	ShutdownTimeout time.Duration

	// AdminAddr is where /healthz, /readyz and /metrics are served while Run runs. Defaults to no listener; see
	// Sink.AdminHandler.
	AdminAddr string

	// Pprof is served below PprofPath, on the admin listener. Defaults to nothing.
	Pprof http.Handler

	// Logger gets one line per change of state. Defaults to silence.
	Logger zerolog.Logger

	// Registerer takes the metrics. Defaults to a registry of the sink's own.
	Registerer prometheus.Registerer

	// Gatherer is what /metrics shows. Defaults to Registerer if it can gather, as a *prometheus.Registry can.
	Gatherer prometheus.Gatherer
}

// PprofPath is where Config.Pprof is served.
const PprofPath = "/debug/pprof/"

// Defaults is what an empty Config stands for. The command line shows it in -h, and lets it be changed.
func Defaults() Config { return Config{}.withDefaults() }

// withDefaults fills the fields left empty.
func (c Config) withDefaults() Config {
	if c.Dialer == nil {
		c.Dialer = &kafka.Dialer{ClientID: "leadhouse-sink"}
	}
	c.Topic = cmp.Or(c.Topic, "leadron.events")
	c.Group = cmp.Or(c.Group, "leadhouse-sink")
	c.Database = cmp.Or(c.Database, "leadron")
	c.BatchRows = cmp.Or(c.BatchRows, 50_000)
	c.BatchBytes = cmp.Or(c.BatchBytes, 32<<20)
	c.BatchAge = cmp.Or(c.BatchAge, time.Second)
	c.ReloadInterval = cmp.Or(c.ReloadInterval, 5*time.Second)
	c.InsertTimeout = cmp.Or(c.InsertTimeout, time.Minute)
	c.RejectPercent = cmp.Or(c.RejectPercent, 10)
	c.RejectWindow = cmp.Or(c.RejectWindow, 1000)
	c.RetryMax = cmp.Or(c.RetryMax, 10*time.Second)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 10*time.Second)
	c.HeartbeatInterval = cmp.Or(c.HeartbeatInterval, time.Second)
	c.HandoverTimeout = cmp.Or(c.HandoverTimeout, 3*time.Second)
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, 15*time.Second)
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Gatherer == nil {
		c.Gatherer, _ = c.Registerer.(prometheus.Gatherer)
	}
	return c
}

// validate names every field that is wrong, at once. It is called on a Config with its defaults.
func (c Config) validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("sink: "+format, args...))
		}
	}
	wrong(len(c.Brokers) == 0, "Brokers: at least one address is needed")
	for _, broker := range c.Brokers {
		wrong(broker == "", "Brokers: an address is empty")
	}
	wrong(c.ClickHouse == nil, "ClickHouse: a connection is needed")
	wrong(c.BatchRows < 1, "BatchRows: %d is not positive", c.BatchRows)
	wrong(c.BatchBytes < 1, "BatchBytes: %d is not positive", c.BatchBytes)
	wrong(c.RejectPercent < 1 || c.RejectPercent > 100, "RejectPercent: %d is not within 1 and 100", c.RejectPercent)
	wrong(c.RejectWindow < 1, "RejectWindow: %d is not positive", c.RejectWindow)
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"BatchAge", c.BatchAge},
		{"ReloadInterval", c.ReloadInterval},
		{"InsertTimeout", c.InsertTimeout},
		{"RetryMax", c.RetryMax},
		{"SessionTimeout", c.SessionTimeout},
		{"HeartbeatInterval", c.HeartbeatInterval},
		{"HandoverTimeout", c.HandoverTimeout},
		{"ShutdownTimeout", c.ShutdownTimeout},
	} {
		wrong(d.value < 0, "%s: %v is negative", d.field, d.value)
	}
	// Kafka's own rule: three beats may be lost before a member is.
	wrong(c.HeartbeatInterval*3 > c.SessionTimeout, "HeartbeatInterval: %v is more than a third of SessionTimeout %v", c.HeartbeatInterval, c.SessionTimeout)
	wrong(c.HandoverTimeout*2 > c.SessionTimeout, "HandoverTimeout: %v is more than half of SessionTimeout %v", c.HandoverTimeout, c.SessionTimeout)
	wrong(c.Gatherer == nil, "Gatherer: needed for /metrics, since Registerer cannot gather")
	return errors.Join(errs...)
}
