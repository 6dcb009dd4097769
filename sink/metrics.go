package sink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leadhouse/leadhouse/schema"
)

// metrics are the sink's. Label sets are closed: tables and reasons are the schema's, states and verdicts this package's,
// partitions those it owns now.
type metrics struct {
	rows           *prometheus.CounterVec // table
	deadLetters    *prometheus.CounterVec // reason
	refusedBlocks  *prometheus.CounterVec // table
	breakersOpen   prometheus.Gauge
	batchRows      prometheus.Histogram
	batchBytes     prometheus.Histogram
	batchAge       prometheus.Histogram
	flushTime      prometheus.Histogram
	visibleAfter   prometheus.Histogram
	retries        *prometheus.CounterVec // state, verdict
	tooManyParts   prometheus.Counter
	flushes        *flushes
	abandoned      prometheus.Counter
	lastFlush      prometheus.Gauge
	rebalances     prometheus.Counter
	partitions     prometheus.Gauge
	committed      *prometheus.GaugeVec // partition
	lag            *prometheus.GaugeVec // partition
	openGaps       *prometheus.GaugeVec // partition: any of the topic's
	schemaRevision prometheus.Gauge
}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "leadhouse", Subsystem: "sink", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts(opts(name, help)) }
	gauge := func(name, help string) prometheus.GaugeOpts { return prometheus.GaugeOpts(opts(name, help)) }
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		o := opts(name, help)
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: o.Namespace, Subsystem: o.Subsystem, Name: o.Name, Help: o.Help, Buckets: buckets})
	}
	m := &metrics{
		rows:           prometheus.NewCounterVec(counter("rows_total", "Rows ClickHouse has acknowledged, by table; retries after a lost answer may count twice."), []string{"table"}),
		deadLetters:    prometheus.NewCounterVec(counter("dead_letters_total", "Records that became dead letters, by reason."), []string{"reason"}),
		refusedBlocks:  prometheus.NewCounterVec(counter("refused_blocks_total", "Blocks that ClickHouse refused for their rows, by table: each is halved, or its one row blamed."), []string{"table"}),
		breakersOpen:   prometheus.NewGauge(gauge("breakers_open", "Tables that refuse so many rows that the sink has stopped to make dead letters of them: /readyz says which.")),
		batchRows:      histogram("batch_rows", "Records per batch.", prometheus.ExponentialBuckets(1, 4, 10)),
		batchBytes:     histogram("batch_bytes", "Bytes of keys, values and headers per batch.", prometheus.ExponentialBuckets(1<<10, 4, 10)),
		batchAge:       histogram("batch_age_seconds", "From a batch's first record to its flush's end.", prometheus.ExponentialBuckets(0.01, 2.5, 12)),
		flushTime:      histogram("flush_duration_seconds", "From typed rows to committed offset, retries included.", prometheus.ExponentialBuckets(0.005, 2.5, 12)),
		visibleAfter:   histogram("receipt_to_visible_seconds", "From ingest's receipt of a delivery to its row in ClickHouse.", []float64{.05, .1, .15, .25, .5, .75, 1, 1.15, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 7200, 86400}),
		retries:        prometheus.NewCounterVec(counter("retries_total", "Failed attempts, by the state they failed in and what is done about it."), []string{"state", "verdict"}),
		tooManyParts:   prometheus.NewCounter(counter("too_many_parts_total", "Inserts that ClickHouse refused because a table has too many parts (code 252): they are tried again.")),
		flushes:        &flushes{began: map[*batch]time.Time{}},
		abandoned:      prometheus.NewCounter(counter("abandoned_batches_total", "Batches given up uncommitted at a rebalance or shutdown, to be read again.")),
		lastFlush:      prometheus.NewGauge(gauge("last_flush_timestamp_seconds", "When a batch was last committed, Unix time.")),
		rebalances:     prometheus.NewCounter(counter("rebalances_total", "Generations of the group this sink has been part of.")),
		partitions:     prometheus.NewGauge(gauge("assigned_partitions", "Partitions this sink reads now.")),
		committed:      prometheus.NewGaugeVec(gauge("committed_offset", "Next offset to be inserted, as Kafka has been told, by partition."), []string{"partition"}),
		lag:            prometheus.NewGaugeVec(gauge("lag", "Records in Kafka past the committed offset, by partition."), []string{"partition"}),
		openGaps:       prometheus.NewGaugeVec(gauge("open_gap_offsets", "Offsets that Kafka's retention removed before they were inserted, until they are acknowledged, by partition; every sink of a warehouse shows all."), []string{"partition"}),
		schemaRevision: prometheus.NewGauge(gauge("schema_revision", "Newest revision of the tables' columns that this sink knows.")),
	}
	oldestFlush := prometheus.NewGaugeFunc(gauge("flush_began_timestamp_seconds", "When the oldest batch that is being flushed was first sent to ClickHouse, Unix time; 0 when there is none."), m.flushes.oldest)
	for _, reason := range schema.Reasons() { // from 0 on: an increase counts from a series' first sample
		m.deadLetters.WithLabelValues(string(reason))
	}
	for _, c := range []prometheus.Collector{
		m.rows, m.deadLetters, m.refusedBlocks, m.breakersOpen, m.batchRows, m.batchBytes, m.batchAge, m.flushTime, m.visibleAfter, m.retries, m.abandoned, m.tooManyParts, oldestFlush,
		m.lastFlush, m.rebalances, m.partitions, m.committed, m.lag, m.openGaps, m.schemaRevision,
	} {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// visible observes every record's way from receipt to a row that queries see.
func (m *metrics) visible(b *batch, now time.Time) {
	for _, f := range b.fetched {
		for i := range f.records {
			m.visibleAfter.Observe(max(float64(now.UnixMilli()-f.records[i].received)/1000, 0))
		}
	}
}

// flushed observes a batch at its end.
func (m *metrics) flushed(b *batch, took time.Duration) {
	m.flushes.end(b)
	m.flushTime.Observe(took.Seconds())
	m.batchRows.Observe(float64(b.rows))
	m.batchBytes.Observe(float64(b.bytes))
	m.batchAge.Observe(time.Since(b.began).Seconds())
	m.lastFlush.SetToCurrentTime()
	for reason, n := range b.refusals {
		m.deadLetters.WithLabelValues(string(reason)).Add(float64(n))
	}
}
