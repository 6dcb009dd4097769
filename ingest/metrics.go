package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the package. Labels come from closed sets; what a request holds never becomes one.
type metrics struct {
	requests              [outcomes]prometheus.Counter // by outcome, looked up once: With costs more than counting
	events                map[string]prometheus.Counter
	otherType, noEnvelope prometheus.Counter
	verified              *prometheus.CounterVec // by secret ID

	requestSeconds prometheus.Observer
	ackSeconds     prometheus.Observer // of accepted deliveries, from enqueue on
	batchRecords   prometheus.Observer
	batchBytes     prometheus.Observer

	produceSeconds prometheus.Observer
	produceErrors  map[string]prometheus.Counter // by kind
	acked          prometheus.Counter
	gaveUp         prometheus.Counter

	reloads      *prometheus.CounterVec // by file and result
	certNotAfter prometheus.Gauge

	lastAccepted, lastProduced prometheus.Gauge
}

const namespace, subsystem = "leadhouse", "ingest"

// Kinds of produce errors.
const (
	errorTooLarge  = "too_large" // the batch is split
	errorTimestamp = "timestamp" // sent again without record times
	errorRetry     = "retriable" // sent again
	errorFinal     = "final"     // given up
)

func newMetrics(reg prometheus.Registerer, types []string, a *admission) *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}
	}
	gauge := func(name, help string) prometheus.GaugeOpts { return prometheus.GaugeOpts(counter(name, help)) }
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: buckets,
		})
	}
	register := func(c ...prometheus.Collector) { reg.MustRegister(c...) }

	// From half a millisecond, a local broker's ack, to 20 s, past the ack timeout.
	seconds := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}

	requests := prometheus.NewCounterVec(counter("requests_total", "Requests to the public listener, by status code and reason."),
		[]string{"code", "reason"})
	events := prometheus.NewCounterVec(counter("events_total",
		"Deliveries accepted, by event type; what is not in the catalog is other, what is no envelope is none."),
		[]string{"type"})
	produceErrors := prometheus.NewCounterVec(counter("produce_errors_total", "Produce requests that failed, by what follows."),
		[]string{"kind"})
	requestSeconds := histogram("request_seconds", "Time to answer a request.", seconds)
	ackSeconds := histogram("ack_seconds", "From a verified delivery to Kafka's acknowledgement.", seconds)
	produceSeconds := histogram("produce_seconds", "Time of one produce request.", seconds)
	batchRecords := histogram("batch_records", "Records in a produced batch.", prometheus.ExponentialBuckets(1, 2, 12))
	batchBytes := histogram("batch_bytes", "Bytes in a produced batch, estimated from above.", prometheus.ExponentialBuckets(1<<10, 2, 12))
	lastAccepted := prometheus.NewGauge(gauge("last_accepted_timestamp_seconds", "When the last delivery was accepted."))
	lastProduced := prometheus.NewGauge(gauge("last_produced_timestamp_seconds", "When Kafka last acknowledged a batch."))
	certNotAfter := prometheus.NewGauge(gauge("certificate_not_after_timestamp_seconds", "When the served certificate ends."))
	inFlight := prometheus.NewGaugeFunc(gauge("in_flight_requests", "Requests being answered."),
		func() float64 { return float64(a.inFlight()) })
	inFlightBytes := prometheus.NewGaugeFunc(gauge("in_flight_bytes", "Bytes of bodies in memory."),
		func() float64 { return float64(a.bytes.Load()) })

	m := &metrics{
		verified:       prometheus.NewCounterVec(counter("verified_total", "Deliveries verified, by the secret's ID."), []string{"secret"}),
		reloads:        prometheus.NewCounterVec(counter("reloads_total", "Changed files read, by file and result."), []string{"file", "result"}),
		acked:          prometheus.NewCounter(counter("records_acked_total", "Records acknowledged by Kafka.")),
		gaveUp:         prometheus.NewCounter(counter("records_given_up_total", "Records of which Kafka acknowledged none in time: answered 503.")),
		requestSeconds: requestSeconds, ackSeconds: ackSeconds, produceSeconds: produceSeconds,
		batchRecords: batchRecords, batchBytes: batchBytes,
		lastAccepted: lastAccepted, lastProduced: lastProduced, certNotAfter: certNotAfter,
		events: map[string]prometheus.Counter{}, produceErrors: map[string]prometheus.Counter{},
	}
	for o := range outcomes {
		m.requests[o] = requests.WithLabelValues(answers[o].code(), answers[o].reason)
	}
	for _, t := range types {
		m.events[t] = events.WithLabelValues(t)
	}
	m.noEnvelope = events.WithLabelValues("none")
	m.otherType = events.WithLabelValues("other")
	for _, kind := range []string{errorTooLarge, errorTimestamp, errorRetry, errorFinal} {
		m.produceErrors[kind] = produceErrors.WithLabelValues(kind)
	}
	for _, file := range []string{fileSecrets, fileCertificate} {
		for _, result := range []string{reloadOK, reloadBad} {
			m.reloads.WithLabelValues(file, result)
		}
	}
	register(requests, events, m.verified, produceErrors, requestSeconds, ackSeconds, produceSeconds, batchRecords, batchBytes,
		m.acked, m.gaveUp, m.reloads, certNotAfter, lastAccepted, lastProduced, inFlight, inFlightBytes)
	return m
}

// eventType is the counter of a type's accepted deliveries.
func (m *metrics) eventType(t string) prometheus.Counter {
	if c, ok := m.events[t]; ok {
		return c
	}
	return m.otherType
}

func setToNow(g prometheus.Gauge) { g.Set(float64(time.Now().UnixMilli()) / 1e3) }
