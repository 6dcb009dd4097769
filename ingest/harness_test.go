package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

const (
	secretID = "current"
	secret   = "8vM2qXz7Lr4TnWc1"
	path     = "/webhooks/leadron"
	topic    = "leadron.events"
	patience = 20 * time.Second // for what should take milliseconds, on a machine that others use too
)

// harness is an ingest server on an embedded Kafka, and a sender that remembers what it was promised.
type harness struct {
	t      testing.TB
	kafka  broker
	kept   *kafka.Transport // the tests' own way to Kafka
	server *ingest.Server
	reg    *prometheus.Registry
	logs   *logBuffer
	url    string
	admin  string
	client *http.Client

	stop func()     // ends the server's context
	done chan error // Run's result

	mu       sync.Mutex
	accepted []string        // bodies answered 2xx
	verified map[string]bool // bodies sent with a signature that fits
}

// broker is a Kafka: the embedded one, or a real one.
type broker interface{ Brokers() []string }

// logBuffer is a writer for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// startKafka is an embedded Kafka with the topic in it.
func startKafka(t testing.TB, cfg local.KfakeConfig, partitions int, configs map[string]string) *local.Kfake {
	t.Helper()
	k, err := local.StartKfake(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	if partitions > 0 {
		if configs == nil { // Kafka's default of 1,048,588 is too small for a body of 1 MiB
			configs = map[string]string{"max.message.bytes": "2097152"}
		}
		if err := k.CreateTopic(topic, partitions, configs); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func newTransport() *kafka.Transport {
	return &kafka.Transport{MetadataTTL: 500 * time.Millisecond, MetadataTopics: []string{topic}}
}

// config is a server's, on free ports, in a hurry. It also returns the transport, for the test to close at its end.
func config(t testing.TB, brokers []string) (ingest.Config, *kafka.Transport) {
	t.Helper()
	secrets, err := ingest.ParseSecrets(secretID + "=" + secret)
	if err != nil {
		t.Fatal(err)
	}
	transport := newTransport()
	return ingest.Config{
		Listener: listen(t), AdminListener: listen(t), Secrets: secrets, Brokers: brokers, Transport: transport,
		AckTimeout: 5 * time.Second, ProduceTimeout: 10 * time.Second, StartTimeout: 10 * time.Second,
		DrainDelay: time.Millisecond, DrainTimeout: 10 * time.Second, ReloadInterval: 10 * time.Millisecond,
		Registry: prometheus.NewRegistry(),
	}, transport
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start runs a server against k and waits until it is ready. What the test ends with, stop's check included, is a cleanup.
func start(t testing.TB, k broker, edit ...func(*ingest.Config)) *harness {
	t.Helper()
	return startWatched(t, k, nil, edit...)
}

// startWatched is start with a look at the handler's way to the JSON decoder.
func startWatched(t testing.TB, k broker, onDecoder func(), edit ...func(*ingest.Config)) *harness {
	t.Helper()
	h := launch(t, k, onDecoder, edit...)
	h.until("ready", func() bool { return h.get(h.admin+"/readyz") == http.StatusOK })
	return h
}

// launch is startWatched without the wait.
func launch(t testing.TB, k broker, onDecoder func(), edit ...func(*ingest.Config)) *harness {
	t.Helper()
	cfg, transport := config(t, k.Brokers())
	h := sender(t, k, "")
	h.reg, h.logs, h.done = prometheus.NewRegistry(), &logBuffer{}, make(chan error, 1)
	cfg.Logger, cfg.Registry = zerolog.New(h.logs), h.reg
	for _, e := range edit {
		e(&cfg)
	}
	scheme := "http://"
	if cfg.TLSCertFile != "" {
		scheme = "https://"
	}
	h.url, h.admin = scheme+cfg.Listener.Addr().String()+path, "http://"+cfg.AdminListener.Addr().String()
	server, err := ingest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.server = server
	if onDecoder != nil {
		server.OnDecoder(onDecoder)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	go func() { h.done <- server.Run(ctx) }()
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		if err := h.wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
		transport.CloseIdleConnections()
		if t.Failed() {
			t.Logf("log:\n%s", h.logs)
		}
	})
	return h
}

// sender is a harness without a server of its own.
func sender(t testing.TB, k broker, url string) *harness {
	h := &harness{
		t: t, kafka: k, kept: newTransport(), url: url, verified: map[string]bool{},
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 256},
			Timeout:   patience,
			// A redirect is an answer like any other here.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		h.kept.CloseIdleConnections()
	})
	return h
}

// wait stops the server and returns what Run returned; more than once too.
func (h *harness) wait() error {
	h.t.Helper()
	h.stop()
	select {
	case err := <-h.done:
		h.done <- nil
		return err
	case <-time.After(2 * patience):
		return errors.New("Run did not return")
	}
}

// until polls a condition.
func (h *harness) until(what string, ok func() bool) {
	h.t.Helper()
	within(h.t, patience, what, ok)
}

// within is until for what takes long.
func (h *harness) within(d time.Duration, what string, ok func() bool) {
	h.t.Helper()
	within(h.t, d, what, ok)
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(d)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not %s within %v", what, d)
		}
	}
}

func (h *harness) get(url string) int {
	response, err := h.client.Get(url)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// metric is the value of one series, such as `leadhouse_ingest_requests_total{code="202",reason="accepted"}`; histograms
// give their count.
func (h *harness) metric(series string) float64 {
	h.t.Helper()
	name, want, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if strings.Join(labels, ",") != want {
				continue
			}
			switch {
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			case m.GetGauge() != nil:
				return m.GetGauge().GetValue()
			}
			return m.GetCounter().GetValue()
		}
	}
	return 0
}

// check asserts the promises: what got a 2xx is in Kafka, byte for byte; what is in Kafka was verified; and nothing is held
// any more. It returns the records.
func (h *harness) check() []record {
	h.t.Helper()
	records := h.records()
	h.mu.Lock()
	defer h.mu.Unlock()
	stored := map[string]int{}
	for _, r := range records {
		stored[r.value]++
		if !h.verified[r.value] {
			h.t.Errorf("in Kafka, but never sent with a good signature: %.80q", r.value)
		}
	}
	for _, body := range h.accepted {
		if stored[body] == 0 {
			h.t.Errorf("answered 2xx, but not in Kafka: %.80q", body)
		}
	}
	if h.server == nil {
		return records // it is another process's
	}
	h.until("all budget returned", func() bool {
		requests, bytes := h.server.InFlight()
		return requests == 0 && bytes == 0
	})
	return records
}
