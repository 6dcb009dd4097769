package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/verify"
)

// erase records a lead's tombstone, asked for so long ago.
func (w *world) erase(lead string, ago time.Duration) {
	w.Helper()
	if _, err := schema.Erase(w.Context(), w.conn, w.db, lead, time.Now().Add(-ago)); err != nil {
		w.Fatal(err)
	}
}

// long is longer ago than an erasure may take.
const long = 2 * time.Hour

// about is an event of a type about a lead, whose data may have more.
func about(id, eventType, lead, more string) string {
	return fmt.Sprintf(`{"id":%q,"type":%q,"createdAt":"2026-05-27T23:34:12.345Z","data":{"leadId":%s%s}}`, id, eventType, lead, more)
}

// sweep blanks rows and dead letters, as `leadhouse erase` does.
func (w *world) sweep() {
	w.Helper()
	warehouse, err := schema.Load(w.Context(), w.conn, w.db)
	if err != nil {
		w.Fatal(err)
	}
	for _, t := range warehouse.Tables {
		blanking, err := warehouse.Blanking(w.Context(), w.conn, t)
		if err != nil {
			w.Fatal(err)
		}
		w.exec("ALTER TABLE {db}." + t.Name + " UPDATE " + blanking + ` WHERE match(payload, '"leadId":[["]*(ld_1"|7)') SETTINGS mutations_sync = 2`)
	}
	w.exec("ALTER TABLE {db}.dead_letters UPDATE " + schema.BlankingLetters() + ` WHERE match(payload, '"leadId":"ld_1"') OR record_key = 'ld_1' SETTINGS mutations_sync = 2`)
}

// Deliveries about an erased lead count as erased, wherever else their event was delivered before, and nothing is missing.
func TestErasedDeliveriesBalance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.produce(0, leads(0, 20)...)
	w.produce(1, about("evt_form", "form.submitted", `"ld_2"`, ""), about("evt_form", "form.submitted", `"ld_2"`, ""))
	w.drain()
	w.erase("ld_1", long)
	w.produce(1, leads(10, 20)...) // ten of them again, ten new
	w.produce(1, `{"data":{"leadId":"ld_1"}`)
	w.drain()
	w.sweep()
	r := w.verify()
	w.finds(r, true)
	if want := (verify.Sheet{Fetched: 43, Inserted: 21, Collapsed: 1, Erased: 20, DeadLettered: 1}); r.Total != want {
		t.Errorf("total: got %+v, want %+v", r.Total, want)
	}
	w.agrees(r)

	// All of it read again: what was inserted then is erased now.
	w.commit(0, 0)
	w.commit(1, 0)
	w.drain()
	r = w.verify()
	w.finds(r, true)
	if want := (verify.Sheet{Fetched: 43, Inserted: 1, Collapsed: 1, Erased: 40, DeadLettered: 1}); r.Total != want {
		t.Errorf("total: got %+v, want %+v", r.Total, want)
	}
	w.agrees(r)

	// Its row must be there like any other.
	w.exec("DELETE FROM {db}.lead_events WHERE event_id IN ('evt_000003', 'evt_000025')")
	w.finds(w.verify(), false, "no_event_row 0:3-3 in Kafka evt_000003", "no_event_row 1:17-17 in Kafka evt_000025")
	w.retention(0, 20)
	w.finds(w.verify(acknowledge("0:3-3")), false, "no_event_row 1:17-17 in Kafka evt_000025", "acknowledged_gap 0:3-3")
}

// agrees asserts that delivery_balance says the same.
func (w *world) agrees(r *verify.Report) {
	w.Helper()
	var view string
	if err := w.conn.QueryRow(w.Context(), fmt.Sprintf("SELECT toString(groupArray((fetched, inserted, collapsed, dead_lettered, erased))) FROM %s.delivery_balance", w.db)).Scan(&view); err != nil {
		w.Fatal(err)
	}
	var sheets []string
	for _, a := range r.Partitions {
		sheets = append(sheets, fmt.Sprintf("(%d,%d,%d,%d,%d)", a.Fetched, a.Inserted, a.Collapsed, a.DeadLettered, a.Erased))
	}
	if got := "[" + strings.Join(sheets, ",") + "]"; got != view {
		w.Errorf("verify says %s, delivery_balance %s", got, view)
	}
}

// What an erasure has left is named, wherever it lies, with what to do; nothing of others is, and nothing while an erasure
// may still be under way.
func TestWhatAnErasureHasLeftIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0,
		about("evt_0", "lead.created", `"ld_1"`, ""),
		about("evt_1", "lead.created", `"ld_1"`, ""),
		about("evt_2", "lead.created", `"ld_12"`, `,"referrer":"ld_1"`),
		about("evt_3", "document.signed", `"ld_1"`, ""),
		about("evt_4", "opportunity.won", `"ld_12"`, ""),
		about("evt_5", "lead.updated", `["ld_1"]`, ""),
		about("evt_6", "form.submitted", `7`, ""),
		`{"data":{"leadId":"ld_1"}`,
		`{"data":{"leadId":"ld_12"}`,
		about("evt_9", "opportunity.won", `"ld_1"`, ""),
		about("evt_10", "lead.created", `"ld_3\u0000' odd"`, ""),
		about("evt_11", "task.created", `null`, ""),
	)
	w.drain()
	w.erase("ld_1", time.Minute)
	w.erase("7", time.Minute)
	w.finds(w.verify(), true)
	w.exec("ALTER TABLE {db}.erasures DELETE WHERE 1 SETTINGS mutations_sync = 2")

	w.erase("ld_1", long)
	w.erase("7", long)
	r := w.verify()
	w.finds(r, false, "not_erased 0:0-1 evt_0+ evt_1+", "not_erased 0:3-3 evt_3+", "not_erased 0:5-5 evt_5+", "not_erased 0:6-6 evt_6+", "not_erased 0:7-7", "not_erased 0:9-9 evt_9+")
	var text strings.Builder
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"✗ personal data of an erased lead is there\n", "  0:0-1: run again: leadhouse erase --lead ld_1\n", "  0:6-6: run again: leadhouse erase --lead 7\n",
		"The books balance, but an erasure is not complete.\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("%q is not in\n%s", line, text.String())
		}
	}
	if later := w.verify(func(cfg *verify.Config) { cfg.Since = time.Now().Add(time.Hour) }); len(later.Findings) > 0 {
		t.Errorf("of records from before Since: %v", found(later))
	}

	w.sweep()
	w.finds(w.verify(), true)
	w.erase("ld_3\x00' odd", long)
	r = w.verify()
	w.finds(r, false, "not_erased 0:10-10 evt_10+")
	if got, want := r.Findings[0].Detail, `run again: leadhouse erase --lead "ld_3\x00' odd"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if r.Total.Missing != 0 {
		t.Errorf("%d are missing", r.Total.Missing)
	}
}

// An open dead letter whose record has come in since, blanked, is told of like any other.
func TestASupersededDeadLetterOfAnErasedLead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.exec("ALTER TABLE {db}.lead_events ADD CONSTRAINT no_email CHECK email IS NULL")
	w.produce(0, append(leads(0, 30), about("evt_refused", "lead.created", `"ld_2"`, `,"email":"secret"`))...)
	w.drain()
	w.erase("ld_2", 0)
	w.commit(0, 0)
	w.drain()
	r := w.verify()
	w.finds(r, true, "superseded_dead_letter 0:30-30 in Kafka evt_refused+")
	if r.Total.Erased != 1 {
		t.Errorf("got %+v", r.Total)
	}
}
