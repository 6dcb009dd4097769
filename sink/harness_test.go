package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
)

const (
	topic = "leadron.events"
	group = "leadhouse-sink"
	// patience is how long anything may take on a machine that also runs everybody else's tests.
	patience = 60 * time.Second
)

// world is one test's Kafka, database and journal of what was produced. Its check asserts all of the sink's promises.
type world struct {
	testing.TB
	kafka   *local.Kfake // nil with a Kafka of another kind
	brokers []string
	client  *kafka.Client
	conn    driver.Conn // past the proxy
	db      string
	proxy   *proxy // between sinks and ClickHouse

	mu      sync.Mutex
	journal []sent
	fetched fetches
	end     map[int]int64 // where a partition ends, if not after its last journaled record
	epoch   uint32        // of the topic as it is now
}

// fetches is what Kafka was asked for.
type fetches struct {
	steps  int   // times that an offset was higher than any before
	offset int64 // the highest
}

// sent is one record that Kafka has acknowledged.
type sent struct {
	delivery
	partition int
	offset    int64
	epoch     uint32 // of the topic
}

// delivery is a record, and what is to become of it.
type delivery struct {
	key, body string
	headers   []kafka.Header
	at        time.Time     // the record's; zero: now
	id        string        // event ID; "" for a dead letter
	table     string        // where its event belongs; "" for a dead letter
	reason    schema.Reason // of a dead letter
	erased    bool          // whether it arrives blanked
}

type worldConfig struct {
	partitions int // default 1
	kafka      local.KfakeConfig
	noTopic    bool
	noSchema   bool
}

func newWorld(t testing.TB, cfg worldConfig) *world {
	t.Helper()
	cfg.kafka.Options = append(cfg.kafka.Options, kfake.GroupMinSessionTimeout(time.Second))
	k, err := local.StartKfake(cfg.kafka)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	w := newWorldOn(t, k.Brokers())
	w.kafka = k
	k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1, When: w.observe})
	if !cfg.noTopic {
		w.createTopic(max(cfg.partitions, 1))
	}
	if !cfg.noSchema {
		w.builtin()
	}
	return w
}

// newWorldOn has a database of its own, and Kafka where it is.
func newWorldOn(t testing.TB, brokers []string) *world {
	t.Helper()
	ch := local.Shared(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	transport := &kafka.Transport{MetadataTTL: time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	return &world{
		TB: t, brokers: brokers, conn: conn, db: ch.Database(t), proxy: newProxy(t, ch.Addr()),
		client: &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 10 * time.Second, Transport: transport},
	}
}

func (w *world) builtin() {
	w.Helper()
	w.evolve(schema.BuiltinCatalog())
}

// fetches counts fetch requests on the way.
func (w *world) fetches() fetches {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetched
}

func (w *world) observe(req kmsg.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range req.(*kmsg.FetchRequest).Topics {
		for _, p := range t.Partitions {
			if p.FetchOffset > w.fetched.offset {
				w.fetched = fetches{w.fetched.steps + 1, p.FetchOffset}
			}
		}
	}
	return true
}

func (w *world) createTopic(partitions int) {
	w.Helper()
	if err := w.kafka.CreateTopic(topic, partitions, nil); err != nil {
		w.Fatal(err)
	}
}

// evolve does what `leadhouse backfill` does with a catalog, except for the fill.
func (w *world) evolve(catalog []byte) {
	w.Helper()
	c, err := schema.DecodeCatalog(catalog)
	if err != nil {
		w.Fatal(err)
	}
	state, err := schema.Inspect(w.Context(), w.conn, w.db)
	if err != nil {
		w.Fatal(err)
	}
	plan, err := schema.Diff(schema.Infer(c), state)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := schema.Apply(w.Context(), w.conn, plan, "test", nil); err != nil {
		w.Fatal(err)
	}
}

// config is what a test's sinks run with: as in production, but quicker.
func (w *world) config() sink.Config {
	return sink.Config{
		Brokers: w.brokers, ClickHouse: openAs(w, w.proxy.addr(), "default", ""), Database: w.db,
		BatchAge: 50 * time.Millisecond, ReloadInterval: 200 * time.Millisecond, RetryMax: 300 * time.Millisecond,
		InsertTimeout: 20 * time.Second, SessionTimeout: 6 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
		Logger: zerolog.New(zerolog.NewTestWriter(w)).Level(zerolog.InfoLevel), Registerer: prometheus.NewRegistry(),
	}
}

// openAs opens a connection pool such as a sink has.
func openAs(t testing.TB, addr, user, password string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{addr}, Auth: clickhouse.Auth{Database: "default", Username: user, Password: password},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4}, DialTimeout: 2 * time.Second,
		DialContext: func(ctx context.Context, addr string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// running is a sink that runs.
type running struct {
	*world
	sink *sink.Sink
	end  context.CancelFunc
	done chan struct{}
	err  error // of Run, once done is closed
}

// start runs a sink until stop, or the test's end.
func (w *world) start(cfg sink.Config) *running {
	w.Helper()
	s, err := sink.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	r := &running{world: w, sink: s, end: end, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = s.Run(ctx)
	}()
	w.Cleanup(func() {
		end()
		<-r.done
	})
	return r
}

// stop ends the sink in good order.
func (r *running) stop() {
	r.Helper()
	r.end()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.Fatal("Run does not return after its context has ended")
	}
	if r.err != nil {
		r.Fatalf("Run: %v", r.err)
	}
}

// fails waits until Run returns by itself, and returns its error.
func (r *running) fails() error {
	r.Helper()
	select {
	case <-r.done:
	case <-time.After(patience):
		r.Fatal("Run does not return")
	}
	return r.err
}

// get asks the admin handler.
func (r *running) get(path string) (int, string) {
	r.Helper()
	recorder := httptest.NewRecorder()
	r.sink.AdminHandler().ServeHTTP(recorder, httptest.NewRequestWithContext(r.Context(), http.MethodGet, path, nil))
	body, _ := io.ReadAll(recorder.Body)
	return recorder.Code, string(body)
}

// readiness is /readyz: whether it is ready, and what keeps it, as "part: cause".
func (r *running) readiness() (bool, string) {
	r.Helper()
	code, body := r.get("/readyz")
	var answer struct {
		Problems []sink.Problem `json:"problems"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		r.Fatalf("/readyz: %v in %s", err, body)
	}
	var why []string
	for _, p := range answer.Problems {
		why = append(why, p.Part+": "+p.Cause)
	}
	return code == http.StatusOK, strings.Join(why, "; ")
}

// awaitReady waits until the sink is ready.
func (r *running) awaitReady() {
	r.Helper()
	r.eventually("the sink is ready", func() (bool, string) { return r.readiness() })
}

// awaitTrouble waits until readiness names a problem that contains the words.
func (r *running) awaitTrouble(words string) {
	r.Helper()
	r.eventually("readiness says "+words, func() (bool, string) {
		_, why := r.readiness()
		return strings.Contains(why, words), why
	})
}

// metric reads one sample of /metrics by its name and labels as exposed, 0 if it is not there.
func (r *running) metric(name string) (v float64) {
	r.Helper()
	_, body := r.get("/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err != nil {
				r.Fatal(err)
			}
		}
	}
	return v
}

// eventually polls a condition; what it last said is shown when it never comes true.
func (w *world) eventually(what string, holds func() (bool, string)) {
	w.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, now := holds()
		if ok {
			return
		}
		select {
		case <-deadline.C:
			w.Fatalf("never: %s; last: %s", what, now)
		case <-tick.C:
		}
	}
}

// scan reads rows of a query into a slice.
func scan[T any](w *world, sql string, args ...any) []T {
	w.Helper()
	var rows []T
	if err := w.conn.Select(w.Context(), &rows, strings.ReplaceAll(sql, "{db}", w.db), args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return rows
}

func (w *world) exec(sql string) {
	w.Helper()
	if err := w.conn.Exec(w.Context(), strings.ReplaceAll(sql, "{db}", w.db)); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// buffer is a log that a test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
