package backfill_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

var taskCatalog = []string{"task.created", `{"taskId":"x","title":"x","assigneeId":"x"}`, "task.completed", `{"taskId":"x"}`}

// The views of a release are one line to the reader, and exact with --plan.
func TestAPlanIsShortOnViews(t *testing.T) {
	t.Parallel()
	d := open(t)
	cfg := d.config(taskCatalog...)
	plan := cfg
	plan.PlanOnly = true
	_, out := d.run(plan)
	for _, want := range []string{"\n  + view tasks\n", "CREATE OR REPLACE VIEW `" + d.name + "`.`tasks`"} {
		if !strings.Contains(out, want) {
			t.Errorf("--plan: no %q in\n%s", want, out)
		}
	}
	result, out := d.run(cfg)
	if !strings.Contains(out, " views: events, delivery_balance, event_id_conflicts, redeliveries, task_created, task_completed, tasks") || strings.Count(out, " view") > 2 {
		t.Errorf("got\n%s", out)
	}
	if result.Steps < 14 {
		t.Errorf("steps: got %d", result.Steps)
	}
	_, out = d.run(d.config(append([]string{"note.written", `{"noteId":"n"}`}, taskCatalog...)...))
	if !strings.Contains(out, "\n  + 1 view: note_written\n") {
		t.Errorf("got\n%s", out)
	}
}

// --materialize-views: with progress, kept when nothing is said, fresh after a fill, and off again.
func TestMaterializeViews(t *testing.T) {
	t.Parallel()
	d := open(t)
	yes, no := true, false
	d.run(d.config(taskCatalog...))
	d.deliver(d.load(), 0, events("task", 50, "task.created", `{"taskId":"t","due":"2026-05-01T00:00:00Z"}`)...)

	var log bytes.Buffer
	cfg := d.config(taskCatalog...)
	cfg.MaterializeViews, cfg.MaterializeEvery, cfg.Logger = &yes, time.Hour, zerolog.New(&log)
	_, out := d.run(cfg)
	if !strings.Contains(out, ": a table now, filled every 1h0m0s: tasks") {
		t.Errorf("got\n%s", out)
	}
	for _, want := range []string{`"work":"fill tasks","rows":50,"message":"begun"`, `"work":"fill tasks","rows":50,"of":50,`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
	d.want("SELECT (count(), any(title)) FROM db.tasks", "(1,NULL)")
	d.want("SELECT engine FROM system.tables WHERE database = '"+d.name+"' AND name = 'tasks'", "MergeTree")
	d.idle(d.config(taskCatalog...))

	// title was called another way until now: the rows are typed again, and the table shows it.
	d.deliver(d.load(), 100, event("task_new", "note.written", `{"noteId":"n"}`), event("task_2", "task.created", `{"taskId":"u","name":"call"}`))
	d.run(d.config(append([]string{"task.renamed", `{"name":"x"}`}, taskCatalog...)...))
	d.want("SELECT groupArray(task_id) FROM (SELECT task_id FROM db.tasks ORDER BY task_id)", "['t','u']")

	off := d.config(taskCatalog...)
	off.MaterializeViews = &no
	if _, out := d.run(off); !strings.Contains(out, ": no table any more") {
		t.Errorf("got\n%s", out)
	}
	d.want("SELECT engine FROM system.tables WHERE database = '"+d.name+"' AND name = 'tasks'", "View")
}

func TestARefreshThatFailedIsTheRunsError(t *testing.T) {
	t.Parallel()
	d := open(t)
	yes := true
	cfg := d.config(taskCatalog...)
	cfg.MaterializeViews, cfg.MaterializeEvery = &yes, time.Hour
	d.run(cfg)
	d.exec("DROP VIEW db.tasks_refresh")
	d.exec("CREATE MATERIALIZED VIEW db.tasks_refresh REFRESH EVERY 1 HOUR TO db.tasks COMMENT 'fills tasks anew, every 1h0m0s (leadhouse)' AS SELECT throwIf(1, 'boom')::String AS task_id")
	_ = d.conn.Exec(t.Context(), d.in("SYSTEM WAIT VIEW db.tasks_refresh"))
	if _, _, err := tryRun(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "could not be refreshed") || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v", err)
	}
}

func TestIntervalsThatCannotBe(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, every := range []time.Duration{time.Second, -time.Hour, 10*time.Second + time.Millisecond} {
		cfg := d.config(taskCatalog...)
		cfg.MaterializeEvery = every
		if _, _, err := tryRun(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "backfill: MaterializeEvery: ") {
			t.Errorf("%v: got %v", every, err)
		}
	}
}

// Killed while views become tables and tables views: readers find every row at every moment, and the next run finishes.
func TestASwitchThatIsKilledIsFinished(t *testing.T) {
	t.Parallel()
	d := open(t)
	cfg := d.config(taskCatalog...)
	d.run(cfg)
	var deliveries []string
	for i := range 500 {
		deliveries = append(deliveries, event(fmt.Sprintf("evt_%d", i), "task.created", fmt.Sprintf(`{"taskId":"t%d"}`, i)))
	}
	d.deliver(d.load(), 0, deliveries...)
	d.deliver(d.load(), 0, deliveries...) // twice
	is := func(what string) bool {
		n, err := ask[uint64](t.Context(), d, "SELECT count() FROM system.tables WHERE database = '"+d.name+"' AND "+what)
		return err == nil && n > 0
	}
	for _, moment := range []struct{ tables, is string }{ // in which it is killed, as soon as that is so
		{"true", "name LIKE 'tasks_next%'"},
		{"true", "name = 'tasks' AND engine = 'MergeTree'"},
		{"true", "name = 'tasks_refresh'"},
		{"false", "name = 'tasks' AND engine = 'View'"},
		{"true", "name LIKE 'task_completion_next%'"},
	} {
		child := d.child(t, cfg.Catalog, childTables+"="+moment.tables)
		eventually(t, moment.is, func() bool {
			select {
			case <-child.Gone():
				return true
			default:
				return is(moment.is)
			}
		})
		child.Kill()
		d.want("SELECT (count(), uniqExact(task_id)) FROM db.tasks", "(500,500)")
	}
	yes := true
	cfg.MaterializeViews, cfg.MaterializeEvery = &yes, time.Hour
	d.run(cfg)
	d.want("SELECT (count(), uniqExact(task_id)) FROM db.tasks", "(500,500)")
	d.want("SELECT groupArray(name) FROM (SELECT name FROM system.tables WHERE database = '"+d.name+"' AND name LIKE 'task%' AND engine IN ('MergeTree', 'MaterializedView') ORDER BY name)",
		"['task_completion','task_completion_refresh','tasks','tasks_refresh']")
	d.idle(d.config(taskCatalog...))
}
