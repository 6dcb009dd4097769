package schema_test

import (
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/schema"
)

// foreignTask is a catalog with one entity view, tasks.
var foreignTask = []string{"task.created", `{"taskId":"x","title":"x","assigneeId":"x"}`, "task.completed", `{"taskId":"x"}`}

// An analyst's own view or table is never replaced: CREATE OR REPLACE VIEW would drop it.
func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, create := range map[string]string{
		"a table":               "CREATE TABLE db.NAME (mine String) ENGINE = MergeTree ORDER BY mine",
		"a view":                "CREATE VIEW db.NAME AS SELECT 'mine' AS mine",
		"a view in ours' place": "CREATE OR REPLACE VIEW db.NAME AS SELECT 'mine' AS mine COMMENT 'my own'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			c := catalog(t, foreignTask...)
			later := strings.Contains(create, "REPLACE")
			if later {
				d.evolve(c)
			}
			for _, view := range []string{"tasks", "events", "task_created"} {
				d.exec(strings.NewReplacer("db.", d.name+".", "NAME", view).Replace(create))
			}
			p := d.plan(c)
			for _, want := range []string{"tasks is not leadhouse's", "events is not leadhouse's", "task_created is not leadhouse's", "RENAME TABLE " + d.name + ".tasks TO " + d.name + ".my_tasks"} {
				if !strings.Contains(findings(p), want) {
					t.Errorf("no finding %q in\n%s", want, findings(p))
				}
			}
			want := "Not made, since they would read it: "
			if later {
				want = "Made before, and reading it now: "
			}
			for _, view := range []string{"event_id_conflicts, redeliveries", "task_completion"} {
				if !strings.Contains(findings(p), want+view) {
					t.Errorf("no finding %q in\n%s", want+view, findings(p))
				}
			}
			d.evolve(c)
			d.wantNothingToDo(c)
			for _, view := range []string{"tasks", "events", "task_created"} {
				if got := d.columnsOf(view); got != "mine" {
					t.Errorf("%s: got %s, want it as it was", view, got)
				}
				d.exec("RENAME TABLE " + d.name + "." + view + " TO " + d.name + ".my_" + view)
			}
			d.evolve(c)
			d.wantNothingToDo(c)
			if got := d.columnsOf("tasks"); !strings.HasPrefix(got, "task_id") {
				t.Errorf("after the rename: got %s", got)
			}
		})
	}
}

// A run killed between a view and its record leaves one that the next run knows as its own.
func TestAViewThatWasNotRecordedIsOurs(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	c := catalog(t, append([]string{"lead.seen", `{"leadId":"x"}`}, foreignTask...)...)
	for _, s := range d.plan(c).Steps { // all but the record
		d.exec(s.Statement)
	}
	if p := d.plan(c); strings.Contains(findings(p), "not leadhouse's") || !strings.Contains(summaries(p), "~ view tasks") {
		t.Errorf("got %s\n%s", summaries(p), findings(p))
	}
	d.evolve(c)
	d.wantNothingToDo(c)
}

// A release before marks made its views without one.
func TestAViewOfAnEarlierReleaseIsOurs(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, "lead.seen", `{"leadId":"x"}`)
	d.evolve(c)
	d.exec("CREATE OR REPLACE VIEW " + d.name + ".redeliveries AS SELECT 1 COMMENT 'event IDs'")
	d.exec("ALTER TABLE " + d.name + ".schema_changes UPDATE statement = 'CREATE OR REPLACE VIEW … COMMENT ''event IDs''' WHERE table_name = 'redeliveries' SETTINGS mutations_sync = 1")
	if got := summaries(d.plan(c)); got != "~ view redeliveries" {
		t.Errorf("got %s", got)
	}
}

func TestViewsThatWaitAreOneLine(t *testing.T) {
	t.Parallel()
	d := open(t)
	p := d.plan(catalog(t, "lead.seen", `{"leadId":"x"}`))
	if len(p.Findings) != 1 || !strings.Contains(p.Findings[0], " views wait for ") || !strings.HasSuffix(p.Findings[0], "task_events, which no catalog has named yet") {
		t.Errorf("got %q", p.Findings)
	}
	if p := d.plan(builtin(t)); len(p.Findings) != 0 {
		t.Errorf("the built-in catalog: got %q", p.Findings)
	}
}

// A view that cannot be made keeps no sink from its columns.
func TestAViewThatFailsLeavesTheColumnsRecorded(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	c := catalog(t, "lead.seen", `{"leadId":"x","score":1}`)
	p := d.plan(c)
	p.Steps = append([]schema.Step{{Summary: "+ view broken", View: "broken", Statement: "CREATE VIEW " + d.name + ".broken AS SELECT nothing"}}, p.Steps...)
	if _, err := schema.Apply(t.Context(), d.conn, p, "test", nil); err == nil || !strings.Contains(err.Error(), "+ view broken: ") {
		t.Errorf("got %v", err)
	}
	if w := d.load(); w.Revision != 2 || len(w.TableFor("lead.seen").Columns) != 2 {
		t.Errorf("got revision %d, %v", w.Revision, w.TableFor("lead.seen").Columns)
	}
	if got := summaries(d.plan(c)); got != "~ view lead_seen" {
		t.Errorf("the next plan: got %s", got)
	}
	d.evolve(c)
	d.wantNothingToDo(c)
}
