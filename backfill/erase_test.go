package backfill_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/backfill/erase"
	"github.com/leadhouse/leadhouse/schema"
)

// erase runs a whole erasure of lead l, of which nothing settles: what is written after it is not found by it.
func (d db) erase() {
	e, err := erase.New(erase.Config{ClickHouse: d.conn, Database: d.name, Leads: []string{"l"}, SettleFor: time.Nanosecond})
	if err == nil {
		_, err = e.Run(d.Context())
	}
	if err != nil {
		d.Error(err)
	}
}

// blank checks that nothing of lead l is left in a table, in any version, and that n rows say that it happened.
func (d db) blank(table string, n int) {
	d.Helper()
	d.want("SELECT (countIf(notEmpty(payload)), count() > 0) FROM db."+table+" WHERE position(event_id, 'other') = 0 SETTINGS apply_deleted_mask = 0", "(0,1)")
	d.want("SELECT (count(), countIf(notEmpty(payload))) FROM db."+table+" FINAL WHERE position(event_id, 'other') = 0", fmt.Sprintf("(%d,0)", n))
}

// The rows are read, a lead is erased, all of it, and only then the rows are written: they are written blank.
func TestALeadIsErasedWhileAFillHoldsItsRows(t *testing.T) {
	t.Parallel()
	const n, chunk = 3000, 500
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x","email":"x"}`))
	d.deliver(d.load(), 0, events("mine", n, "lead.created", `{"leadId":"l","email":"PERSON","score":5}`)...)
	d.deliver(d.load(), n, events("other", n, "lead.created", `{"leadId":"other","email":"theirs","score":5}`)...)
	cfg := d.config("lead.created", `{"leadId":"x","email":"x","score":1}`)
	cfg.ChunkRows = chunk
	cfg.Progress = &tripwire{rows: chunk, trip: d.erase} // all that the query will ever return is chosen, two chunks are typed
	result, out := d.run(cfg)
	d.blank("lead_events", n)
	d.want("SELECT (count(), countIf(lead_id = 'l'), uniqExact(_schema), countIf(email IS NOT NULL), countIf(score IS NOT NULL)) FROM db.lead_events FINAL WHERE startsWith(event_id, 'mine')",
		fmt.Sprintf("(%d,%d,1,0,0)", n, n))
	d.want("SELECT (count(), countIf(email = 'theirs' AND score = 5)) FROM db.lead_events FINAL WHERE startsWith(event_id, 'other')", fmt.Sprintf("(%d,%d)", n, n))
	if result.Erased < n-chunk || !strings.Contains(out, "were written blank") { // the first chunk was written before, and may be of it
		t.Errorf("got %+v\n%s", result, out)
	}
	d.idle(d.config("lead.created", `{"leadId":"x","email":"x","score":1}`))
}

// Likewise a move, whose rows lie in two tables for a while.
func TestALeadIsErasedWhileAMoveHoldsItsRows(t *testing.T) {
	t.Parallel()
	const n, chunk = 1500, 300
	d := open(t)
	d.run(d.config(beforeMove...))
	d.deliver(d.load(), 0, events("mine", n, "document.signed", `{"documentId":"d","leadId":"l","signer":"PERSON"}`)...)
	d.deliver(d.load(), n, events("other", n, "document.signed", `{"documentId":"d","leadId":"other","signer":"theirs"}`)...)
	cfg := d.config("lead.created", `{"leadId":"x"}`, "document.signed", `{"documentId":"x","leadId":"x","signer":"x"}`)
	cfg.ChunkRows = chunk
	cfg.Progress = &tripwire{rows: chunk, trip: d.erase}
	d.run(cfg)
	d.blank("document_events", n)
	d.want("SELECT countIf(notEmpty(payload)) FROM db.other_events WHERE startsWith(event_id, 'mine') SETTINGS apply_deleted_mask = 0", "0")
	d.want("SELECT (count(), countIf(signer = 'theirs')) FROM db.document_events FINAL WHERE startsWith(event_id, 'other')", fmt.Sprintf("(%d,%d)", n, n))
}

// Rows that were erased before are not typed again for ever, keep what was kept, and get nothing new.
func TestErasedRowsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x","email":"x","source":"x"}`))
	d.deliver(d.load(), 0, event("evt_1", "lead.created", `{"leadId":"l","email":"PERSON","source":"web","score":5}`),
		event("evt_other", "lead.created", `{"leadId":"other","email":"theirs","source":"web","score":5}`))
	d.erase()
	cfg := d.config("lead.created", `{"leadId":"x","email":"x","source":"x","score":1}`)
	result, _ := d.run(cfg)
	want := backfill.Result{Revision: result.Revision, Steps: result.Steps, Retyped: 2, Carried: 1}
	if result != want {
		t.Errorf("got %+v, want %+v", result, want)
	}
	d.want("SELECT (lead_id, email, source, score, payload, _offset, _schema) FROM db.lead_events FINAL WHERE event_id = 'evt_1'", "('l',NULL,'web',NULL,'',0,2)")
	d.want("SELECT (lead_id, email, score) FROM db.lead_events FINAL WHERE event_id = 'evt_other'", "('other','theirs',5)")
	d.idle(cfg)
}

// A tombstone that stands before the rows, which a sink of an older version has written whole: the fill blanks them.
func TestAFillBlanksWhatATombstoneCovers(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x","email":"x"}`))
	d.erase()
	d.deliver(d.load(), 0, event("evt_1", "lead.created", `{"leadId":"l","email":"PERSON","score":5}`))
	for id, payload := range map[string]string{"evt_typed": "PERSON", "evt_named": `{"PERSON "l"`, "evt_foreign": event("evt_x", "lead.created", `{"leadId":"l","email":"PERSON"}`)} {
		lead := map[bool]string{true: "'l'", false: "NULL"}[id == "evt_typed"]
		d.exec(fmt.Sprintf(`INSERT INTO db.lead_events (event_id, event_type, occurred_at, payload, email, lead_id, _schema, _version, _received_at, _invalid_fields)
			VALUES ('%s', 'lead.created', 0, '%s', 'PERSON', %s, 1, bitShiftLeft(toUInt64(1), 44) + 7, toDateTime64('1970-01-01 00:00:00.007', 3), ['x'])`, id, payload, lead))
	}
	result, _ := d.run(d.config("lead.created", `{"leadId":"x","email":"x","score":1}`))
	if result.Retyped != 4 || result.Carried != 3 || result.Erased != 3 {
		t.Errorf("got %+v", result)
	}
	d.want("SELECT (count(), countIf(lead_id = 'l'), countIf(notEmpty(payload)), countIf(email IS NOT NULL OR score IS NOT NULL OR notEmpty(_invalid_fields))) FROM db.lead_events FINAL",
		"(4,2,0,0)")
}

// What a tombstone covers beyond a chunk's typing: rows of a page that was typed before the tombstone are typed again, once.
func TestATombstoneOfSomebodyElseChangesNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x"}`))
	d.deliver(d.load(), 0, events("other", 2000, "lead.created", `{"leadId":"other","score":5}`)...)
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`)
	cfg.ChunkRows = 200
	cfg.Progress = &tripwire{rows: 200, trip: func() {
		if _, err := schema.Erase(d.Context(), d.conn, d.name, "l", time.Now()); err != nil {
			t.Error(err)
		}
	}}
	if result, out := d.run(cfg); result.Retyped != 2000 || result.Erased+result.Carried > 0 {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want("SELECT (count(), countIf(score = 5 AND notEmpty(payload))) FROM db.lead_events FINAL", "(2000,2000)")
}
