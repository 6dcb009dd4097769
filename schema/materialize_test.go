package schema_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/schema/views"
)

// materialized is on or off, hourly, so that no refresh but those of a test happens.
func materialized(on bool) schema.Materialize { return schema.Materialize{On: &on, Every: time.Hour} }

func (d db) planViews(c *schema.Catalog, which schema.Materialize) *schema.Plan {
	d.Helper()
	state, err := schema.Inspect(d.Context(), d.conn, d.name)
	if err != nil {
		d.Fatal(err)
	}
	p, err := schema.DiffViews(schema.Infer(c), state, which)
	if err != nil {
		d.Fatal(err)
	}
	return p
}

func (d db) evolveViews(c *schema.Catalog, which schema.Materialize) {
	d.Helper()
	p := d.planViews(c, which)
	if _, err := schema.Apply(d.Context(), d.conn, p, "test", nil); err != nil {
		d.Fatal(err)
	}
	if p := d.planViews(c, which); !p.Empty() {
		d.Errorf("still to do: %s", summaries(p))
	}
	if p := d.planViews(c, schema.Materialize{}); !p.Empty() {
		d.Errorf("unset does not keep what is: %s", summaries(p))
	}
	if got := one[string](d, "SELECT toString(groupArray(name)) FROM system.tables WHERE database = '"+d.name+"' AND (name LIKE '%next%' OR startsWith(name, '.'))"); got != "[]" {
		d.Errorf("left over: %s", got)
	}
}

// keyed are the views that may be tables.
func (d db) keyed() (names []string) {
	d.Helper()
	all, _, err := views.All(d.name, everything{})
	if err != nil {
		d.Fatal(err)
	}
	for _, v := range all {
		if v.Key != "" {
			names = append(names, v.Name)
		}
	}
	return names
}

// everything is a warehouse without gaps; what views there are does not depend on it.
type everything struct{}

func (everything) HasTable(string) bool                  { return true }
func (everything) HasColumn(string, string, string) bool { return true }
func (everything) EventTables() []string                 { return []string{"lead_events"} }

// contents are the rows of views in an order of their own.
func (d db) contents(names []string) map[string]string {
	d.Helper()
	all := map[string]string{}
	for _, name := range names {
		all[name] = one[string](d, "SELECT toString(arraySort(groupArray(toString(tuple(*))))) FROM "+d.name+"."+name)
	}
	return all
}

// world delivers a small life of everything the views are about, parts of it twice.
func (d db) world(w *schema.Warehouse) {
	d.Helper()
	n := 0
	deliver := func(eventType, data string) {
		n++
		text := strings.Replace(body(fmt.Sprintf("evt_%03d", n), eventType, data), "05-27T23:34:12", fmt.Sprintf("05-%02dT10:00:00", 1+n%28), 1)
		for range 1 + n%2 {
			d.insert(w, text, at(int64(n)))
		}
	}
	for i := range 6 {
		lead, deal, partner := fmt.Sprintf("l%d", i), fmt.Sprintf("o%d", i), fmt.Sprintf("p%d", i%2)
		deliver("lead.created", `{"leadId":"`+lead+`","email":"a@b.c","source":"web"}`)
		deliver("lead.updated", `{"leadId":"`+lead+`","changes":{"status":"qualified"}}`)
		deliver("form.submitted", `{"formId":"f1","leadId":"`+lead+`","fields":{"email":"a@b.c"}}`)
		deliver("opportunity.created", `{"opportunityId":"`+deal+`","value":100,"stage":"new"}`)
		deliver("opportunity.stage_changed", `{"opportunityId":"`+deal+`","from":"new","to":"offer"}`)
		deliver("opportunity."+[]string{"won", "lost"}[i%2], `{"opportunityId":"`+deal+`","value":120,"reason":"price"}`)
		deliver("partner.registered", `{"partnerId":"`+partner+`","company":"c"}`)
		deliver("commission.earned", `{"commissionId":"c`+deal+`","partnerId":"`+partner+`","amount":10.5}`)
		deliver("commission.paid", `{"commissionId":"c`+deal+`","amount":5}`)
		deliver("task.created", `{"taskId":"t`+deal+`","title":"x","assigneeId":"a"}`)
		deliver("task.completed", `{"taskId":"t`+deal+`"}`)
	}
}

// A table shows what the view showed, each event once; a new event after a refresh; and a view again what the table did.
func TestMaterializedViewsShowWhatTheViewsDo(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := builtin(t)
	w := d.evolve(c)
	d.world(w)
	names := d.keyed()
	plain := d.contents(names)
	if plain["leads"] == "[]" || plain["commissions"] == "[]" || plain["opportunity_stage_history"] == "[]" {
		t.Fatalf("the world is empty: %v", plain)
	}
	described := map[string]string{}
	for _, name := range names {
		described[name] = d.described(name)
	}
	same := func(when string) {
		t.Helper()
		for name, got := range d.contents(names) {
			if got != plain[name] {
				t.Errorf("%s, %s:\n got %s\nwant %s", when, name, got, plain[name])
			}
			if got := d.described(name); got != described[name] {
				t.Errorf("%s, %s is described\n%s, want\n%s", when, name, got, described[name])
			}
		}
	}
	tables := "SELECT count() FROM system.tables WHERE database = '" + d.name + "' AND engine = 'MergeTree' AND endsWith(comment, '(leadhouse)')"
	refreshing := "SELECT count() FROM system.view_refreshes WHERE database = '" + d.name + "'"
	for i := range 2 { // on, off, on, off
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"join_use_nulls": i})) // which changes nothing
		if _, err := schema.Apply(ctx, d.conn, d.planViews(c, materialized(true)), "test", nil); err != nil {
			t.Fatal(err)
		}
		d.evolveViews(c, materialized(true))
		same("materialized")
		if got := [2]uint64{one[uint64](d, tables), one[uint64](d, refreshing)}; got != [2]uint64{uint64(len(names)), uint64(len(names))} {
			t.Errorf("tables and what fills them: got %v, want %d each", got, len(names))
		}
		if err := schema.RefreshViews(t.Context(), d.conn, d.name); err != nil {
			t.Fatal(err)
		}
		same("refreshed")
		d.evolveViews(c, materialized(false))
		same("a view again")
		if got := [2]uint64{one[uint64](d, tables), one[uint64](d, refreshing)}; got != [2]uint64{} {
			t.Errorf("tables and what fills them: got %v, want none", got)
		}
	}
	d.evolveViews(c, materialized(true))
	for range 3 { // an event redelivered
		d.insert(w, body("evt_new", "lead.created", `{"leadId":"new","source":"ad"}`), at(900))
	}
	if got := one[uint64](d, "SELECT count() FROM "+d.name+".leads WHERE lead_id = 'new'"); got != 0 {
		t.Errorf("before a refresh: got %d, so nothing is materialized", got)
	}
	if err := schema.RefreshViews(t.Context(), d.conn, d.name); err != nil {
		t.Fatal(err)
	}
	if got := one[string](d, "SELECT toString((count(), sum(events))) FROM "+d.name+".leads WHERE lead_id = 'new'"); got != "(1,1)" {
		t.Errorf("after one: got %s, want one lead of one event", got)
	}
	if got := one[string](d, "SELECT toString((max(leads_created), count() > 0)) FROM "+d.name+".lead_funnel_by_source WHERE source = 'ad'"); got != "(1,1)" {
		t.Errorf("a metric over the table: got %s", got)
	}
}

// described are a view's columns with their types and comments, and its comment.
func (d db) described(view string) string {
	d.Helper()
	return one[string](d, "SELECT toString(groupArray((name, type, comment))) || (SELECT comment FROM system.tables WHERE database = '"+d.name+"' AND name = '"+view+
		"') FROM (SELECT * FROM system.columns WHERE database = '"+d.name+"' AND table = '"+view+"' ORDER BY position)")
}

// While views become tables, tables other tables, and tables views, a reader finds every row every time.
func TestSwitchingIsNotSeenByReaders(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, foreignTask...)
	w := d.evolve(c)
	for i := range 20 {
		d.insert(w, body(fmt.Sprintf("evt_%d", i), "task.created", fmt.Sprintf(`{"taskId":"t%d"}`, i)), at(int64(i)))
	}
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var reads [2]int
	for i := range reads {
		readers.Go(func() {
			for ctx.Err() == nil {
				var rows uint64
				err := d.conn.QueryRow(t.Context(), "SELECT count() FROM "+d.name+".tasks").Scan(&rows)
				if err != nil || rows != 20 {
					t.Errorf("a reader finds %d rows, %v", rows, err)
					return
				}
				reads[i]++
			}
		})
	}
	for range 3 {
		d.evolveViews(c, materialized(true))
		if err := schema.RefreshViews(t.Context(), d.conn, d.name); err != nil {
			t.Error(err)
		}
		d.exec("ALTER TABLE " + d.name + ".schema_changes UPDATE statement = 'another text' WHERE table_name = 'tasks' SETTINGS mutations_sync = 1")
		d.evolveViews(c, materialized(true))
		d.evolveViews(c, materialized(false))
	}
	stop()
	readers.Wait()
	if reads[0]+reads[1] < 20 {
		t.Errorf("the readers read %v times", reads)
	}
}

// A column that comes changes a view's text: its table gets the column, filled.
func TestAMaterializedViewEvolves(t *testing.T) {
	t.Parallel()
	d := open(t)
	before := catalog(t, "task.created", `{"taskId":"x"}`, "task.completed", `{"taskId":"x"}`)
	d.evolveViews(before, materialized(true))
	after := catalog(t, foreignTask...)
	p := d.planViews(after, schema.Materialize{})
	if !strings.Contains(summaries(p), "~ view tasks: filled with its new text, filled every 1h0m0s") {
		t.Errorf("got %s", summaries(p))
	}
	w := d.evolve(after) // which keeps what is
	d.wantNothingToDo(after)
	d.insert(w, body("evt_1", "task.created", `{"taskId":"t","title":"call"}`), at(1))
	if err := schema.RefreshViews(t.Context(), d.conn, d.name); err != nil {
		t.Fatal(err)
	}
	if got := one[string](d, "SELECT toString(groupArray((task_id, title))) FROM "+d.name+".tasks"); got != "[('t','call')]" {
		t.Errorf("got %s", got)
	}
	// A view that comes with a new table is a table as well, since the others are.
	more := catalog(t, append([]string{"partner.registered", `{"partnerId":"x","company":"x"}`}, foreignTask...)...)
	d.evolve(more)
	d.wantNothingToDo(more)
	if got := one[string](d, "SELECT engine FROM system.tables WHERE database = '"+d.name+"' AND name = 'partners'"); got != "MergeTree" {
		t.Errorf("partners: got %s", got)
	}
}

// A run killed after any of its statements leaves what the next one finishes, whatever that one is told.
func TestASwitchThatWasCutIsFinished(t *testing.T) {
	t.Parallel()
	c := catalog(t, foreignTask...)
	for _, first := range []bool{true, false} {
		for _, next := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v then %v", first, next), func(t *testing.T) {
				t.Parallel()
				d := open(t)
				w := d.evolve(c)
				for i := range 5 {
					d.insert(w, body(fmt.Sprintf("evt_%d", i), "task.created", fmt.Sprintf(`{"taskId":"t%d"}`, i)), at(int64(i)))
				}
				want := d.contents([]string{"tasks"})["tasks"]
				for cut := 1; ; cut++ {
					d.evolveOnly(d.planViews(c, materialized(!first)))
					var statements []string
					for _, s := range d.planViews(c, materialized(first)).Steps {
						statements = append(append(statements, s.Statement), s.Then...)
					}
					if cut > min(len(statements), 8) { // the views' statements are alike: one's, and the beginning of the next's
						break
					}
					for _, sql := range statements[:cut] {
						d.exec(sql)
						if got := d.contents([]string{"tasks"})["tasks"]; got != want {
							t.Errorf("after %.60s: got %s, want %s", sql, got, want)
						}
					}
					d.evolveViews(c, materialized(next))
					if got := d.contents([]string{"tasks"})["tasks"]; got != want {
						t.Errorf("cut after %d statements: got %s, want %s", cut, got, want)
					}
				}
			})
		}
	}
}

// Two runs at once switch in turn, in whatever order their statements come: a row never counts twice.
func TestTwoSwitchesAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, foreignTask...)
	w := d.evolve(c)
	for i := range 5 {
		d.insert(w, body(fmt.Sprintf("evt_%d", i), "task.created", fmt.Sprintf(`{"taskId":"t%d"}`, i)), at(int64(i)))
	}
	for range 3 {
		var runs sync.WaitGroup
		for range 3 {
			p := d.planViews(c, materialized(true))
			runs.Go(func() { _, _ = schema.Apply(t.Context(), d.conn, p, "test", nil) }) // one may drop what another fills, which is an error
		}
		runs.Wait()
		if got := one[uint64](d, "SELECT count() FROM "+d.name+".tasks"); got != 5 {
			t.Errorf("got %d tasks, want 5", got)
		}
		d.evolveViews(c, materialized(true))
		d.evolveViews(c, materialized(false))
	}
}

func TestTheIntervalIsChangedAndKept(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, foreignTask...)
	on := true
	d.evolve(c)
	if got := summaries(d.planViews(c, schema.Materialize{On: &on})); !strings.Contains(got, "~ view tasks: a table now, filled every 5m0s") {
		t.Errorf("the default: got %s", got)
	}
	d.evolveViews(c, schema.Materialize{On: &on, Every: 90 * time.Second})
	d.evolveViews(c, schema.Materialize{On: &on}) // keeps it
	if got := one[string](d, "SELECT extract(create_table_query, 'REFRESH EVERY [0-9A-Z ]+ TO') FROM system.tables WHERE database = '"+d.name+"' AND name = 'tasks_refresh'"); got != "REFRESH EVERY 1 MINUTE 30 SECOND TO" {
		t.Errorf("got %s", got)
	}
	d.evolveViews(c, schema.Materialize{Every: 2 * time.Minute})
	if got := one[string](d, "SELECT extract(create_table_query, 'REFRESH EVERY [0-9A-Z ]+ TO') FROM system.tables WHERE database = '"+d.name+"' AND name = 'tasks_refresh'"); got != "REFRESH EVERY 2 MINUTE TO" {
		t.Errorf("got %s", got)
	}
	d.exec("DROP VIEW " + d.name + ".tasks_refresh") // by hand
	if got := summaries(d.plan(c)); got != "+ tasks: filled every 2m0s" && got != "+ tasks: filled every 5m0s" {
		t.Errorf("what fills a table was dropped: got %s", got)
	}
	d.evolveViews(c, materialized(false))
	if p := d.planViews(c, schema.Materialize{Every: time.Minute}); !p.Empty() {
		t.Errorf("an interval alone materializes: %s", summaries(p))
	}
}

// What fills a table may be somebody else's name as well.
func TestANameThatAMaterializedViewNeedsIsTaken(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, foreignTask...)
	d.evolve(c)
	d.exec("CREATE TABLE " + d.name + ".tasks_refresh (mine String) ENGINE = MergeTree ORDER BY mine")
	d.exec("CREATE TABLE " + d.name + ".tasks_next_0123abcd (mine String) ENGINE = MergeTree ORDER BY mine")
	p := d.planViews(c, materialized(true))
	if !strings.Contains(findings(p), "tasks_refresh is not leadhouse's") {
		t.Errorf("got %s", findings(p))
	}
	d.evolveOnly(p)
	if got := d.columnsOf("tasks_refresh") + d.columnsOf("tasks_next_0123abcd"); got != "minemine" {
		t.Errorf("got %s", got)
	}
}

func (d db) evolveOnly(p *schema.Plan) {
	d.Helper()
	if _, err := schema.Apply(d.Context(), d.conn, p, "test", nil); err != nil {
		d.Fatal(err)
	}
}

// A refresh that fails is an error, of RefreshViews and of the next run, and the table shows what it did.
func TestARefreshThatFailsIsSeen(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, foreignTask...)
	w := d.evolve(c)
	d.insert(w, body("evt_1", "task.created", `{"taskId":"t"}`), at(1))
	d.evolveViews(c, materialized(true))
	if err := schema.CheckRefreshes(t.Context(), d.conn, d.name); err != nil {
		t.Error(err)
	}
	d.exec("ALTER TABLE " + d.name + ".task_events RENAME COLUMN task_id TO was")
	err := schema.RefreshViews(t.Context(), d.conn, d.name)
	if err == nil || !strings.Contains(err.Error(), "refresh tasks: ") || !strings.Contains(err.Error(), "task_id") {
		t.Errorf("got %v", err)
	}
	err = schema.CheckRefreshes(t.Context(), d.conn, d.name)
	if err == nil || !strings.Contains(err.Error(), "show what they did before: tasks: ") || strings.Contains(err.Error(), "Stack") {
		t.Errorf("got %v", err)
	}
	if got := one[uint64](d, "SELECT count() FROM "+d.name+".tasks"); got != 1 {
		t.Errorf("got %d rows", got)
	}
}

// What was written before RefreshViews is in the tables after it, also while a refresh that began before is under way.
func TestARefreshUnderWayIsNotEnough(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, foreignTask...)
	w := d.evolve(c)
	d.evolveViews(c, materialized(true))
	for i := range 10 {
		d.exec("SYSTEM REFRESH VIEW " + d.name + ".tasks_refresh")
		d.insert(w, body(fmt.Sprintf("evt_%d", i), "task.created", fmt.Sprintf(`{"taskId":"t%d"}`, i)), at(int64(i)))
		if err := schema.RefreshViews(t.Context(), d.conn, d.name); err != nil {
			t.Fatal(err)
		}
		if got := one[uint64](d, "SELECT count() FROM "+d.name+".tasks"); got != uint64(i+1) {
			t.Errorf("got %d tasks, want %d", got, i+1)
		}
	}
}

// A refresh may take longer than clickhouse-go waits for an answer.
func TestALongRefreshIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, foreignTask...)
	d.evolve(c)
	d.evolveViews(c, materialized(true))
	d.exec("DROP VIEW " + d.name + ".tasks_refresh SYNC")
	d.exec("CREATE MATERIALIZED VIEW " + d.name + ".tasks_refresh REFRESH EVERY 1 HOUR TO " + d.name + ".tasks EMPTY COMMENT 'slow (leadhouse)' AS " +
		"SELECT toString(number + sleepEachRow(1)) AS task_id FROM numbers(6) SETTINGS max_block_size = 1")
	impatient, err := clickhouse.Open(&clickhouse.Options{Addr: []string{local.Shared(t).Addr()}, ReadTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer impatient.Close()
	if err := schema.RefreshViews(t.Context(), impatient, d.name); err != nil {
		t.Error(err)
	}
	if got := one[uint64](d, "SELECT count() FROM "+d.name+".tasks"); got != 6 {
		t.Errorf("got %d rows, want the 6 of the refresh", got)
	}
}

// A plan for the views touches no table of events, of the ledger, or of anything that holds what was delivered.
func TestMaterializingTouchesNoTableOfRecords(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := builtin(t)
	d.evolve(c)
	keyed := d.keyed()
	for _, on := range []bool{true, false} {
		for _, s := range d.planViews(c, materialized(on)).Steps {
			if !slices.Contains(keyed, s.View) {
				t.Errorf("%s is about %q", s.Summary, s.View)
			}
			for _, sql := range append([]string{s.Statement}, s.Then...) {
				head, _, _ := strings.Cut(sql, "\n")
				for word := range strings.FieldsSeq(head) {
					name, ok := strings.CutPrefix(word, "`"+d.name+"`.")
					if name = strings.Trim(name, "`"); ok && name != s.View && !strings.HasPrefix(name, s.View+"_refresh") && !strings.HasPrefix(name, s.View+"_next_") {
						t.Errorf("%s touches %s", head, name)
					}
				}
			}
		}
		d.evolveViews(c, materialized(on))
	}
}
