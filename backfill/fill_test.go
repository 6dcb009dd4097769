package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/deploy/local"
)

// filling is a warehouse of n leads whose catalog has just got the field score.
type filling struct {
	db
	n       int
	catalog []string
}

// newFilling leaves merges stopped: then every row ever written can be counted.
func newFilling(t *testing.T, d db, n int) filling {
	t.Helper()
	d.run(d.config("lead.created", `{"leadId":"x"}`))
	d.exec("SYSTEM STOP MERGES db.lead_events")
	const block = 5_000
	for i := 0; i < n; i += block {
		d.deliver(d.load(), int64(i), events(fmt.Sprintf("lead_%d", i), min(block, n-i), "lead.created", `{"leadId":"l","score":5.5}`)...)
	}
	return filling{d, n, []string{"lead.created", `{"leadId":"x","score":1}`}}
}

// written counts what has been inserted with the new column.
func (f filling) written() int {
	f.Helper()
	n, err := ask[uint64](f.Context(), f.db, "SELECT count() FROM db.lead_events WHERE _schema = 2")
	if err != nil {
		f.Fatal(err)
	}
	return int(n)
}

// check: all typed, none twice to be seen, and no more than one chunk written twice.
func (f filling) check(chunk int) {
	f.Helper()
	f.want("SELECT (count(), countIf(score = 5.5), uniqExact(_schema)) FROM db.lead_events FINAL", fmt.Sprintf("(%d,%d,1)", f.n, f.n))
	if again := f.written() - f.n; again < 0 || again > chunk {
		f.Errorf("rows written again: got %d, want at most %d", again, chunk)
	}
	f.exec("SYSTEM START MERGES db.lead_events")
	f.idle(f.config(f.catalog...))
}

func TestAFillThatIsCancelledIsResumed(t *testing.T) {
	t.Parallel()
	f := newFilling(t, open(t), 20_000)
	cfg := f.config(f.catalog...)
	cfg.ChunkRows = 1000
	for stop := 3000; stop < f.n; stop += 8000 { // twice
		ctx, cancel := context.WithCancel(t.Context())
		cfg.Progress = &tripwire{rows: stop - f.written(), trip: cancel}
		_, out, err := tryRun(ctx, cfg)
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v\n%s", err, out)
		}
		if got := f.written(); got < stop || got >= f.n {
			t.Fatalf("cancelled after %d rows, want %d and not all", got, stop)
		}
	}
	cfg.Progress = nil
	if result, out := f.run(cfg); result.Retyped == 0 || result.Retyped >= uint64(f.n) {
		t.Errorf("the resumed run did it all again, or nothing: %+v\n%s", result, out)
	}
	f.check(1000)
}

// tripwire is a progress that calls trip once that many rows are written.
type tripwire struct {
	rows int
	trip func()
}

func (*tripwire) Start(string, uint64) {}
func (*tripwire) Done()                {}
func (w *tripwire) Add(rows int) {
	if w.rows -= rows; w.rows <= 0 && w.trip != nil {
		w.trip()
		w.trip = nil
	}
}

func TestAFillThatIsKilledRepeatsAtMostOneChunk(t *testing.T) {
	t.Parallel()
	f := newFilling(t, open(t), 30_000)
	catalog := f.catalogFile(f.catalog...)
	for range 3 {
		from := f.written()
		child := f.child(t, catalog)
		eventually(t, "the fill is under way", func() bool { return f.written() >= from+3*childRows })
		child.Kill()
		if child.ExitCode() == 0 {
			t.Fatal("the run was over before it was killed")
		}
	}
	begun := f.written()
	if begun >= f.n {
		t.Fatalf("all %d rows were written before the last kill", begun)
	}
	child := f.child(t, catalog)
	if err := child.Err(); err != nil {
		t.Fatal(err)
	}
	f.check(3 * childRows) // one for each kill
}

// ClickHouse may be restarted in the middle of it: the same run goes on.
func TestAFillSurvivesClickHouse(t *testing.T) {
	t.Parallel()
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	f := newFilling(t, openOn(t, ch), 20_000)
	cfg := f.config(f.catalog...)
	cfg.ChunkRows = 1000
	down := make(chan struct{})
	cfg.Progress = &tripwire{rows: 5000, trip: func() { ch.Kill(); close(down) }}
	restarted := make(chan error, 1)
	go func() {
		<-down
		restarted <- ch.Restart(context.WithoutCancel(t.Context()))
	}()
	result, out, err := tryRun(t.Context(), cfg)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if result.Retyped < uint64(f.n) {
		t.Errorf("got %+v, want at least %d rows typed again", result, f.n)
	}
	f.want("SELECT (count(), countIf(score = 5.5), uniqExact(_schema)) FROM db.lead_events FINAL", fmt.Sprintf("(%d,%d,1)", f.n, f.n))
}

// And if it stays away, the run ends, in time, with an error.
func TestAFillGivesUpInTheEnd(t *testing.T) {
	t.Parallel()
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	f := newFilling(t, openOn(t, ch), 5_000)
	cfg := f.config(f.catalog...)
	cfg.ChunkRows = 1000
	cfg.RetryFor = 500 * time.Millisecond
	cfg.Progress = &tripwire{rows: 2000, trip: ch.Kill}
	began := time.Now()
	result, _, err := tryRun(t.Context(), cfg)
	if err == nil || result.Retyped < 2000 {
		t.Fatalf("got %+v, %v", result, err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A pool of two connections is enough: a third would be waited for in vain.
func TestTwoConnectionsAreEnough(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config(beforeMove...))
	d.deliver(d.load(), 0, events("lead", 3000, "lead.created", `{"leadId":"l","score":5}`)...)
	d.deliver(d.load(), 3000, events("doc", 3000, "document.signed", `{"documentId":"d"}`)...)
	options := d.ch.Options()
	options.MaxOpenConns, options.DialTimeout = 2, 5*time.Second // the latter is how long a connection is waited for
	pool, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`, "document.signed", `{"documentId":"x"}`)
	cfg.ClickHouse, cfg.ChunkRows, cfg.RetryFor = pool, 500, time.Nanosecond
	if result, out := d.run(cfg); result.Retyped != 3000 || result.Moved != 3000 {
		t.Errorf("got %+v\n%s", result, out)
	}
}

// Rows whose payload is not theirs stay as they are, once and for all.
func TestRowsThatCannotBeTyped(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x"}`))
	d.deliver(d.load(), 0, event("evt_good", "lead.created", `{"leadId":"l","score":5}`))
	for id, payload := range map[string]string{
		"evt_empty": "", "evt_broken": `{"id":`, "evt_foreign": event("evt_x", "lead.created", `{"score":6}`),
		"evt_moved": event("evt_moved", "task.created", `{"score":7}`), "evt_'quoted": `\'`,
	} {
		d.exec(fmt.Sprintf(`INSERT INTO db.lead_events (event_id, event_type, occurred_at, payload, lead_id, _schema, _version, _received_at)
			VALUES ('%s', 'lead.created', 0, '%s', 'mine', 1, bitShiftLeft(toUInt64(1), 44) + 7, toDateTime64('1970-01-01 00:00:00.007', 3))`,
			strings.ReplaceAll(id, "'", `\'`), strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(payload)))
	}
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`, "task.created", `{"score":1}`)
	result, out := d.run(cfg)
	want := backfill.Result{Revision: 2, Steps: result.Steps, Retyped: 6, Carried: 5}
	if result != want || !strings.Contains(out, "5 rows hold a payload that is no envelope") {
		t.Errorf("got %+v, want %+v\n%s", result, want, out)
	}
	d.want("SELECT (count(), countIf(lead_id = 'mine'), countIf(score = 5), countIf(score IS NULL), uniqExact(_schema)) FROM db.lead_events FINAL", "(6,5,1,5,1)")
	d.want("SELECT count() FROM db.events", "6")
	d.idle(cfg)
}

// A redelivery that a sink types with the new columns during the fill wins over what the fill read before.
func TestASinkWinsOverTheFill(t *testing.T) {
	t.Parallel()
	f := newFilling(t, open(t), 5_000)
	cfg := f.config(f.catalog...)
	cfg.ChunkRows = 1000
	cfg.Progress = &tripwire{rows: 1000, trip: func() { // all that the query will ever return is chosen
		if err := deliver(f.Context(), f.conn, f.load(), 1_000_000, events("lead_0", 5_000, "lead.created", `{"leadId":"l","score":6}`)...); err != nil {
			t.Error(err)
		}
	}}
	f.run(cfg)
	f.want("SELECT (count(), countIf(score = 6)) FROM db.lead_events FINAL", "(5000,5000)")
}

// A few stale rows among many, which are looked up and not searched for.
func TestAFewStaleRowsAmongMany(t *testing.T) {
	t.Parallel()
	d := open(t)
	cfg := d.config("lead.created", `{"leadId":"x"}`)
	d.run(cfg)
	old := d.load()
	next := d.config("lead.created", `{"leadId":"x","score":1}`)
	d.run(next)
	long := `{"leadId":"l","score":5,"note":"` + strings.Repeat("0123456789", 200) + `"}`
	for i := range 10 {
		d.deliver(d.load(), int64(i)*3000, events(fmt.Sprintf("lead_%d", i), 3000, "lead.created", long)...)
	}
	d.exec("OPTIMIZE TABLE db.lead_events FINAL")
	d.deliver(old, 100_000, events("late", 3, "lead.created", long)...)
	if result, out := d.run(next); result.Retyped != 3 {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want("SELECT (count(), countIf(score = 5)) FROM db.lead_events FINAL", "(30003,30003)")
}
