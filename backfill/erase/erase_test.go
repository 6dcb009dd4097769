package erase_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/backfill/erase"
	"github.com/leadhouse/leadhouse/schema"
)

// Everything that is about the lead, wherever it lies, and nothing else.
func TestErase(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, table := range []string{"lead_events", "task_events", "other_events", "dead_letters"} {
		d.keepVersions(table)
	}
	w := d.load()
	d.deliver(w,
		event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON@example.com","source":"website","note":"PERSON"}`),
		event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON.2@example.com","source":"website"}`), // a later delivery: FINAL hides the first
		event("evt_2", "lead.updated", `{"leadId":"lead_1","changes":{"status":"qualified","phone":"PERSON"}}`),
		event("evt_3", "lead.assigned", `{"leadId":"lead_1","to":"PERSON"}`),                                  // no such type in the catalog
		event("evt_4", "form.submitted", `{"formId":"form_1","leadId":"lead_1","fields":{"email":"PERSON"}}`), // typed elsewhere
		event("evt_5", "task.created", `{"taskId":"task_1","leadId":"lead_1","title":"call PERSON"}`),         // no lead_id column
		event("evt_6", "document.signed", `{"documentId":"d","leadId":"lead_1","by":"PERSON"}`),               // other_events
		event("evt_7", "lead.created", `{"leadId":"lead_1","leadId":"lead_2","email":"PERSON"}`),              // whose?
		event("evt_8", "lead.created", `{"le\u0061dId":"le\u0061d_1","email":"PERSON"}`),
		event("evt_9", "document.signed", `{"documentId":"d","leadId":"le\u0061d_1","by":"PERSON"}`),
		event("evt_10", "document.signed", `{"documentId":"d","leadId":{"id":"lead_1"},"by":"PERSON"}`),
	)
	d.letter("lead_1", `{"broken PERSON`, schema.InvalidJSON, "byte 3: expected the string's end")
	d.letter("evt_x", `{"data":{"leadId":"lead_1","email":"PERSON"}`, schema.InvalidJSON, "…", schema.Header{Name: "event-type", Value: []byte("lead.created")}, schema.Header{Name: "x", Value: []byte("PERSON")})
	d.letter("lead_1", event("evt_11", "lead.created", `{"leadId":"lead_1","email":"PERSON"}`), schema.Rejected, "cannot parse PERSON")
	mine := d.data()
	if !strings.Contains(mine, "PERSON") {
		t.Fatal("the rows are not there")
	}
	// Others': a longer ID, one that begins alike, the ID elsewhere in the payload.
	others := open(t)
	for _, to := range []*db{d, others} {
		to.offset = 1000
		to.deliver(to.load(),
			event("evt_20", "lead.created", `{"leadId":"lead_10","email":"other@example.com","note":"lead_1"}`),
			event("evt_21", "lead.created", `{"leadId":"lead_","email":"other@example.com"}`),
			event("evt_22", "task.created", `{"taskId":"lead_1","title":"other"}`),
			event("evt_23", "document.signed", `{"documentId":"d","lead":"lead_1","data":{"leadId":"lead_1"},"by":"other"}`),
			event("evt_24", "document.signed", `{"documentId":"d","leadId":"lead_1 ","by":"\u006f\u0074her"}`),
		)
		to.letter("lead_10", `{"broken lead_1`, schema.InvalidJSON, "…")
	}

	report := d.erase("lead_1")

	d.gone("PERSON")
	if report.Blanked != 14 || report.Already != 0 || report.Leads[0].Rows != 14 || !report.Leads[0].New {
		t.Errorf("report: got %+v of lead %+v, want 14 rows blanked", report, report.Leads[0])
	}
	d.want("SELECT event_id, event_type, occurred_at, lead_id, source, changes_status, email, changes, payload, _offset, _schema, _invalid_fields FROM db.lead_events WHERE _offset < 1000 ORDER BY _offset",
		strings.Join([]string{
			`evt_1	lead.created	2026-05-27 23:34:12.345	lead_1	website	\N	\N	{}		0	1	[]`,
			`evt_1	lead.created	2026-05-27 23:34:12.345	lead_1	website	\N	\N	{}		1	1	[]`,
			`evt_2	lead.updated	2026-05-27 23:34:12.345	lead_1	\N	qualified	\N	{}		2	1	[]`,
			`evt_3	lead.assigned	2026-05-27 23:34:12.345	lead_1	\N	\N	\N	{}		3	1	[]`,
			`evt_7	lead.created	2026-05-27 23:34:12.345	\N	\N	\N	\N	{}		7	1	[]`,
			`evt_8	lead.created	2026-05-27 23:34:12.345	lead_1	\N	\N	\N	{}		8	1	[]`,
		}, "\n"))
	d.want("SELECT kafka_offset, reason, record_key, payload, headers, status FROM db.dead_letters WHERE kafka_offset < 1000 ORDER BY kafka_offset", strings.Join([]string{
		`11	invalid_json	lead_1		[]	open`,
		`12	invalid_json	evt_x		[('event-type','lead.created'),('x','')]	open`,
		`13	rejected	lead_1		[]	open`,
	}, "\n"))
	theirs := others.data()
	for line := range strings.Lines(theirs) {
		if strings.TrimSpace(line) != "" && !strings.Contains(d.data(), strings.TrimSpace(line)) {
			t.Errorf("somebody else's row was touched: %s", line)
		}
	}
	d.again("lead_1")
	if second := d.erase("lead_1"); second.Already != 8 || second.Leads[0].New {
		t.Errorf("the second report: got %+v of lead %+v", second, second.Leads[0])
	}
}

// IDs are texts, not SQL, not patterns, not parts of others.
func TestOddIDs(t *testing.T) {
	t.Parallel()
	ids := []string{
		`it's`, `say "hi"`, `back\slash`, `end\`, `'); DROP TABLE lead_events; --`, `100%`, `_`, `?`, `$1 {x:String}`, "tab\tand\nline", `a/b`,
		`Zoë 日本 🙂`, `x`, `xx`, `\u0041`, `NULL`, `""`, "nul\x00byte",
	}
	d := open(t)
	w := d.load()
	for i, id := range ids {
		name, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		ascii := []byte(asASCII(string(name)))
		d.deliver(w,
			event(fmt.Sprintf("evt_a%d", i), "lead.created", fmt.Sprintf(`{"leadId":%s,"email":"PERSON%d@example.com"}`, name, i)),
			event(fmt.Sprintf("evt_b%d", i), "task.created", fmt.Sprintf(`{"taskId":"t","leadId":%s,"title":"PERSON%d."}`, name, i)),
			event(fmt.Sprintf("evt_c%d", i), "task.created", fmt.Sprintf(`{"taskId":"t","leadId":%s,"title":"PERSON%d."}`, ascii, i)),
		)
	}
	for i, id := range ids {
		report := d.erase(id)
		if report.Blanked != 3 || report.Leads[0].ID != id {
			t.Errorf("%q: got %d rows blanked, want 3", id, report.Blanked)
		}
		d.gone(fmt.Sprintf("PERSON%d@", i), fmt.Sprintf("PERSON%d.", i))
		d.want("SELECT countIf(notEmpty(payload)) FROM db.task_events FINAL", fmt.Sprint(2*(len(ids)-i-1)))
	}
	d.again(ids...)
}

// asASCII is a JSON text as clients spell it that escape all but ASCII.
func asASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x80:
			b.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\u%04X\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return b.String()
}

// Many at once: one mutation for a table, and each lead is told of.
func TestManyLeads(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.load()
	var bodies, leads []string
	for i := range 300 {
		leads = append(leads, fmt.Sprintf("lead_%d", i))
		bodies = append(bodies, event(fmt.Sprintf("evt_%d", i), "lead.created", fmt.Sprintf(`{"leadId":"lead_%d","email":"PERSON@example.com"}`, i)))
	}
	d.deliver(w, bodies[:299]...)
	d.deliver(w, event("evt_t", "task.created", `{"taskId":"t","leadId":"lead_270","title":"PERSON"}`),
		event("evt_u", "task.created", `{"taskId":"t","leadId":270,"title":"PERSON"}`),
		event("evt_v", "task.created", `{"taskId":"t","leadId":["lead_270"],"title":"PERSON"}`),
		event("evt_w", "task.created", `{"taskId":"t","leadId":"l\u0065ad_270","title":"PERSON"}`))
	leads = append(leads, "270")
	report := d.erase(append(leads, leads...)...) // twice the same is once
	d.gone("PERSON")
	if report.Blanked != 303 || len(report.Leads) != 301 {
		t.Errorf("got %d rows blanked of %d leads", report.Blanked, len(report.Leads))
	}
	for _, l := range report.Leads {
		want := uint64(1)
		switch l.ID {
		case "lead_299":
			want = 0
		case "lead_270":
			want = 4
		}
		if l.Rows != want {
			t.Errorf("%s: got %d rows, want %d", l.ID, l.Rows, want)
		}
	}
	d.want("SELECT count() FROM system.mutations WHERE database = '"+d.name+"' AND table = 'lead_events'", "1")
}

// An unknown lead gets its tombstone: its events may be on their way.
func TestAnUnknownLead(t *testing.T) {
	t.Parallel()
	d := open(t)
	report := d.erase("lead_nobody")
	if report.Blanked != 0 || report.Leads[0].Rows != 0 || !report.Leads[0].New {
		t.Errorf("got %+v", report)
	}
	d.want("SELECT entity, entity_id FROM db.erasures", "lead\tlead_nobody")
	if w := d.load(); !w.Erased.Has("lead_nobody") {
		t.Error("a sink would not know of it")
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.deliver(d.load(), event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON@example.com"}`))
	d.letter("lead_1", `PERSON`, schema.InvalidJSON, "")
	before := d.data()
	cfg := d.config("lead_1")
	cfg.DryRun = true
	report := d.run(cfg)
	if report.Blanked != 2 || report.Leads[0].ErasedAt != nil || d.data() != before {
		t.Errorf("got %+v, and the data changed: %v", report, d.data() != before)
	}
	d.want("SELECT count() FROM db.erasures", "0")
	d.want("SELECT count() FROM system.mutations WHERE database = '"+d.name+"'", "0")
}

// Columns that somebody has renamed or added are as personal as ours.
func TestColumnsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.deliver(d.load(), event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON@example.com"}`))
	d.exec("ALTER TABLE db.lead_events RENAME COLUMN email TO email_old SETTINGS mutations_sync = 2")
	d.exec("ALTER TABLE db.lead_events ADD COLUMN name LowCardinality(String) DEFAULT 'PERSON', ADD COLUMN age UInt8 DEFAULT 42, ADD COLUMN born Nullable(Date) DEFAULT '2000-01-01', ADD COLUMN seen LowCardinality(Nullable(String)) DEFAULT 'PERSON', ADD COLUMN upper String MATERIALIZED upper(payload)")
	d.exec("ALTER TABLE db.lead_events MATERIALIZE COLUMN upper SETTINGS mutations_sync = 2")
	d.exec("ALTER TABLE db.lead_events UPDATE payload = '' WHERE 1 SETTINGS mutations_sync = 2") // as if by hand, and by half
	if report := d.erase("lead_1"); report.Blanked != 1 {
		t.Errorf("got %+v", report)
	}
	d.want("SELECT lead_id, email_old, name, age, born, seen, upper FROM db.lead_events", `lead_1	\N		0	\N	\N	`)
	d.again("lead_1")
}

// Rows that a lightweight DELETE has masked are still on the disk, where a restore or a setting brings them back.
func TestMaskedRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.deliver(d.load(), event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON@example.com"}`),
		event("evt_2", "lead.created", `{"leadId":"lead_2","email":"other@example.com"}`))
	d.exec("OPTIMIZE TABLE db.lead_events FINAL")
	d.letter("lead_1", "PERSON", schema.InvalidJSON, "")
	d.letter("lead_2", "other", schema.InvalidJSON, "")
	d.exec("DELETE FROM db.lead_events WHERE event_id = 'evt_1'")
	d.exec("DELETE FROM db.dead_letters WHERE record_key = 'lead_1'")
	if !strings.Contains(d.data(), "PERSON@example.com") {
		t.Fatal("the masked row is not to be seen")
	}
	d.erase("lead_1")
	d.gone("PERSON")
	d.want("SELECT event_id FROM db.lead_events", "evt_2")
	d.want("SELECT record_key FROM db.dead_letters", "lead_2")
	d.again("lead_1")
}

// A view that is a table holds a copy.
func TestMaterializedViews(t *testing.T) {
	t.Parallel()
	d := open(t)
	c, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		t.Fatal(err)
	}
	d.deliver(d.load(), event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON@example.com"}`))
	d.evolve(c, schema.Materialize{On: new(true), Every: time.Hour})
	d.want("SELECT engine != 'View' FROM system.tables WHERE database = '"+d.name+"' AND name = 'leads'", "1")
	eventually(t, "the view has been filled", func() bool { return strings.Contains(d.ask("SELECT email FROM db.leads"), "PERSON") })
	report := d.erase("lead_1")
	d.want("SELECT lead_id, email FROM db.leads", `lead_1	\N`)
	if len(report.NotReached.ForeignTables) > 0 {
		t.Errorf("our own tables are called foreign: %v", report.NotReached.ForeignTables)
	}
}

// The bytes are gone from the parts that ClickHouse reads, not covered by a patch.
func TestTheBytesLeaveTheParts(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.deliver(d.load(), event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON@example.com"}`))
	d.erase("lead_1")
	d.want("SELECT count() FROM system.parts WHERE database = '"+d.name+"' AND name LIKE 'patch%'", "0")
	d.want("SELECT command LIKE '%UPDATE%' FROM system.mutations WHERE database = '"+d.name+"'", "1")
}

func TestAConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := erase.New(erase.Config{Database: "a b", Leads: []string{"", "x"}, SettleFor: -1, WaitFor: -1})
	for _, want := range []string{"ClickHouse", "Database", "Leads", "SettleFor", "WaitFor"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
}

// A warehouse that is not set up, or of an older version, says what to do.
func TestWithoutAWarehouse(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec("DROP TABLE db.erasures")
	if _, err := try(t.Context(), d.config("lead_1")); err == nil || !strings.Contains(err.Error(), "leadhouse backfill") {
		t.Errorf("got %v", err)
	}
}
