package schema_test

import (
	"fmt"
	"strings"
	"testing"
)

// ReplacingMergeTree replaces within a partition alone, so one row per event ID needs tables that have none; and the token
// does nothing where the window is 0, ClickHouse's default.
func TestTablesAreKeyedOnTheEventIDWithoutPartitions(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(builtin(t))
	const window = "non_replicated_deduplication_window = 1000"
	wrong := one[string](d, fmt.Sprintf(`SELECT toString(groupArray((name, engine, partition_key, sorting_key))) FROM system.tables
		WHERE database = '%s' AND endsWith(name, '_events') AND engine != 'View'
		AND NOT (engine = 'ReplacingMergeTree' AND partition_key = '' AND sorting_key = 'event_id' AND create_table_query LIKE '%%%s%%')`, d.name, window))
	if wrong != "[]" {
		t.Errorf("laid out otherwise: %s", wrong)
	}
	if n := one[uint64](d, fmt.Sprintf("SELECT count() FROM system.tables WHERE database = '%s' AND create_table_query LIKE '%%%s%%'", d.name, window)); n < 9 {
		t.Errorf("tables with a window: got %d, want the 7 of events, deliveries and dead_letters", n)
	}
}

// A redelivery whose createdAt lies in another month is still the same event.
func TestAnIDWhoseCreatedAtChangedIsOneRow(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	first := body("evt_1", "lead.created", `{"leadId":"x"}`)
	d.insert(w, first, at(1))
	d.insert(w, strings.Replace(first, "2026-05", "2025-01", 1), at(2))
	if got := one[string](d, "SELECT toString(groupArray((toMonth(occurred_at), _offset))) FROM "+d.name+".lead_events FINAL"); got != "[(1,2)]" {
		t.Errorf("got %s, want the later delivery alone", got)
	}
}

// ClickHouse 26.2 and later make inserts asynchronous unless told not to.
func TestInsertsAreSynchronous(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	d.exec(`CREATE TABLE ` + d.name + `.seen (a String) ENGINE = Memory`) // by a view, which runs with the insert's settings
	d.exec(`CREATE MATERIALIZED VIEW ` + d.name + `.watch TO ` + d.name + `.seen AS SELECT toString(getSetting('async_insert')) AS a FROM ` + d.name + `.lead_events`)
	d.insert(w, body("evt_1", "lead.created", `{"leadId":"x"}`), at(1))
	if got := one[string](d, "SELECT toString(groupArray(a)) FROM "+d.name+".seen"); got != "['false']" && got != "['0']" {
		t.Errorf("async_insert: got %s, want it off", got)
	}
}
