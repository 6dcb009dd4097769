package backfill_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/backfill"
)

func TestAFreshDatabase(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec("DROP DATABASE " + d.name)
	cfg := d.config()
	cfg.Catalog = backfill.Builtin
	cfg.SettleFor = 0 // the default: nobody can know an older schema, so nothing is waited for

	plan := cfg
	plan.PlanOnly = true
	result, out := d.run(plan)
	if !result.Pending || result.Revision != 0 || !strings.Contains(out, "+ table lead_events") || !strings.Contains(out, "CREATE TABLE IF NOT EXISTS") {
		t.Errorf("plan: got %+v\n%s", result, out)
	}
	if got := one[uint64](d, "SELECT count() FROM system.databases WHERE name = '"+d.name+"'"); got != 0 {
		t.Fatal("--plan created the database")
	}

	began := time.Now()
	result, out = d.run(cfg)
	if result.Pending || result.Revision != 1 || result.Steps == 0 || !strings.Contains(out, "Done: "+d.name+" is at revision 1") {
		t.Errorf("run: got %+v\n%s", result, out)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a fresh database took %v: it waited for sinks that cannot be", took)
	}
	d.want("SELECT count() FROM db.catalog WHERE source = 'builtin'", "14")
	d.want("SELECT (uniqExact(leadhouse_version), any(leadhouse_version)) FROM db.schema_changes", "(1,'test')")
	d.idle(cfg)
}

// idle checks that another run finds nothing, says so, and changes nothing.
func (d db) idle(cfg backfill.Config) {
	d.Helper()
	before := d.state()
	for _, planOnly := range []bool{true, false} {
		cfg.PlanOnly = planOnly
		result, out := d.run(cfg)
		want := backfill.Result{Revision: d.load().Revision}
		if result != want || !strings.Contains(out, "Nothing to do: the database "+d.name+" is as the catalog has it.") {
			d.Errorf("an idle run (plan only: %v): got %+v, want %+v\n%s", planOnly, result, want, out)
		}
	}
	if after := d.state(); after != before {
		d.Errorf("an idle run changed something:\n got %s\nwant %s", after, before)
	}
}

// state is what an idle run must not change; merges may go on.
func (d db) state() string {
	d.Helper()
	var s strings.Builder
	for _, sql := range []string{
		"SELECT groupArray((name, create_table_query)) FROM (SELECT * FROM system.tables WHERE database = '" + d.name + "' ORDER BY name)",
		"SELECT (count(), max(revision)) FROM db.schema_changes",
		"SELECT count() FROM system.mutations WHERE database = '" + d.name + "'",
		"SELECT (count(), groupBitXor(cityHash64(*))) FROM db.events",
	} {
		s.WriteString(one[string](d, "SELECT toString(("+sql+"))") + "\n")
	}
	for _, t := range d.load().Tables {
		s.WriteString(one[string](d, "SELECT toString((count(), groupBitXor(cityHash64(toString(tuple(*)))))) FROM db."+t.Name+" FINAL") + "\n")
	}
	return s.String()
}

// A new event type: its rows leave other_events and are typed.
func TestANewEventType(t *testing.T) {
	t.Parallel()
	d := open(t)
	lead := []string{"lead.created", `{"leadId":"x"}`}
	d.run(d.config(lead...))
	w := d.load()
	d.deliver(w, 0, events("doc", 2500, "document.signed", `{"documentId":"doc_1","pages":12,"signedAt":"2026-05-01T00:00:00Z"}`)...)
	d.deliver(w, 5000, events("note", 100, "note.written", `{"noteId":"n"}`)...)
	d.deliver(w, 6000, event("odd_1", "document", `{}`), event("odd_2", "document.", `{}`), event("odd_3", "documents.signed", `{}`))
	d.deliver(w, 7000, events("lead", 100, "lead.created", `{"leadId":"ld"}`)...)
	all := one[string](d, "SELECT toString((count(), groupBitXor(cityHash64(*)))) FROM db.events")

	cfg := d.config(append(lead, "document.signed", `{"documentId":"x","pages":1,"signedAt":"2026-05-01T00:00:00Z"}`)...)
	plan := cfg
	plan.PlanOnly = true
	if result, out := d.run(plan); !result.Pending || !strings.Contains(out, "+ table document_events") {
		t.Errorf("plan: got %+v\n%s", result, out)
	}
	cfg.ChunkRows = 1000
	result, out := d.run(cfg)
	want := backfill.Result{Revision: 2, Steps: 5, Moved: 2500} // its table, its view, events, data_freshness, data_quality
	if result != want {
		t.Errorf("got %+v, want %+v\n%s", result, want, out)
	}
	d.want("SELECT (count(), uniqExact(event_id), countIf(pages = 12), any(toString(signed_at)), any(_schema)) FROM db.document_events",
		"(2500,2500,2500,'2026-05-01 00:00:00.000',2)")
	d.want("SELECT groupArray((event_type, n)) FROM (SELECT event_type, count() AS n FROM db.other_events GROUP BY event_type ORDER BY event_type)",
		"[('document',1),('document.',1),('documents.signed',1),('note.written',100)]")
	d.want("SELECT (count(), groupBitXor(cityHash64(*))) FROM db.events", all)
	d.idle(cfg)
}

// everyKind is a catalog with a field of every kind, and data that fits, does not fit, and is absent.
var (
	everyKindBefore = []string{"thing.made", `{"thingId":"x"}`, "thing.moved", `{"thingId":"x","from":"a"}`}
	everyKind       = []string{
		"thing.made",
		`{"thingId":"x","price":1,"at":"2026-05-01T00:00:00Z","done":true,"tags":["a"],"fields":{"name":"n","size":{"cm":1}},"mixed":"x","note":"n"}`,
		"thing.moved", `{"thingId":"x","from":"a","mixed":1}`, "thing.stage_changed", `{"from":"a","to":"b"}`,
	}
	everyKindData = []string{
		`{"thingId":"t","price":500.25,"at":"2026-05-01T12:00:00.123+02:00","done":true,"tags":["a",1,{"b":2}],"fields":{"name":"n","size":{"cm":1.5},"more":[1]},"mixed":7,"note":"it's \"so\" \\ \u00e4"}`,
		`{"thingId":"t","price":99999999999999999999999999999.123456789,"done":false,"tags":[],"fields":{},"mixed":"text"}`,
		`{"thingId":null,"price":null,"at":null,"done":null,"tags":null,"fields":null,"mixed":null,"note":null}`,
		`{"thingId":1,"price":"1","at":"yesterday","done":"true","tags":{},"fields":[],"mixed":{"a":[1]},"note":2}`,
		`{"thingId":"t","price":1e400,"price":2,"at":1,"done":0,"tags":"a","fields":{"name":"a","name":"b"},"note":"\ud800"}`,
		`{"thingId":"t","price":0.1234567891,"from":"a","to":"b"}`,
		`{}`,
	}
)

func everyKindEvents() []string {
	var list []string
	for i, data := range everyKindData {
		for _, verb := range []string{"made", "moved", "stage_changed", "unheard_of"} {
			list = append(list, event(fmt.Sprintf("evt_%d_%s", i, verb), "thing."+verb, data))
		}
	}
	return list
}

// New fields: history is typed exactly as the sink would have typed it.
func TestNewFieldsAreFilledAsTheSinkWouldHave(t *testing.T) {
	t.Parallel()
	d, fresh := open(t), open(t)
	d.run(d.config(everyKindBefore...))
	d.deliver(d.load(), 0, everyKindEvents()...)
	cfg := d.config(everyKind...)
	result, out := d.run(cfg)
	if n := uint64(len(everyKindEvents())); result.Retyped != n || result.Carried != 0 || result.Moved != 0 {
		t.Errorf("got %+v, want %d rows typed again\n%s", result, n, out)
	}
	fresh.run(fresh.config(everyKind...))
	fresh.deliver(fresh.load(), 0, everyKindEvents()...)

	columns := one[string](d, "SELECT arrayStringConcat(groupArray(if(type LIKE 'Map%', 'mapSort(' || name || ')', name)), ', ') FROM (SELECT name, type FROM system.columns WHERE database = '"+d.name+
		"' AND table = 'thing_events' AND name NOT IN ('_schema', '_version') ORDER BY name)")
	rows := "SELECT arrayStringConcat(groupArray(toString(tuple(" + columns + "))), '\n') FROM (SELECT * FROM db.thing_events FINAL ORDER BY event_id)"
	got, want := one[string](d, rows), one[string](fresh, rows)
	theirs := strings.Split(want, "\n")
	for i, row := range strings.Split(got, "\n") {
		if row != theirs[i] {
			t.Errorf("a filled row:\n got %s\nwant %s", row, theirs[i])
		}
	}
	if !strings.Contains(columns, "from_stage") || !strings.Contains(want, "500.25") || !strings.Contains(want, "'price'") {
		t.Errorf("the comparison compares nothing: %s\n%s", columns, want)
	}
	d.want("SELECT uniqExact(_schema) FROM db.thing_events FINAL", "1")
	d.idle(cfg)
}

// A row's place and times are the delivery's: typing it again changes neither.
func TestAFillKeepsTheRecord(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x"}`))
	d.deliver(d.load(), 77, event("evt_1", "lead.created", `{"leadId":"l","score":5}`))
	const record = "SELECT (_partition, _offset, _received_at, _loaded_at, payload, occurred_at) FROM db.lead_events FINAL"
	before := one[string](d, "SELECT toString(("+record+"))")
	d.run(d.config("lead.created", `{"leadId":"x","score":1}`))
	d.want(record, before)
	d.want("SELECT (score, _schema) FROM db.lead_events FINAL", "(5,2)")
}

func TestATypeThatChangedIsReportedAndNothingAltered(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x","score":1}`))
	d.deliver(d.load(), 0, event("evt_1", "lead.created", `{"leadId":"l","score":5}`))
	before := d.state()
	result, out := d.run(d.config("lead.created", `{"leadId":"x","score":"high"}`))
	if result.Steps != 0 || !strings.Contains(out, "! lead_events.score holds number, but the catalog now shows text") {
		t.Errorf("got %+v\n%s", result, out)
	}
	if after := d.state(); after != before {
		t.Errorf("something was altered:\n got %s\nwant %s", after, before)
	}
}

func TestWhatAHandDroppedComesBack(t *testing.T) {
	t.Parallel()
	d := open(t)
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`, "deal.won", `{"dealId":"x"}`)
	d.run(cfg)
	d.deliver(d.load(), 0, events("lead", 10, "lead.created", `{"leadId":"l","score":5}`)...)
	d.deliver(d.load(), 100, events("deal", 10, "deal.won", `{"dealId":"d"}`)...)
	d.exec("ALTER TABLE db.lead_events DROP COLUMN score")
	d.exec("DROP TABLE db.deal_events SYNC")
	d.exec("DROP VIEW db.events")
	d.deliver(d.load(), 200, events("later", 5, "deal.won", `{"dealId":"d"}`)...) // a sink that finds no table

	result, out := d.run(cfg)
	if result.Retyped != 10 || result.Moved != 5 || !strings.Contains(out, "deal_events was dropped since it was last recorded") {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want("SELECT (count(), sum(score)) FROM db.lead_events FINAL", "(10,50)")
	d.want("SELECT (count(), uniqExact(deal_id)) FROM db.deal_events FINAL", "(5,1)")
	d.want("SELECT count() FROM db.events", "15")
	d.idle(cfg)
}

// A column whose type was altered by hand is left alone, and said, on every run.
func TestAColumnAlteredByHandIsLeftAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`)
	d.run(cfg)
	d.deliver(d.load(), 0, event("evt_1", "lead.created", `{"leadId":"l","score":5}`))
	d.exec("ALTER TABLE db.lead_events MODIFY COLUMN score Nullable(Float64)")
	for _, steps := range []int{1, 0} { // the view lead_created shows nothing there from now on
		result, out := d.run(cfg)
		if result.Steps != steps || strings.Count(out, "! lead_events.score has the type Nullable(Float64)") != 1 {
			t.Errorf("got %+v\n%s", result, out)
		}
	}
	d.want("SELECT score FROM db.lead_events FINAL", "5")
}

// Rows that wait are something to do, even with no plan.
func TestPlanOnlySeesWaitingRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x"}`))
	old := d.load()
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`, "deal.won", `{"dealId":"x"}`)
	d.run(cfg)
	d.deliver(old, 0, events("lead", 3, "lead.created", `{"score":5}`)...)
	d.deliver(old, 10, events("deal", 4, "deal.won", `{"dealId":"d"}`)...)
	before := d.state()
	cfg.PlanOnly = true
	result, out := d.run(cfg)
	if !result.Pending || !strings.Contains(out, "lead_events: type 3 rows again") || !strings.Contains(out, "deal_events: move 4 rows of other_events into it") {
		t.Errorf("got %+v\n%s", result, out)
	}
	if after := d.state(); after != before {
		t.Error("--plan changed something")
	}
	cfg.PlanOnly = false
	if result, out := d.run(cfg); result.Retyped != 3 || result.Moved != 4 {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.idle(cfg)
}

func TestTwoRunsAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x"}`))
	w := d.load()
	const n = 3000
	d.deliver(w, 0, events("lead", n, "lead.created", `{"leadId":"l","score":5,"age":7}`)...)
	d.deliver(w, n, events("doc", n, "document.signed", `{"documentId":"d","pages":2}`)...)
	all := one[string](d, "SELECT toString((count(), groupBitXor(cityHash64(*)))) FROM db.events")

	// They do not even want the same.
	catalogs := [][]string{
		{"lead.created", `{"leadId":"x","score":1}`, "document.signed", `{"documentId":"x","pages":1}`},
		{"lead.created", `{"leadId":"x","age":1}`, "document.signed", `{"documentId":"x"}`},
		{"lead.created", `{"leadId":"x","score":1}`, "document.signed", `{"documentId":"x","pages":1}`},
	}
	var runs sync.WaitGroup
	for _, c := range catalogs {
		cfg := d.config(c...)
		cfg.ChunkRows = 500
		cfg.SettleFor = time.Second // a run that moves rows with what it knew before is no sink that fails to reload
		runs.Go(func() {
			if _, out, err := tryRun(t.Context(), cfg); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	runs.Wait()
	// One of them may have ended before another's last change: the next run finishes, whichever it is.
	d.run(d.config(catalogs[0]...))
	d.want("SELECT (count(), countIf(score = 5), countIf(age = 7)) FROM db.lead_events FINAL", fmt.Sprintf("(%d,%d,%d)", n, n, n))
	d.want("SELECT (count(), countIf(pages = 2)) FROM db.document_events FINAL", fmt.Sprintf("(%d,%d)", n, n))
	d.want("SELECT count() FROM db.other_events", "0")
	d.want("SELECT (count(), groupBitXor(cityHash64(*))) FROM db.events", all)
}

// Names are a stranger's: what is no plain name becomes no SQL, and no escape sequence reaches the terminal.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	d := open(t)
	hostile := []string{
		"lead.created", `{"leadId":"x","note":"` + "\u009b31m\u202e" + `","a` + "`" + ` String); DROP TABLE lead_events; --":1,"b'":"' OR 1=1 --","` + "c\u009b31m" + `":1,"select":1,"event_id":1,"_schema":2,"payload":"p"}`,
		"x'; DROP DATABASE " + d.name + "; --.y", `{"a":1}`,
		"lead`.x", `{}`, "../../etc.passwd", `{"a":1}`, "ÿ.y", `{}`, "deliveries.made", `{"x":1}`, "other.made", `{"x":1}`, "a.b", `{"it's":"\\'); --"}`,
	}
	cfg := d.config(hostile...)
	plan := cfg
	plan.PlanOnly = true
	_, statements := d.run(plan)
	result, out := d.run(cfg)
	out += statements
	if strings.ContainsFunc(strings.ReplaceAll(out, "\n", ""), func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
		t.Errorf("control characters on the terminal: %q", out)
	}
	if result.Revision != 1 {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want("SELECT groupArray(name) FROM (SELECT name FROM system.columns WHERE database = '"+d.name+"' AND table = 'lead_events' AND name NOT LIKE '\\\\_%' ORDER BY position)",
		"['event_id','event_type','occurred_at','lead_id','note','lead_select','payload']")
	d.want("SELECT groupArray(name) FROM (SELECT name FROM system.tables WHERE database = '"+d.name+"' AND name LIKE '%\\\\_events' ORDER BY name)",
		"['a_events','deliveries_events','lead_events','other_events']")
	// An event ID may hold quotes: the DELETE that names it must not care.
	d.deliver(d.load(), 0, event(`'\";--`, "moved.made", `{}`), event("\\\\", "moved.made", `{}`), event("`'", "moved.made", `{}`))
	next := d.config("moved.made", `{"x":1}`)
	if result, out := d.run(next); result.Moved != 3 {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want("SELECT groupArray(event_id) FROM (SELECT event_id FROM db.moved_events FINAL ORDER BY event_id)", `['\'\\";--','\\\\','`+"`"+`\'']`)
	d.idle(next)
}

// A thousand events with far more fields than a table may have: 500 columns each, the rest said, rows typed all the same.
func TestAHugeCatalog(t *testing.T) {
	t.Parallel()
	d := open(t)
	var catalog []string
	for i := range 1000 {
		fields := `{"thingId":"x"`
		for f := range 20 {
			fields += fmt.Sprintf(`,"field%d":1`, i*20+f)
		}
		catalog = append(catalog, fmt.Sprintf("thing%d.verb%d", i%10, i), fields+"}")
	}
	cfg := d.config(catalog...)
	result, out := d.run(cfg)
	if result.Revision != 1 || !strings.Contains(out, "has 500 typed columns already") || !strings.Contains(out, fmt.Sprintf("and %d more like these", 10*(2001-500)+1-100)) { // and the views that wait
		t.Errorf("got %+v\n%.2000s", result, out)
	}
	d.want("SELECT (max(n), count()) FROM (SELECT count() - 11 AS n FROM system.columns WHERE database = '"+d.name+"' AND table LIKE 'thing%events' GROUP BY table)", "(500,10)")
	d.deliver(d.load(), 0, event("evt_1", "thing3.verb3", `{"thingId":"t","field60":7,"field19999":8}`))
	d.want("SELECT (thing_id, field60) FROM db.thing3_events", "('t',7)")
	d.idle(cfg)
}

// Each entity is a table, and a hundred are enough: the rest of them stay together.
func TestTooManyEntities(t *testing.T) {
	t.Parallel()
	d := open(t)
	var catalog []string
	for i := range 150 {
		catalog = append(catalog, fmt.Sprintf("thing%d.made", i), `{"thingId":"x"}`)
	}
	cfg := d.config(catalog...)
	if _, out := d.run(cfg); !strings.Contains(out, `! "thing100.made": the catalog has 100 entities already: its events go to other_events`) {
		t.Errorf("got %.2000s", out)
	}
	d.deliver(d.load(), 0, event("evt_1", "thing99.made", `{}`), event("evt_2", "thing100.made", `{}`))
	d.want("SELECT ((SELECT count() FROM db.thing99_events), (SELECT count() FROM db.other_events), (SELECT count() FROM db.events))", "(1,1,2)")
	d.idle(cfg)
}
