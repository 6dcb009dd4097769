package deadletters_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/deadletters"
)

// What ClickHouse refused goes in once the cause is mended; what is no event stays, with what is said of it today.
func TestReplayAfterTheCauseIsMended(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec("ALTER TABLE db.lead_events ADD CONSTRAINT never CHECK email != 'a@example.com'")
	d.bury(rejected("lead", 5, "lead.created")...)
	d.bury(dead{body: event("evt_good", "lead.created", `{"leadId":"x","email":"b@example.com"}`), reason: schema.Rejected})
	d.bury(rejected("task", 2, "task.created")...)
	d.bury(rejected("odd", 1, "no-table-of-mine")...)
	d.bury(dead{body: `{"id":`, reason: schema.InvalidUTF8, detail: "an older decoder's"}, dead{body: `[]`, reason: schema.BadEnvelope, detail: "the body is JSON, but not an object"})

	result := d.replay(openOnes)
	if got, want := fmt.Sprint(result.Replayed, result.Stayed), "map[lead_events:1 other_events:1 task_events:2] map[bad_envelope:1 invalid_json:1 rejected:5]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d.check(7, 4, 0)
	d.want("SELECT (countIf(detail LIKE '%469%never%'), countIf(reason = 'invalid_json'), countIf(version = 0)) FROM db.dead_letters FINAL WHERE status = 'open'", "(5,1,1)")

	if again := d.replay(openOnes); again.Replays() != 0 || again.Stays() != 7 {
		t.Errorf("again: got %+v", again)
	}
	d.check(7, 4, 0)
	d.exec("ALTER TABLE db.lead_events DROP CONSTRAINT never")
	if result = d.replay(openOnes); result.Replays() != 5 || result.Stays() != 2 {
		t.Errorf("mended: got %+v", result)
	}
	d.check(2, 9, 0)
	d.want("SELECT (count(), countIf(lead_id = 'l_1'), uniqExact(_received_at)) FROM db.lead_events FINAL WHERE email = 'a@example.com'", "(5,5,5)")
	d.want("SELECT (min(_partition), min(_offset), toUnixTimestamp64Milli(min(_received_at)), bitAnd(min(_version), bitShiftLeft(toUInt64(1), 44) - 1)) FROM db.lead_events FINAL",
		fmt.Sprintf("(0,0,%d,%[1]d)", at(0, 0).ReceivedAt.UnixMilli()))
}

// A dry run says what would be tried, and writes nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("lead", 3, "lead.created")...)
	d.bury(dead{body: `{"id":`, reason: schema.InvalidUTF8})
	result, err := d.table(d.config()).Replay(t.Context(), d.sel(openOnes), true)
	if err != nil || result.Replayed["lead_events"] != 3 || result.Stayed[schema.InvalidJSON] != 1 {
		t.Errorf("got %+v, %v", result, err)
	}
	d.check(4, 0, 0)
	d.want("SELECT max(version) FROM db.dead_letters", "0")
}

// The same event in several letters, and in the warehouse already, is one row.
func TestReplayCollapses(t *testing.T) {
	t.Parallel()
	d := open(t)
	for range 3 {
		d.bury(rejected("lead", 2, "lead.created")...)
	}
	d.replay(openOnes)
	d.check(0, 6, 0)
	d.want("SELECT count() FROM db.lead_events FINAL", "2")
	// Rows that were lost come back: replayed letters can be replayed.
	d.exec("TRUNCATE TABLE db.lead_events")
	if result := d.replay(deadletters.Filter{}); result.Replays() != 6 {
		t.Errorf("got %+v", result)
	}
	d.check(0, 6, 0)
	d.want("SELECT count() FROM db.lead_events FINAL", "2")
}

// The columns and tables are today's.
func TestReplayUsesTodaysSchema(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(dead{body: event("evt_1", "document.signed", `{"documentId":"d_1"}`), reason: schema.Rejected})
	s := d.sel(openOnes)
	d.evolve(`{"success":true,"data":{"all":[{"event":"document.signed","description":"","examplePayload":{"documentId":"x"}}]}}`)
	if result, err := d.table(d.config()).Replay(t.Context(), s, false); err != nil || result.Replayed["document_events"] != 1 {
		t.Errorf("got %+v, %v", result, err)
	}
	d.want("SELECT (document_id, _schema) FROM db.document_events FINAL", "('d_1',2)")
	d.check(0, 1, 0)
}

// A table that is dropped and made again in the middle is waited for.
func TestReplayWaitsForATable(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("lead", 30, "lead.created")...)
	cfg := d.config()
	cfg.ChunkRows = 10
	cfg.Progress = &tripwire{rows: 10, trip: func() {
		d.exec("RENAME TABLE db.lead_events TO db.away")
		go func() {
			_ = d.conn.Exec(d.Context(), d.in("RENAME TABLE db.away TO db.lead_events"))
		}()
	}}
	if result, err := replay(t.Context(), cfg, openOnes); err != nil || result.Replays() != 30 {
		t.Errorf("got %+v, %v", result, err)
	}
	d.check(0, 30, 0)
}

// tripwire is a progress that calls trip once that many letters are done.
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

// A sink that fetches a record once more writes version 0, which must not win.
func TestARefetchDoesNotWin(t *testing.T) {
	t.Parallel()
	d := open(t)
	write := func() {
		d.next = 0
		d.bury(rejected("lead", 2, "lead.created")...)
		d.bury(dead{body: `{"id":`, reason: schema.InvalidUTF8, detail: "said once"})
		d.bury(dead{body: `x`, reason: schema.InvalidJSON})
	}
	write()
	d.replay(openOnes) // the first two go in, the third has another reason now
	d.discard(deadletters.Filter{Statuses: openOnes.Statuses, Places: []deadletters.Place{place(t, "0:3")}})
	d.check(1, 2, 1)
	for range 2 {
		write()
		d.check(1, 2, 1)
		d.exec("OPTIMIZE TABLE db.dead_letters FINAL")
		d.exec("OPTIMIZE TABLE db.deliveries FINAL")
		d.check(1, 2, 1)
	}
	d.want("SELECT reason FROM db.dead_letters FINAL WHERE status = 'open'", "invalid_json")
}

// A sink that was killed before its commit may insert what it called dead at first: the ledger says so, and the letter's
// status follows it, whatever is done next, and stays so.
func TestTheStatusFollowsTheLedger(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*db){
		"replay":           func(d *db) { d.replay(openOnes) },
		"a refused replay": func(d *db) { d.refuseLeads(); d.replay(openOnes) },
		"discard":          func(d *db) { d.discard(openOnes) },
		"replay after a discard that knew nothing": func(d *db) {
			d.exec("INSERT INTO db.dead_letters SELECT * REPLACE ('discarded' AS status, 4294967297 AS version) FROM db.dead_letters FINAL")
			d.replay(deadletters.Filter{Statuses: openOnes.Statuses, Partitions: []int32{77}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			letters := rejected("lead", 2, "lead.created")
			d.bury(letters...)
			w, err := schema.Load(t.Context(), d.conn, d.name)
			if err != nil {
				t.Fatal(err)
			}
			block := schema.NewEventBlock(w, w.TableFor("lead.created"))
			var decoder schema.Decoder
			for i, l := range letters {
				e, err := decoder.Decode([]byte(l.body))
				if err != nil {
					t.Fatal(err)
				}
				block.Append(e, []byte(l.body), at(0, int64(i)))
				d.ledger.Append(e.ID, []byte(l.body), at(0, int64(i)), schema.Inserted)
			}
			if err := block.Insert(t.Context(), d.conn, ""); err != nil {
				t.Fatal(err)
			}
			d.flush()
			next(d)
			d.check(0, 2, 0)
			d.next = 0 // and a zombie comes with what it held
			d.bury(letters...)
			d.check(0, 2, 0)
		})
	}
}

func (d *db) refuseLeads() {
	d.exec("ALTER TABLE db.lead_events ADD CONSTRAINT never CHECK email != 'a@example.com'")
}

// What was erased does not come back.
func TestErasedStaysErased(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("lead", 2, "lead.created")...)
	d.exec("INSERT INTO db.deliveries SELECT * REPLACE ('erased' AS outcome, 2 AS version) FROM db.deliveries FINAL WHERE kafka_offset = 0")
	if result := d.replay(openOnes); result.Erased != 1 || result.Replays() != 1 {
		t.Errorf("got %+v", result)
	}
	d.want("SELECT count() FROM db.lead_events FINAL", "1")
}

// A discard says so of what is open, and can be taken back.
func TestDiscard(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("lead", 3, "lead.created")...)
	d.bury(dead{body: "x", reason: schema.InvalidJSON, detail: "an older decoder's"})
	d.replay(deadletters.Filter{Statuses: openOnes.Statuses, Limit: 1})
	for _, statuses := range [][]schema.Status{nil, {schema.Replayed}, {schema.Open, schema.Replayed}} {
		if _, err := d.table(d.config()).Discard(t.Context(), d.sel(deadletters.Filter{Statuses: statuses})); err == nil {
			t.Errorf("%v was discarded", statuses)
		}
	}
	if done := d.discard(openOnes); done.Letters != 3 || done.Settled != 0 {
		t.Errorf("got %+v", done)
	}
	d.check(0, 1, 3)
	result := d.replay(deadletters.Filter{Statuses: []schema.Status{schema.Discarded}})
	if result.Replays() != 2 || result.Stays() != 1 {
		t.Errorf("got %+v", result)
	}
	d.check(0, 3, 1)
}

// Letters that come meanwhile are not the selection's: nobody was asked about them.
func TestASelectionEndsWhereItBegan(t *testing.T) {
	t.Parallel()
	d := open(t)
	in := func(partition int32, prefix string) {
		letters := rejected(prefix, 3, "lead.created")
		for i := range letters {
			letters[i].partition = partition
		}
		d.bury(letters...)
	}
	in(1, "lead")
	in(2, "lead")
	s := d.sel(openOnes)
	in(1, "late")
	in(3, "late")
	if done, err := d.table(d.config()).Discard(t.Context(), s); err != nil || done.Letters != 6 {
		t.Errorf("got %+v, %v", done, err)
	}
	d.check(6, 0, 6)
	d.want("SELECT max(kafka_offset) FROM db.dead_letters FINAL WHERE status = 'discarded'", "5")
}

// Cut between two of its writes, a replay says of nothing that it is where it is not; and what comes next, whatever it is,
// ends in the same state.
func TestCutBetweenTwoWrites(t *testing.T) {
	t.Parallel()
	const rows = "SELECT count() FROM db.lead_events FINAL"
	const entries = "SELECT countIf(outcome = 'inserted') FROM db.deliveries FINAL"
	for name, test := range map[string]struct {
		table, constraint string
		entries           string // that the ledger has as inserted, after the cut
	}{
		"before the ledger": {"deliveries", "outcome != 'inserted'", "0"},
		"before the status": {"dead_letters", "status != 'replayed'", "3"},
	} {
		for _, next := range []string{"replay", "a refused replay", "discard"} {
			t.Run(name+", then "+next, func(t *testing.T) {
				t.Parallel()
				d := open(t)
				d.bury(rejected("lead", 3, "lead.created")...)
				d.exec("ALTER TABLE db." + test.table + " ADD CONSTRAINT cut CHECK " + test.constraint)
				if result, err := replay(t.Context(), d.config(), openOnes); err == nil {
					t.Fatalf("it was not cut: %+v", result)
				}
				d.want(rows, "3")
				d.want(entries, test.entries)
				d.want("SELECT countIf(status = 'open') FROM db.dead_letters FINAL", "3")
				d.exec("ALTER TABLE db." + test.table + " DROP CONSTRAINT cut")
				if next == "a refused replay" {
					d.refuseLeads()
				}
				if next != "discard" {
					d.replay(openOnes)
				} else if done := d.discard(openOnes); done.Letters != 0 || done.Settled != 3 {
					t.Errorf("got %+v", done)
				}
				d.check(0, 3, 0)
			})
		}
	}
}

// What ClickHouse quotes of a payload is said in a letter's detail, and in no error or log.
func TestErrorsQuoteNoPayload(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.bury(rejected("personal", 1, "lead.created")...)
	d.exec("ALTER TABLE db.dead_letters ADD CONSTRAINT cut CHECK status = 'open' OR payload = ''")
	var log strings.Builder
	cfg := d.config()
	cfg.Logger = zerolog.New(&log)
	_, err := replay(t.Context(), cfg, openOnes)
	if err == nil || strings.Contains(err.Error()+log.String(), "personal") || !strings.Contains(err.Error(), "469") {
		t.Errorf("got %v, and the log %s", err, log.String())
	}
}

// Of two that have read a letter before either has written, the one that put its event into the table wins.
func TestReplayedWinsWhoeverIsLast(t *testing.T) {
	t.Parallel()
	for _, order := range [][]schema.Status{
		{schema.Replayed, schema.Discarded},
		{schema.Discarded, schema.Replayed},
		{schema.Replayed, schema.Open},
		{schema.Open, schema.Replayed},
		{schema.Open, schema.Open, schema.Open, schema.Discarded, schema.Replayed, schema.Discarded, schema.Open},
	} {
		d := open(t)
		d.bury(rejected("lead", 1, "lead.created")...)
		version := uint64(0)
		for _, s := range order {
			d.letters.Append(nil, nil, nil, schema.Rejected, "", at(0, 0))
			d.letters.Become(s, version)
			if s == schema.Open {
				version = s.Version(version) // the only ones that have read what they follow
			}
			if err := d.letters.Insert(t.Context(), d.conn, ""); err != nil {
				t.Fatal(err)
			}
			d.letters.Reset()
		}
		d.want("SELECT status FROM db.dead_letters FINAL", "replayed")
	}
}

// Two replays and a discard at once: what a replay has put in is replayed.
func TestAllAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	for range 2 {
		d.bury(rejected(fmt.Sprint("lead", d.next), 60, "lead.created")...)
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			cfg := d.config()
			cfg.ChunkRows = 10
			if i < 3 {
				_, errs[i] = replay(d.Context(), cfg, openOnes)
				return
			}
			table, err := deadletters.New(cfg)
			if err != nil {
				errs[i] = err
				return
			}
			s, err := table.Select(d.Context(), openOnes)
			if err == nil {
				_, err = table.Discard(d.Context(), s)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	d.replay(deadletters.Filter{Statuses: []schema.Status{schema.Open, schema.Discarded}})
	d.check(0, 120, 0)
}

func TestAReplayThatIsKilledIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	d := open(t)
	const letters, kills = 2000, 4
	d.bury(rejected("lead", letters-200, "lead.created")...)
	d.bury(rejected("odd", 100, "no-table-of-mine")...)
	for range 100 {
		d.bury(dead{body: fmt.Sprintf(`{"id":%d`, d.next), reason: schema.InvalidUTF8})
	}
	entries := func() uint64 {
		var n uint64
		if err := d.conn.QueryRow(d.Context(), d.in("SELECT count() FROM db.deliveries FINAL WHERE outcome = 'inserted'")).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range kills {
		from := entries()
		child := d.child(t)
		eventually(t, "the replay is under way", func() bool { return entries() >= from+3*childRows })
		child.Kill()
		if child.ExitCode() == 0 {
			t.Fatal("the replay was over before it was killed")
		}
		// At every moment: a position has one entry, and of what the ledger calls inserted there is a row.
		d.want("SELECT count() FROM db.deliveries FINAL", fmt.Sprint(letters))
		d.want(`SELECT count() FROM db.deliveries FINAL WHERE outcome = 'inserted' AND event_id_hash NOT IN (SELECT toFixedString(left(SHA256(event_id), 16), 16) FROM db.events)`, "0")
		d.want(`SELECT count() FROM db.dead_letters FINAL WHERE status = 'replayed' AND (kafka_partition, kafka_offset) NOT IN (SELECT kafka_partition, kafka_offset FROM db.deliveries FINAL WHERE outcome = 'inserted')`, "0")
	}
	if entries() >= letters-100 {
		t.Fatal("all letters were replayed before the last kill")
	}
	child := d.child(t)
	if err := child.Err(); err != nil {
		t.Fatal(err)
	}
	d.check(100, letters-100, 0)
	d.want("SELECT (count(), uniqExact(event_id)) FROM db.events", fmt.Sprintf("(%d,%[1]d)", letters-100))
}

// eventually polls a condition: what it waits for is another process's doing.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("the test ended before: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ClickHouse may be restarted in the middle of it; if it stays away, that is an error, in time.
func TestReplaySurvivesClickHouse(t *testing.T) {
	t.Parallel()
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	d := openOn(t, ch)
	d.bury(rejected("lead", 200, "lead.created")...)
	cfg := d.config()
	cfg.ChunkRows = 10
	restarted := make(chan error, 1)
	cfg.Progress = &tripwire{rows: 50, trip: func() {
		ch.Kill()
		go func() { restarted <- ch.Restart(context.WithoutCancel(t.Context())) }()
	}}
	result, err := replay(t.Context(), cfg, openOnes)
	if err := errors.Join(err, <-restarted); err != nil || result.Replays() != 200 {
		t.Fatalf("got %+v, %v", result, err)
	}
	d.check(0, 200, 0)

	d.bury(rejected("late", 20, "lead.created")...)
	cfg.Progress = &tripwire{rows: 10, trip: ch.Kill}
	cfg.RetryFor = 300 * time.Millisecond
	if result, err = replay(t.Context(), cfg, openOnes); err == nil || result.Replays() < 10 {
		t.Errorf("got %+v, %v", result, err)
	}
}

func TestNoWarehouse(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec("DROP TABLE db.dead_letters SYNC")
	_, err := d.table(d.config()).Select(t.Context(), openOnes)
	if !errors.Is(err, schema.ErrNotSetUp) {
		t.Errorf("got %v", err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	_, err := deadletters.New(deadletters.Config{Database: "a b", ChunkRows: -1, ChunkBytes: -1, RetryFor: -1, RetryMin: 2, RetryMax: 1})
	for _, field := range []string{"ClickHouse", "Database", "ChunkRows", "ChunkBytes", "RetryFor", "RetryMin"} {
		if err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s is not named in %v", field, err)
		}
	}
}
