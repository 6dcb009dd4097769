package schema_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/leadhouse/leadhouse/schema"
)

func summaries(p *schema.Plan) string {
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, s.Summary)
	}
	return strings.Join(lines, "\n")
}

func (d db) wantNothingToDo(c *schema.Catalog) {
	d.Helper()
	if p := d.plan(c); !p.Empty() {
		d.Errorf("still to do:\n%s", summaries(p))
	}
}

func TestApplyIsIdempotent(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.exec("DROP DATABASE " + d.name)
	w := d.evolve(builtin(t))
	if w.Revision != 1 || len(w.Tables) != 7 || w.TableFor("lead.x").Revision != 1 {
		t.Errorf("got revision %d, %d tables", w.Revision, len(w.Tables))
	}
	d.wantNothingToDo(builtin(t))
	for _, c := range []struct{ typ, table string }{
		{"lead.created", "lead_events"},
		{"lead.converted", "lead_events"},
		{"lead.", "other_events"},
		{"lead", "other_events"},
		{".created", "other_events"},
		{"document.signed", "other_events"},
		{"other.x", "other_events"},
		{"deliveries", "other_events"},
	} {
		if got := w.TableFor(c.typ).Name; got != c.table {
			t.Errorf("%s: got %s, want %s", c.typ, got, c.table)
		}
	}
}

func TestTheSchemaFollowsTheCatalog(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	next := catalog(t, "lead.seen", `{"leadId":"x","score":1}`, "deal.made", `{"dealId":"y"}`)
	p := d.plan(next)
	want := "+ lead_events.score: Nullable(Decimal(38, 9)), score of lead.seen, for example 1\n+ table deal_events, 1 typed columns: deal_id\n~ view events\n~ view lead_seen\n+ view deal_made\n~ view data_freshness\n~ view data_quality"
	if got := summaries(p); got != want {
		t.Errorf("plan:\n got %s\nwant %s", got, want)
	}
	w := d.evolve(next)
	if w.Revision != 2 || w.TableFor("lead.seen").Revision != 2 || w.TableFor("nobody.knows").Revision != 1 {
		t.Errorf("revisions: got %+v", w)
	}
	d.wantNothingToDo(next)
	// The catalog may forget: nothing is dropped, and the views keep what they had.
	d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	if got := one[uint64](d, "SELECT count() FROM system.columns WHERE database = '"+d.name+"' AND table LIKE '%_events' AND name IN ('score', 'deal_id')"); got != 2 {
		t.Errorf("columns left: got %d, want 2", got)
	}
	// score stands before payload, where a reader looks for it.
	if got := one[bool](d, "SELECT minIf(position, name = 'score') < minIf(position, name = 'payload') FROM system.columns WHERE database = '"+d.name+"' AND table = 'lead_events'"); !got {
		t.Error("score stands behind payload")
	}
}

func TestALayoutOfTheCatalogIsNoChange(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"changes":{"status":"won"},"tags":["a","b"]}`))
	d.wantNothingToDo(catalog(t, "lead.seen", "{\n  \"changes\": {\n    \"status\": \"won\"\n  },\n  \"tags\": [ \"a\", \"b\" ]\n}"))
}

func TestACommentAloneMakesNoRowStale(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	w := d.evolve(catalog(t, "lead.seen", `{"leadId":"it's \\ x"}`, "lead.lost", `{"leadId":"x"}`))
	if got := w.TableFor("lead.seen").Revision; got != 1 {
		t.Errorf("revision: got %d, want 1", got)
	}
	got := one[string](d, "SELECT comment FROM system.columns WHERE database = '"+d.name+"' AND table = 'lead_events' AND name = 'lead_id'")
	if want := `leadId of lead.seen, lead.lost, for example it's \\ x`; got != want {
		t.Errorf("comment: got %q, want %q", got, want)
	}
}

func TestAKindThatChangedIsReportedAndNothingAltered(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"score":1}`))
	p := d.plan(catalog(t, "lead.seen", `{"score":"high"}`))
	if !p.Empty() || len(p.Findings) != 2 || !strings.Contains(p.Findings[0], "RENAME COLUMN score TO score_number") {
		t.Errorf("got %s, findings %v", summaries(p), p.Findings)
	}
	d.exec("ALTER TABLE " + d.name + ".lead_events RENAME COLUMN score TO score_number") // what the finding says
	w := d.evolve(catalog(t, "lead.seen", `{"score":"high"}`))
	d.insert(w, body("evt_1", "lead.seen", `{"score":"high"}`), at(1))
	if got := one[string](d, "SELECT assumeNotNull(score) FROM "+d.name+".lead_events"); got != "high" {
		t.Errorf("got %q", got)
	}
	d.wantNothingToDo(catalog(t, "lead.seen", `{"score":"high"}`))
}

func TestWhatAnOperatorChangedByHand(t *testing.T) {
	t.Parallel()
	c := catalog(t, "lead.seen", `{"leadId":"x","score":1}`)
	for name, f := range map[string]struct {
		do       string
		find     string // in the findings
		steps    string // in the plan
		columns  int    // that rows are typed with, before backfill runs again
		unusable string // in Diff's error
	}{
		"a column dropped":           {do: "ALTER TABLE lead_events DROP COLUMN score", steps: "+ lead_events.score", columns: 1},
		"a column of another type":   {do: "ALTER TABLE lead_events MODIFY COLUMN score Nullable(Float64)", find: "RENAME COLUMN score TO score_old", steps: "~ view lead_seen", columns: 1},
		"text made LowCardinality":   {do: "ALTER TABLE lead_events MODIFY COLUMN lead_id LowCardinality(Nullable(String))", columns: 2},
		"a column added":             {do: "ALTER TABLE lead_events ADD COLUMN mine UInt8 DEFAULT 7", columns: 2},
		"the ledger lacks a column":  {do: "ALTER TABLE deliveries DROP COLUMN body_hash", steps: "+ deliveries.body_hash", columns: 2},
		"a head column dropped":      {do: "ALTER TABLE lead_events DROP COLUMN _offset", steps: "+ lead_events._offset", columns: 2},
		"a view dropped":             {do: "DROP VIEW events", steps: "+ view events", columns: 2},
		"a table dropped":            {do: "DROP TABLE lead_events SYNC", steps: "+ table lead_events", columns: -1},
		"a table of another's shape": {do: "RENAME TABLE lead_events TO was; CREATE TABLE lead_events (event_id String) ENGINE = MergeTree ORDER BY event_id", unusable: "move it away", columns: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			d.evolve(c)
			for sql := range strings.SplitSeq(f.do, "; ") {
				for _, word := range []string{"TABLE ", "VIEW ", "TO "} {
					for _, table := range []string{"lead_events", "deliveries", "events", "was"} {
						sql = strings.Replace(sql, word+table, word+d.name+"."+table, 1)
					}
				}
				d.exec(sql)
			}
			if f.columns >= 0 {
				if got := len(d.load().TableFor("lead.seen").Columns); got != f.columns {
					t.Errorf("typed columns: got %d, want %d", got, f.columns)
				}
			}
			state, err := schema.Inspect(t.Context(), d.conn, d.name)
			if err != nil {
				t.Fatal(err)
			}
			p, err := schema.Diff(schema.Infer(c), state)
			if f.unusable != "" {
				if err == nil || !strings.Contains(err.Error(), f.unusable) {
					t.Errorf("got %v, want %q", err, f.unusable)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.Findings, "\n"); !strings.Contains(got, f.find) || (f.find == "" && f.do[0] == 'A' && strings.Count(got, "\n") > 0) {
				t.Errorf("findings: got %q, want %q", got, f.find)
			}
			if got := summaries(p); !strings.Contains(got, f.steps) || (f.steps == "" && got != "") {
				t.Errorf("steps: got %q, want %q", got, f.steps)
			}
			w := d.evolve(c)
			d.insert(w, body("evt_1", "lead.seen", `{"leadId":"x","score":1.5}`), at(1))
			d.wantNothingToDo(c)
		})
	}
}

// A run that dies between its statements and its record leaves columns that the next run finds and records.
func TestACrashBeforeTheRecordIsMended(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	next := catalog(t, "lead.seen", `{"leadId":"x","score":1}`, "deal.made", `{"dealId":"y"}`)
	for _, s := range d.plan(next).Steps {
		d.exec(s.Statement)
	}
	before := d.load()
	if before.Revision != 1 || len(before.TableFor("lead.seen").Columns) != 1 || before.TableFor("deal.made").Name != "other_events" {
		t.Errorf("a sink sees what is not recorded: %+v", before)
	}
	w := d.evolve(next)
	if w.Revision != 2 || len(w.TableFor("lead.seen").Columns) != 2 || len(w.TableFor("deal.made").Columns) != 1 {
		t.Errorf("got %+v", w)
	}
	d.wantNothingToDo(next)
}

// Two runs never share a revision: a sink that has read one has read all of it.
func TestRunsAtTheSameTimeTakeRevisionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	var wg sync.WaitGroup
	for i := range 4 {
		p := d.plan(catalog(t, "lead.seen", fmt.Sprintf(`{"leadId":"x","f%d":1}`, i)))
		wg.Go(func() {
			if _, err := schema.Apply(t.Context(), d.conn, p, "test", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(d.load().TableFor("lead.seen").Columns); got != 5 {
		t.Errorf("columns: got %d, want 5", got)
	}
	// The row that stands, the newest of each column's history, is under a revision of its own run alone.
	columns := one[uint64](d, `SELECT uniqExact(newest) FROM (SELECT column_name, max(revision) AS newest FROM `+d.name+`.schema_changes WHERE column_name LIKE 'f%' GROUP BY column_name)`)
	if columns != 4 {
		t.Errorf("revisions of 4 runs: got %d different", columns)
	}
}

func TestADatabaseThatBackfillHasNotSeenSaysSo(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, name := range []string{d.name, d.name + "_absent"} {
		if _, err := schema.Load(t.Context(), d.conn, name); err == nil || !strings.Contains(err.Error(), "leadhouse backfill") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := schema.Load(t.Context(), d.conn, "x`; DROP"); err == nil || !strings.Contains(err.Error(), "letters, digits") {
		t.Errorf("got %v", err)
	}
}

// The events view shows each event once while rows move out of other_events.
func TestEventsShowsARowInTwoTablesOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	before := d.evolve(builtin(t))
	moved, stays := body("evt_1", "document.signed", `{"documentId":"d"}`), body("evt_2", "other.thing", `{}`)
	d.insert(before, moved, at(1))
	d.insert(before, moved, at(4)) // redelivered
	d.insert(before, stays, at(2))
	d.insert(before, body("evt_3", "document.", `{}`), at(3)) // no verb: never moves
	after := d.evolve(catalog(t, "document.signed", `{"documentId":"d"}`))
	events := "SELECT toString(arraySort(groupArray(event_id))) FROM " + d.name + ".events"
	if got, want := one[string](d, events), "['evt_1','evt_2','evt_3']"; got != want {
		t.Errorf("before the move: got %s, want %s", got, want)
	}
	d.insert(after, moved, at(1))
	if got, want := one[string](d, events), "['evt_1','evt_2','evt_3']"; got != want {
		t.Errorf("in two tables: got %s, want %s", got, want)
	}
}

func TestEveryColumnIsCommentedAndNeedsNoQuotes(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(builtin(t))
	rows, err := d.conn.Query(t.Context(), "SELECT table, name, comment FROM system.columns WHERE database = ? AND table != 'events'", d.name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	columns := map[string][]string{}
	for ; rows.Next(); n++ {
		var table, name, comment string
		if err := rows.Scan(&table, &name, &comment); err != nil {
			t.Fatal(err)
		}
		if comment == "" {
			t.Errorf("%s.%s has no comment", table, name)
		}
		columns[table] = append(columns[table], name)
	}
	for table, names := range columns {
		selected, where := "", ""
		for i, name := range names {
			selected += fmt.Sprintf("%s, t.%s AS x%d, ", name, name, i)
			where += " AND isNotNull(" + name + ")"
		}
		list := strings.Join(names, ", ")
		d.exec(fmt.Sprintf("SELECT %s1 FROM %s.%s AS t WHERE 1%s GROUP BY %s ORDER BY %s", selected, d.name, table, where, list, list))
	}
	if n < 100 {
		t.Errorf("columns seen: %d", n)
	}
}
