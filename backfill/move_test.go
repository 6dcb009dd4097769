package backfill_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/schema"
)

var (
	beforeMove = []string{"lead.created", `{"leadId":"x"}`}
	afterMove  = []string{"lead.created", `{"leadId":"x"}`, "document.signed", `{"documentId":"x","pages":1}`}
)

// newMove is a warehouse with n documents, and as many notes, in other_events.
func newMove(t *testing.T, n int) (d db, sink *schema.Warehouse) {
	t.Helper()
	d = open(t)
	d.run(d.config(beforeMove...))
	sink = d.load()
	d.deliver(sink, 0, events("doc", n, "document.signed", `{"documentId":"d","pages":2}`)...)
	d.deliver(sink, int64(n), events("note", n, "note.written", `{}`)...)
	return d, sink
}

// moved checks the end of it: n documents typed, in their table alone.
func (d db) moved(n int) {
	d.Helper()
	d.want("SELECT (count(), countIf(pages = 2)) FROM db.document_events FINAL", fmt.Sprintf("(%d,%d)", n, n))
	d.want("SELECT countIf(event_type = 'document.signed') FROM db.other_events", "0")
	d.want("SELECT count() FROM db.other_events FINAL", fmt.Sprint(n))
	d.want("SELECT (count(), uniqExact(event_id)) FROM db.events", fmt.Sprintf("(%d,%d)", 2*n, 2*n))
	d.idle(d.config(afterMove...))
}

// **The view events shows each event once at every moment of a move**, whatever a reader meets.
func TestTheViewIsExactDuringAMove(t *testing.T) {
	t.Parallel()
	const n = 4000
	d, _ := newMove(t, n)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var reads [3]int
	for i := range reads {
		readers.Go(func() {
			for ctx.Err() == nil {
				got, err := ask[string](ctx, d, "SELECT toString((count(), uniqExact(event_id))) FROM db.events")
				if want := fmt.Sprintf("(%d,%d)", 2*n, 2*n); ctx.Err() == nil && (err != nil || got != want) {
					t.Errorf("a reader saw %s, %v; want %s", got, err, want)
				}
				reads[i]++
			}
		})
	}
	cfg := d.config(afterMove...)
	cfg.ChunkRows = 100 // 40 inserts and deletes
	cfg.Progress = &tripwire{}
	d.run(cfg)
	stop()
	readers.Wait()
	t.Logf("%d reads", reads[0]+reads[1]+reads[2])
	d.moved(n)
}

// Killed after the insert and before the delete: the rows are in both tables, and to be seen once.
func TestAMoveThatIsKilledBetweenInsertAndDelete(t *testing.T) {
	t.Parallel()
	const n = 3000
	d, _ := newMove(t, n)
	d.exec("SYSTEM STOP MERGES db.other_events") // a DELETE waits for as long
	child := d.child(t, d.catalogFile(afterMove...))
	eventually(t, "the run waits in its first DELETE", func() bool {
		waiting, err := ask[uint64](t.Context(), d, "SELECT count() FROM system.mutations WHERE database = '"+d.name+"' AND NOT is_done")
		return err == nil && waiting == 1
	})
	once := fmt.Sprintf("(%d,%d)", 2*n, 2*n)
	d.want("SELECT count() FROM db.document_events", fmt.Sprint(childRows))
	d.want("SELECT (count(), uniqExact(event_id)) FROM db.events", once)
	child.Kill()
	// Before the DELETE was given, it would be this:
	d.exec("KILL MUTATION WHERE database = '" + d.name + "'")
	d.exec("SYSTEM START MERGES db.other_events")
	d.want("SELECT (count(), countIf(event_type = 'document.signed')) FROM db.other_events", fmt.Sprintf("(%d,%d)", 2*n, n))
	d.want("SELECT (count(), uniqExact(event_id)) FROM db.events", once)

	if result, out := d.run(d.config(afterMove...)); result.Moved != n {
		t.Errorf("got %+v, want %d rows moved\n%s", result, n, out)
	}
	d.moved(n)
}

// Killed anywhere.
func TestAMoveThatIsKilledIsResumed(t *testing.T) {
	t.Parallel()
	const n = 20_000
	d, _ := newMove(t, n)
	catalog := d.catalogFile(afterMove...)
	left := func() uint64 {
		return one[uint64](d, "SELECT count() FROM db.other_events WHERE event_type = 'document.signed'")
	}
	for range 3 {
		from := left()
		child := d.child(t, catalog)
		eventually(t, "the move is under way", func() bool { return left() <= from-2*childRows })
		child.Kill()
		if child.ExitCode() == 0 {
			t.Fatal("the run was over before it was killed")
		}
		d.want("SELECT (count(), uniqExact(event_id)) FROM db.events", fmt.Sprintf("(%d,%d)", 2*n, 2*n))
	}
	if err := d.child(t, catalog).Err(); err != nil {
		t.Fatal(err)
	}
	d.moved(n)
}

// What a sink writes into other_events while a DELETE is under way has not been checked, and stays until it has.
func TestAMoveDeletesOnlyWhatWasChecked(t *testing.T) {
	t.Parallel()
	const n = 500
	d, sink := newMove(t, n)
	d.exec("SYSTEM STOP MERGES db.other_events")
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg := d.config(afterMove...)
	cfg.SettleFor = time.Second // new rows are found in a later sweep
	go func() {
		_, out, err := tryRun(ctx, cfg)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		done <- err
	}()
	eventually(t, "the run waits in its DELETE", func() bool {
		waiting, err := ask[uint64](t.Context(), d, "SELECT count() FROM system.mutations WHERE database = '"+d.name+"' AND NOT is_done")
		return err == nil && waiting == 1
	})
	// The same events again, delivered later; the very rows that were read, by a sink that starts anew; and new ones.
	d.deliver(sink, 1_000_000, events("doc", n, "document.signed", `{"documentId":"d","pages":3}`)...)
	d.deliver(sink, 0, events("doc", n, "document.signed", `{"documentId":"d","pages":2}`)...)
	d.deliver(sink, 2_000_000, events("new", n, "document.signed", `{"documentId":"d","pages":3}`)...)
	d.exec("SYSTEM START MERGES db.other_events")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	d.want("SELECT (count(), countIf(pages = 3), max(_offset)) FROM db.document_events FINAL", fmt.Sprintf("(%d,%d,%d)", 2*n, 2*n, 2_000_000+n-1))
	d.want("SELECT countIf(event_type = 'document.signed') FROM db.other_events", "0")
	d.want("SELECT (count(), uniqExact(event_id)) FROM db.events", fmt.Sprintf("(%d,%d)", 3*n, 3*n))
}

// What comes after the rows were read and before they are deleted is not what was moved, though its event IDs are.
func TestAMoveLeavesWhatCameAfterItRead(t *testing.T) {
	t.Parallel()
	const n = 500
	d, sink := newMove(t, n)
	cfg := d.config(afterMove...)
	cfg.SettleFor = time.Second // a later sweep moves it
	cfg.ChunkRows = 100
	cfg.Progress = &tripwire{rows: 100, trip: func() { // four chunks have been read, or will be from the same parts
		if err := deliver(t.Context(), d.conn, sink, 1_000_000, events("doc", n, "document.signed", `{"documentId":"later","pages":2}`)...); err != nil {
			t.Error(err)
		}
	}}
	d.run(cfg)
	d.want("SELECT (count(), uniqExact(document_id), any(document_id)) FROM db.document_events FINAL", fmt.Sprintf("(%d,1,'later')", n))
	d.moved(n)
}

// Versions that lost are there until a merge: none may come back when the one that won is gone.
func TestAMoveTakesAllVersions(t *testing.T) {
	t.Parallel()
	const n = 200
	d, sink := newMove(t, n)
	d.exec("SYSTEM STOP MERGES db.document_events")
	d.deliver(sink, 500_000, events("doc", n, "document.signed", `{"documentId":"later","pages":2}`)...)
	d.deliver(sink, -500, events("doc", n, "document.signed", `{"documentId":"earlier","pages":2}`)...)
	result, out := d.run(d.config(afterMove...))
	if result.Moved != 3*n {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want("SELECT (count(), uniqExact(document_id), any(document_id)) FROM db.document_events FINAL", fmt.Sprintf("(%d,1,'later')", n))
	d.moved(n)
}

// Rows of other_events whose payload is not theirs move as they are.
func TestRowsThatCannotBeTypedAreMoved(t *testing.T) {
	t.Parallel()
	d, _ := newMove(t, 10)
	d.exec(`INSERT INTO db.other_events (event_id, event_type, occurred_at, payload, _schema, _version, _received_at)
		VALUES ('evt_\'odd', 'document.signed', 0, 'nothing', 1, bitShiftLeft(toUInt64(1), 44) + 7, toDateTime64('1970-01-01 00:00:00.007', 3))`)
	result, out := d.run(d.config(afterMove...))
	want := backfill.Result{Revision: 2, Steps: 5, Moved: 11, Carried: 1}
	if result != want {
		t.Errorf("got %+v, want %+v\n%s", result, want, out)
	}
	d.want("SELECT (count(), countIf(payload = 'nothing' AND pages IS NULL)) FROM db.document_events FINAL", "(11,1)")
	d.want("SELECT countIf(event_type = 'document.signed') FROM db.other_events", "0")
	d.idle(d.config(afterMove...))
}
