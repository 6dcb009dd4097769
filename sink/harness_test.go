package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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
	kafka  *local.Kfake
	client *kafka.Client
	conn   driver.Conn // past the proxy
	db     string
	proxy  *proxy // between sinks and ClickHouse

	mu      sync.Mutex
	journal []sent
	fetched fetches
	end     map[int]int64 // where a partition ends, if not after its last journaled record
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
}

// delivery is a record, and what is to become of it.
type delivery struct {
	key, body string
	headers   []kafka.Header
	id        string        // event ID; "" for a dead letter
	table     string        // where its event belongs; "" for a dead letter
	reason    schema.Reason // of a dead letter
}

type worldConfig struct {
	partitions int // default 1
	kafka      local.KfakeConfig
	noTopic    bool
	noSchema   bool
}

func newWorld(t testing.TB, cfg worldConfig) *world {
	t.Helper()
	ch := local.Shared(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	cfg.kafka.Options = append(cfg.kafka.Options, kfake.GroupMinSessionTimeout(time.Second))
	k, err := local.StartKfake(cfg.kafka)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	transport := &kafka.Transport{MetadataTTL: time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{
		TB: t, kafka: k, conn: conn, db: ch.Database(t), proxy: newProxy(t, ch.Addr()),
		client: &kafka.Client{Addr: kafka.TCP(k.Brokers()...), Timeout: 10 * time.Second, Transport: transport},
	}
	k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1, When: w.observe})
	if !cfg.noTopic {
		w.createTopic(max(cfg.partitions, 1))
	}
	if !cfg.noSchema {
		w.builtin()
	}
	return w
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
		Brokers: w.kafka.Brokers(), ClickHouse: openAs(w, w.proxy.addr(), "default", ""), Database: w.db,
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

// event is a delivery of the type, with that data.
func event(id, eventType, data string) delivery {
	entity, _, _ := strings.Cut(eventType, ".")
	table := "other_events"
	switch entity {
	case "lead", "opportunity", "partner", "commission", "task", "form":
		if eventType != entity {
			table = entity + "_events"
		}
	}
	return delivery{
		key: id, id: id, table: table,
		body:    fmt.Sprintf(`{"id":%q,"type":%q,"createdAt":"2026-05-27T23:34:12.345Z","data":%s}`, id, eventType, data),
		headers: []kafka.Header{{Key: "event-id", Value: []byte(id)}, {Key: "event-type", Value: []byte(eventType)}},
	}
}

// in is the delivery, expected in another table.
func (d delivery) in(table string) delivery {
	d.table = table
	return d
}

// bad is a delivery whose body is no envelope.
func bad(body string, reason schema.Reason) delivery {
	return delivery{body: body, reason: reason, headers: []kafka.Header{{Key: "signature-secret-id", Value: []byte("s1")}}}
}

// events makes n different deliveries of mixed types, numbered from the first.
func events(first, n int) []delivery {
	made := make([]delivery, n)
	for i := range made {
		id := fmt.Sprintf("evt_%026d", first+i)
		switch (first + i) % 7 {
		case 0:
			made[i] = event(id, "lead.created", fmt.Sprintf(`{"leadId":"ld_%d","email":"p%d@acme.com","source":"web_form"}`, first+i, first+i))
		case 1:
			made[i] = event(id, "opportunity.created", fmt.Sprintf(`{"opportunityId":"opp_%d","value":%d.25,"stage":"discovery"}`, first+i, first+i))
		case 2:
			made[i] = event(id, "partner.registered", `{"partnerId":"ptr_789","company":"Partner Co"}`)
		case 3:
			made[i] = event(id, "commission.earned", `{"commissionId":"com_101","amount":500,"partnerId":"ptr_789"}`)
		case 4:
			made[i] = event(id, "task.created", `{"taskId":"tsk_202","title":"Follow up","assigneeId":"usr_303"}`)
		case 5:
			made[i] = event(id, "form.submitted", `{"formId":"frm_404","leadId":"ld_123","fields":{"name":"Jane","email":"jane@acme.com"}}`)
		default:
			made[i] = event(id, "invoice.sent", `{"invoiceId":"inv_1"}`) // no catalog knows it
		}
	}
	return made
}

// produce appends the deliveries to one partition, in one request, and journals them.
func (w *world) produce(partition int, deliveries ...delivery) {
	w.Helper()
	if err := w.tryProduce(w.Context(), partition, deliveries...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) tryProduce(ctx context.Context, partition int, deliveries ...delivery) error {
	records := make([]kafka.Record, len(deliveries))
	for i, d := range deliveries {
		records[i] = kafka.Record{Time: time.Now(), Value: kafka.NewBytes([]byte(d.body)), Headers: d.headers}
		if d.key != "" {
			records[i].Key = kafka.NewBytes([]byte(d.key))
		}
	}
	answer, err := w.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...), Compression: kafka.Lz4,
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, d := range deliveries {
		w.journal = append(w.journal, sent{d, partition, answer.BaseOffset + int64(i)})
	}
	return nil
}

// spread produces the deliveries in requests of up to 100, over all partitions in turn.
func (w *world) spread(partitions int, deliveries ...delivery) {
	w.Helper()
	for i := 0; len(deliveries) > 0; i++ {
		n := min(100, len(deliveries))
		w.produce(i%partitions, deliveries[:n]...)
		deliveries = deliveries[n:]
	}
}

// committed are the group's offsets by partition.
func (w *world) committed() map[int]int64 {
	w.Helper()
	offsets, err := w.client.ConsumerOffsets(w.Context(), kafka.TopicAndGroup{Topic: topic, GroupId: group})
	if err != nil {
		w.Fatalf("ask for committed offsets: %v", err)
	}
	return offsets
}

// rewind sets the group's offsets back to 0, as an operator does. The group must have no members.
func (w *world) rewind() {
	w.Helper()
	var commits []kafka.OffsetCommit
	for partition := range w.committed() {
		commits = append(commits, kafka.OffsetCommit{Partition: partition, Offset: 0})
	}
	w.commit(commits...)
}

func (w *world) commit(commits ...kafka.OffsetCommit) {
	w.Helper()
	answer, err := w.client.OffsetCommit(w.Context(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits},
	})
	if err != nil {
		w.Fatalf("commit offsets by hand: %v", err)
	}
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			w.Fatalf("commit offsets by hand: %v", p.Error)
		}
	}
}

// ends are the offsets after the last journaled record, by partition.
func (w *world) ends() map[int]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ends := map[int]int64{}
	for _, s := range w.journal {
		ends[s.partition] = max(ends[s.partition], s.offset+1)
	}
	maps.Copy(ends, w.end)
	return ends
}

// awaitCommitted waits until the group has committed everything that was produced.
func (w *world) awaitCommitted() {
	w.Helper()
	ends := w.ends()
	w.eventually(fmt.Sprintf("committed up to %v", ends), func() (bool, string) {
		committed := w.committed()
		for partition, end := range ends {
			if committed[partition] < end {
				return false, fmt.Sprint(committed)
			}
		}
		return true, ""
	})
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

type (
	eventRow struct {
		Table   string `ch:"tbl"`
		ID      string `ch:"event_id"`
		Payload string `ch:"payload"`
	}
	ledgerRow struct {
		Partition int32  `ch:"kafka_partition"`
		Offset    int64  `ch:"kafka_offset"`
		Outcome   string `ch:"outcome"`
	}
	deadRow struct {
		Partition int32    `ch:"kafka_partition"`
		Offset    int64    `ch:"kafka_offset"`
		Key       string   `ch:"record_key"`
		Payload   string   `ch:"payload"`
		Reason    string   `ch:"reason"`
		Detail    string   `ch:"detail"`
		Headers   []string `ch:"header_list"`
	}
	position struct {
		partition int32
		offset    int64
	}
)

func (w *world) eventRows() []eventRow {
	w.Helper()
	return scan[eventRow](w, `SELECT _table AS tbl, event_id, payload FROM merge('{db}', '^[a-z]+_events$') SETTINGS final = 1`)
}

func (w *world) ledger() map[position]string {
	w.Helper()
	outcomes := map[position]string{}
	for _, r := range scan[ledgerRow](w, `SELECT kafka_partition, kafka_offset, outcome FROM {db}.deliveries FINAL`) {
		outcomes[position{r.Partition, r.Offset}] = r.Outcome
	}
	return outcomes
}

// check asserts every promise about what was produced, once everything is committed:
//
//  1. each event ID is exactly once in the database under FINAL, in its table, with bytes that were sent under it;
//  2. the books balance: the ledger has exactly one entry for each record, with the right outcome, and no others;
//  3. each dead letter is there once, with its bytes, key, headers and reason;
//  4. the committed offset is the end of what was produced, and no further.
func (w *world) check() {
	w.Helper()
	w.awaitCommitted()
	w.checkEvents()
	w.checkLedger()
	w.checkDeadLetters()
	for partition, end := range w.ends() {
		if got := w.committed()[partition]; got != end {
			w.Errorf("partition %d: committed %d, want %d", partition, got, end)
		}
	}
}

func (w *world) checkEvents() {
	w.Helper()
	tables, bodies := map[string]string{}, map[string]map[string]bool{}
	for _, s := range w.journal {
		if s.id == "" {
			continue
		}
		tables[s.id] = s.table
		if bodies[s.id] == nil {
			bodies[s.id] = map[string]bool{}
		}
		bodies[s.id][s.body] = true
	}
	seen := map[string]int{}
	for _, r := range w.eventRows() {
		seen[r.ID]++
		if want := tables[r.ID]; r.Table != want {
			w.Errorf("event %s: in %s, want %s", r.ID, r.Table, want)
		}
		if !bodies[r.ID][r.Payload] {
			w.Errorf("event %s: payload %s was never sent", r.ID, r.Payload)
		}
	}
	for id := range tables {
		if seen[id] != 1 {
			w.Errorf("event %s: %d rows, want 1", id, seen[id])
		}
	}
}

func (w *world) checkLedger() {
	w.Helper()
	ledger := w.ledger()
	for _, s := range w.journal {
		want := "inserted"
		if s.id == "" {
			want = "dead_lettered"
		}
		at := position{int32(s.partition), s.offset}
		if got := ledger[at]; got != want {
			w.Errorf("ledger at %v: %q, want %q", at, got, want)
		}
		delete(ledger, at)
	}
	for at, outcome := range ledger {
		w.Errorf("ledger at %v: %q, but nothing was produced there", at, outcome)
	}
}

func (w *world) checkDeadLetters() {
	w.Helper()
	dead := map[position]deadRow{}
	for _, r := range scan[deadRow](w, `SELECT kafka_partition, kafka_offset, record_key, payload, reason, detail, arrayMap(h -> concat(h.1, '=', h.2), headers) AS header_list FROM {db}.dead_letters FINAL`) {
		dead[position{r.Partition, r.Offset}] = r
	}
	for _, s := range w.journal {
		if s.id != "" {
			continue
		}
		at := position{int32(s.partition), s.offset}
		r, found := dead[at]
		delete(dead, at)
		var headers []string
		for _, h := range s.headers {
			headers = append(headers, h.Key+"="+string(h.Value))
		}
		if !found || r.Payload != s.body || r.Key != s.key || r.Reason != string(s.reason) || r.Detail == "" || fmt.Sprint(r.Headers) != fmt.Sprint(headers) {
			w.Errorf("dead letter at %v: %+v, want %+v", at, r, s.delivery)
		}
	}
	for at, r := range dead {
		w.Errorf("dead letter at %v: %+v, but nothing such was produced there", at, r)
	}
}

// prefix asserts, in the middle of things, that what is committed is in ClickHouse: each record below it has its entry in
// the ledger, and its row or its dead letter.
func (w *world) prefix() {
	w.Helper()
	committed := w.committed() // first: what is inserted meanwhile only adds
	ledger := w.ledger()
	rows := map[string]bool{}
	for _, r := range w.eventRows() {
		rows[r.ID] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.journal {
		if s.offset >= committed[s.partition] {
			continue
		}
		at := position{int32(s.partition), s.offset}
		if ledger[at] == "" {
			w.Errorf("committed %v, but the ledger lacks %v", committed, at)
		}
		if s.id != "" && !rows[s.id] {
			w.Errorf("committed %v, but event %s of %v has no row", committed, s.id, at)
		}
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
