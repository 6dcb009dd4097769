package sink

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// The batches, the flusher, the hunt, the breaker and the offsets, as they are, against a ClickHouse and a Kafka that are
// maps, under everything that can happen to them in any order: rows come that are no events or that ClickHouse refuses,
// inserts and commits fail before and after the write, a constraint and new columns come and go, the group rebalances, the
// sink starts anew.
func TestBatchesAgainstAModel(t *testing.T) {
	t.Parallel()
	conn, err := local.Shared(t).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w := builtin(t, conn, local.Shared(t).Database(t))
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(w, rapid.SampledFrom([]int{10, 10, 30, 100}).Draw(t, "reject percent"))
		m.warehouse.constrained = rapid.Bool().Draw(t, "constrained")
		t.Repeat(map[string]func(*rapid.T){ // what is to happen more often has more names
			"produce":      m.produce,
			"fetch":        m.fetch,
			"insert":       m.insert,
			"insert again": m.insert,
			"insert more":  m.insert,
			"settle":       m.settle,
			"settle again": m.settle,
			"settle more":  m.settle,
			"disturb":      m.disturb,
			"":             m.check,
		})
		m.finish(t)
	})
}

// builtin is the built-in warehouse.
func builtin(t *testing.T, conn driver.Conn, database string) *schema.Warehouse {
	t.Helper()
	catalog, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		t.Fatal(err)
	}
	state, err := schema.Inspect(t.Context(), conn, database)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := schema.Diff(schema.Infer(catalog), state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := schema.Apply(t.Context(), conn, plan, "test", nil); err != nil {
		t.Fatal(err)
	}
	w, err := schema.Load(t.Context(), conn, database)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// at is a position.
type at struct {
	partition int32
	offset    int64
}

// model is a sink's batches, and what they should have done.
type model struct {
	warehouse *tables
	log       [2][]kafka.Message // Kafka, by partition
	committed map[int32]int64    // in Kafka
	commits   error              // of the next commit: before it, or after it (lost)
	lost      bool

	cfg      Config
	schemas  *schemas
	breaker  *breaker
	metrics  *metrics
	flusher  *flusher
	next     map[int32]int64 // to fetch
	rest     fetched
	more     bool
	filling  *batch // nil while both others are in hand
	inserts  *batch
	settles  *batch
	free     []*batch
	restarts int
}

func newModel(w *schema.Warehouse, percent int) *model {
	m := &model{warehouse: newTables(), committed: map[int32]int64{0: 0, 1: 0}}
	m.cfg = Config{Topic: "t", Database: w.Database, BatchRows: 12, BatchBytes: 1 << 20, RejectWindow: 10, RejectPercent: percent}
	m.metrics, _ = newMetrics(prometheus.NewRegistry())
	m.schemas = &schemas{interval: 1 << 40, turn: make(chan struct{}, 1), readAt: time.Now()}
	m.schemas.now.Store(w)
	m.warehouse.revision = func() uint32 { return m.schemas.current().Revision }
	m.warehouse.midway = func(what string) {
		if what == "columns" {
			m.evolve()
		} else {
			m.constrain()
		}
	}
	m.restart()
	return m
}

// restart loses all that is in memory.
func (m *model) restart() {
	m.restarts++
	m.breaker = newBreaker(m.cfg.RejectWindow, m.cfg.RejectPercent)
	salt := fmt.Sprint(m.restarts)
	m.free = []*batch{newBatch(&m.cfg, salt), newBatch(&m.cfg, salt)}
	m.filling, m.inserts, m.settles = nil, nil, nil
	m.rebalance()
}

// rebalance gives up what is in hand; the next generation begins where Kafka says.
func (m *model) rebalance() {
	for _, b := range []*batch{m.filling, m.inserts, m.settles} {
		if b != nil {
			m.free = append(m.free, b)
		}
	}
	m.filling, m.inserts, m.settles, m.rest, m.more = nil, nil, nil, fetched{}, false
	m.flusher = &flusher{
		conn: m.warehouse, schemas: m.schemas, breaker: m.breaker, offsets: &offsets{}, commit: m.commit,
		timeout: time.Minute, health: newHealth(zerolog.Nop()), lag: &lag{metrics: m.metrics}, metrics: m.metrics,
	}
	m.next = map[int32]int64{}
	for p, offset := range m.committed {
		m.flusher.offsets.assign(p, offset)
		m.next[p] = offset
	}
	m.changed()
}

// changed notes that rows may be written once more from here on, because they are judged, typed or read anew.
func (m *model) changed() {
	clear(m.warehouse.writes)
	clear(m.warehouse.tokens)
}

// disturb is what happens from time to time.
func (m *model) disturb(t *rapid.T) {
	switch rapid.SampledFrom([]string{"", "", "rebalance", "restart", "constraint", "columns"}).Draw(t, "disturb") {
	case "rebalance":
		m.rebalance()
	case "restart":
		m.restart()
	case "constraint":
		m.constrain()
	case "columns":
		m.evolve()
	}
}

func (m *model) constrain() {
	m.warehouse.constrained = !m.warehouse.constrained
	m.changed()
}

func (m *model) evolve() {
	w := *m.schemas.current()
	w.Revision++
	m.schemas.now.Store(&w)
	m.changed()
}

func (m *model) produce(t *rapid.T) {
	p := rapid.IntRange(0, len(m.log)-1).Draw(t, "partition")
	kinds := []string{"evt", "evt", "evt", "evt", "evt", "guilty", "again", "no event"}
	if rapid.IntRange(0, 2).Draw(t, "flood") == 0 {
		kinds = []string{"guilty"}
	}
	for _, kind := range rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 15).Draw(t, "records") {
		n := len(m.log[p])
		id := fmt.Sprintf("%s_%d_%d", kind, p, n)
		if kind == "again" { // one ID several times
			id = fmt.Sprintf("again_%d", n%3)
		}
		body := fmt.Sprintf(`{"id":%q,"type":"lead.created","createdAt":"2026-05-27T23:34:12.345Z","data":{"leadId":"ld_1"}}`, id)
		if kind == "no event" {
			body = "{"
		}
		m.log[p] = append(m.log[p], kafka.Message{Partition: p, Offset: int64(n), Key: []byte(id), Value: []byte(body), Time: time.UnixMilli(1_780_000_000_000)})
	}
}

// fetch puts records of a partition into the batch that fills.
func (m *model) fetch(t *rapid.T) {
	p := rapid.Int32Range(0, int32(len(m.log)-1)).Draw(t, "partition")
	m.take(p, rapid.IntRange(1, 20).Draw(t, "records"))
}

func (m *model) take(p int32, n int) {
	if m.filling == nil && len(m.free) > 0 {
		m.filling, m.free = m.free[0], m.free[1:]
		m.filling.reset(m.schemas.current())
		if m.more {
			m.rest, m.more = m.filling.take(m.rest, time.Now())
		}
	}
	if m.filling == nil || m.filling.full() || m.more {
		return
	}
	f := fetched{span: span{p, m.next[p], min(m.next[p]+int64(n), int64(len(m.log[p])))}}
	for i := f.from; i < f.next; i++ {
		f.records = append(f.records, newRecord(&m.log[p][i], &arena{}))
	}
	if len(f.records) > 0 {
		m.next[p] = f.next
		m.rest, m.more = m.filling.take(f, time.Now())
	}
}

// insert is one attempt of the goroutine that inserts; settle is one of the other's.
func (m *model) insert(t *rapid.T) {
	if m.inserts == nil && m.filling != nil && !m.filling.empty() {
		m.inserts, m.filling = m.filling, nil
	}
	m.attempt(t, &m.inserts, recording)
	if m.inserts != nil && m.inserts.at == recording && m.settles == nil {
		m.settles, m.inserts = m.inserts, nil
	}
}

func (m *model) settle(t *rapid.T) {
	m.attempt(t, &m.settles, finished)
	if m.settles != nil && m.settles.at == finished {
		m.free, m.settles = append(m.free, m.settles), nil
	}
}

func (m *model) attempt(t *rapid.T, b **batch, to state) {
	if *b == nil || (*b).at == to {
		return
	}
	faults := []string{"", "", "", "", "before", "after"}
	for _, table := range []string{"deliveries", "dead_letters", "lead_events"} {
		if table == "lead_events" { // not the others, which are inserted beside it: the model would not know what came first
			faults = append(faults, "columns", "constraint")
		}
		m.warehouse.faults[table] = rapid.SliceOfN(rapid.SampledFrom(faults), 0, 12).Draw(t, table)
	}
	m.commits, m.lost = nil, false
	if rapid.IntRange(0, 3).Draw(t, "commit") == 0 {
		m.commits, m.lost = errors.New("no"), rapid.Bool().Draw(t, "lost")
	}
	if m.flusher.attempt(t.Context(), *b) == nil {
		(*b).at++
	}
}

// commit is Kafka.
func (m *model) commit(due map[int32]int64) error {
	if m.commits == nil || m.lost {
		for p, offset := range due {
			m.committed[p] = offset
		}
	}
	return m.commits
}

// check asserts what must hold at any moment.
func (m *model) check(t *rapid.T) {
	w := m.warehouse
	for p, end := range m.committed {
		for offset := range end {
			m.checkRecord(t, at{p, offset})
		}
	}
	if w.stale {
		t.Fatal("rows were sent that were typed for other columns than the newest known")
	}
	for row, n := range w.writes {
		if n > 1 {
			t.Fatalf("%v is written %d times, without a reason", row, n)
		}
	}
	for row, reason := range w.dead {
		id := string(m.log[row.partition][row.offset].Key)
		if reason == string(schema.Rejected) != strings.HasPrefix(id, "guilty") {
			t.Fatalf("%s of %v is a dead letter: %s", id, row, reason)
		}
	}
}

// checkRecord asserts that a committed record has its entry, and what the entry says it has.
func (m *model) checkRecord(t *rapid.T, row at) {
	id := string(m.log[row.partition][row.offset].Key)
	switch outcome := m.warehouse.ledger[row]; {
	case outcome == "":
		t.Fatalf("committed %v, but the ledger lacks %v", m.committed, row)
	case outcome == string(schema.Inserted) && !m.warehouse.events[id]:
		t.Fatalf("%s of %v is inserted, says the ledger, and has no row", id, row)
	case outcome == string(schema.DeadLettered) && m.warehouse.dead[row] == "":
		t.Fatalf("%s of %v is a dead letter, says the ledger, and is none", id, row)
	}
}

// finish lets everything come to its end: nothing may be stuck.
func (m *model) finish(t *rapid.T) {
	m.warehouse.constrained = false
	clear(m.warehouse.faults)
	m.commits = nil
	done := func() bool {
		for p, log := range m.log {
			if m.committed[int32(p)] < int64(len(log)) {
				return false
			}
		}
		return true
	}
	for range 1000 {
		if done() {
			break
		}
		for p := range m.log {
			m.take(int32(p), 100)
		}
		for _, b := range []*batch{m.settles, m.inserts} {
			waits := b == nil || b.at == finished || b == m.inserts && b.at == recording
			if !waits && m.flusher.attempt(t.Context(), b) == nil {
				b.at++
			}
		}
		m.move()
		m.check(t)
	}
	if !done() {
		t.Fatalf("committed %v of %d and %d records, and nothing moves", m.committed, len(m.log[0]), len(m.log[1]))
	}
	for p, log := range m.log {
		for offset, msg := range log {
			row, id := at{int32(p), int64(offset)}, string(msg.Key)
			if m.warehouse.dead[row] == "" && !m.warehouse.events[id] {
				t.Fatalf("%s of %v is nowhere", id, row)
			}
		}
	}
}

// move hands batches on.
func (m *model) move() {
	if m.settles != nil && m.settles.at == finished {
		m.free, m.settles = append(m.free, m.settles), nil
	}
	if m.settles == nil && m.inserts != nil && m.inserts.at == recording {
		m.settles, m.inserts = m.inserts, nil
	}
	if m.inserts == nil && m.filling != nil && !m.filling.empty() {
		m.inserts, m.filling = m.filling, nil
	}
}

// tables is a ClickHouse of maps. A block of the same rows in the same order comes under the same token: see
// TestATokenIsOverEverythingThatMakesABlockAnother.
type tables struct {
	driver.Conn

	mu          sync.Mutex // two tables are inserted at a time
	constrained bool       // no guilty rows
	faults      map[string][]string
	tokens      map[string]bool
	events      map[string]bool // by ID
	ledger      map[at]string   // outcome
	dead        map[at]string   // reason
	writes      map[at]int      // of event rows
	midway      func(string)    // what happens right after an INSERT
	revision    func() uint32   // the newest columns'
	stale       bool            // rows typed for others have come
}

func newTables() *tables {
	return &tables{
		faults: map[string][]string{}, tokens: map[string]bool{}, events: map[string]bool{},
		ledger: map[at]string{}, dead: map[at]string{}, writes: map[at]int{},
	}
}

var insertInto = regexp.MustCompile("^INSERT INTO `[^`]+`.`([^`]+)` \\((.*)\\)$")

func (w *tables) PrepareBatch(_ context.Context, query string, _ ...driver.PrepareBatchOption) (driver.Batch, error) {
	parts := insertInto.FindStringSubmatch(query)
	return &rows{to: w, table: parts[1], names: strings.Split(strings.ReplaceAll(parts[2], "`", ""), ", "), values: map[string]any{}}, nil
}

// rows are one INSERT's.
type rows struct {
	driver.Batch
	to     *tables
	table  string
	names  []string
	values map[string]any
}

func (r *rows) Column(i int) driver.BatchColumn { return &values{rows: r, name: r.names[i]} }

type values struct {
	driver.BatchColumn
	rows *rows
	name string
}

func (v *values) Append(all any) error {
	v.rows.values[v.name] = all
	return nil
}

func (r *rows) Send() error {
	w := r.to
	w.mu.Lock()
	defer w.mu.Unlock()
	fault := ""
	defer func() {
		if fault == "columns" || fault == "constraint" {
			w.midway(fault)
		}
	}()
	if planned := w.faults[r.table]; len(planned) > 0 {
		fault, w.faults[r.table] = planned[0], planned[1:]
	}
	if fault == "before" {
		return errors.New("cut before the write")
	}
	ids, _ := r.values["event_id"].([]string)
	if typed, _ := r.values["_schema"].([]uint32); len(typed) > 0 && typed[0] != w.revision() {
		w.stale = true
	}
	if w.constrained && slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "guilty") }) {
		return &clickhouse.Exception{Code: 469, Message: "Constraint is violated"}
	}
	r.write(ids)
	if fault == "after" {
		return errors.New("the answer is lost")
	}
	return nil
}

func (r *rows) write(ids []string) {
	w := r.to
	positions := r.positions()
	token := fmt.Sprint(r.table, positions, r.values["_schema"], r.values["outcome"], r.values["reason"])
	if w.tokens[token] {
		return
	}
	w.tokens[token] = true
	for i, row := range positions {
		switch r.table {
		case "deliveries":
			w.ledger[row] = r.values["outcome"].([]string)[i]
		case "dead_letters":
			w.dead[row] = r.values["reason"].([]string)[i]
		default:
			w.events[ids[i]] = true
			w.writes[row]++
		}
	}
}

func (r *rows) positions() []at {
	partitions, ok := r.values["kafka_partition"].([]int32)
	offsets, _ := r.values["kafka_offset"].([]int64)
	if !ok {
		partitions, offsets = r.values["_partition"].([]int32), r.values["_offset"].([]int64)
	}
	positions := make([]at, len(partitions))
	for i := range partitions {
		positions[i] = at{partitions[i], offsets[i]}
	}
	return positions
}
