package schema_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// A table that nothing comes into becomes one part, which FINAL reads as quickly as a table without duplicates.
func TestTablesMergeDownAtRest(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	// The tables' own ten minutes are too long for a test: what is tested is that the age counts.
	d.exec("ALTER TABLE " + d.name + ".lead_events MODIFY SETTING min_age_to_force_merge_seconds = 1")
	for i := range 4 { // too few and too small for ClickHouse to merge them of its own accord
		d.insert(w, body(fmt.Sprintf("evt_%d", i), "lead.created", `{"leadId":"x"}`), at(int64(i)))
	}
	look := time.NewTicker(100 * time.Millisecond) // ClickHouse tells nobody
	defer look.Stop()
	patience := time.After(2 * time.Minute)
	for one[uint64](d, "SELECT count() FROM system.parts WHERE active AND database = '"+d.name+"' AND table = 'lead_events'") > 1 {
		select {
		case <-look.C:
		case <-patience:
			t.Fatal("the parts stay apart")
		}
	}
}

// A table of an earlier version gets the settings, one that a hand has set keeps its own, and no row becomes stale by it.
func TestSettingsAreAddedAndNotChanged(t *testing.T) {
	t.Parallel()
	d := open(t)
	before := d.evolve(builtin(t))
	d.exec("ALTER TABLE " + d.name + ".lead_events RESET SETTING min_age_to_force_merge_seconds, min_age_to_force_merge_on_partition_only")
	d.exec("ALTER TABLE " + d.name + ".task_events MODIFY SETTING min_age_to_force_merge_seconds = 7")
	after := d.evolve(builtin(t))
	settings := "SELECT splitByString(' SETTINGS ', engine_full)[2] FROM system.tables WHERE database = '" + d.name + "' AND name = "
	if got := one[string](d, settings+"'lead_events'"); !strings.Contains(got, "min_age_to_force_merge_seconds = 600, min_age_to_force_merge_on_partition_only = 1") {
		t.Errorf("lead_events: %s", got)
	}
	if got := one[string](d, settings+"'task_events'"); !strings.Contains(got, "min_age_to_force_merge_seconds = 7,") {
		t.Errorf("task_events: %s", got)
	}
	lead := func(w *schema.Warehouse) uint32 { return w.TableFor("lead.created").Revision }
	if lead(before) != lead(after) {
		t.Errorf("lead_events: revision %d, was %d: all its rows would be typed again", lead(after), lead(before))
	}
	if p := d.plan(builtin(t)); !p.Empty() {
		t.Errorf("there is more to do: %+v", p.Steps)
	}
}
