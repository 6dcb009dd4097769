package erase_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// What is not reached is named: where in Kafka, and who else's rows hold the person's address.
func TestWhatIsNotReached(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.load()
	body := event("evt_1", "lead.created", `{"leadId":"lead_1","email":"Person+x@example.com"}`)
	d.deliver(w, body, body, event("evt_2", "lead.updated", `{"leadId":"lead_1"}`), event("evt_3", "lead.created", `{"leadId":"lead_2"}`))
	d.letter("lead_1", "PERSON", schema.InvalidJSON, "")
	d.deliver(w,
		event("evt_4", "task.created", `{"taskId":"task_1","title":"call person+X@Example.com"}`),
		event("evt_5", "task.created", `{"taskId":"task_1","title":"call xperson+X@example.com.au"}`),
		event("evt_6", "task.created", `{"taskId":"task_2","title":"call somebody"}`),
		event("evt_7", "document.signed", `{"by":"person+x@example.com"}`),
		event("evt_8", "lead.created", `{"leadId":"lead_3","email":"person+x@example.com"}`),
	)
	d.letter("x", "person+x@example.com", schema.InvalidJSON, "")
	d.exec("CREATE TABLE db.copy ENGINE = MergeTree ORDER BY () AS SELECT * FROM db.lead_events")
	report := d.erase("lead_1")
	n := report.NotReached
	if got := fmt.Sprint(n.Kafka); got != "[3:0-2 3:4]" {
		t.Errorf("in Kafka: got %s", got)
	}
	if !slices.Equal(n.ForeignTables, []string{"copy"}) {
		t.Errorf("foreign tables: got %v", n.ForeignTables)
	}
	var elsewhere []string
	for _, e := range n.Elsewhere {
		elsewhere = append(elsewhere, fmt.Sprintf("%s %d", e.Table, e.Rows))
		if rows := strings.Count(d.ask(e.Query), "\n") + 1; rows != int(e.Rows) {
			t.Errorf("%s: got %d rows, want %d", e.Query, rows, e.Rows)
		}
	}
	slices.Sort(elsewhere)
	if got := strings.Join(elsewhere, ", "); got != "dead_letters 1, lead_events 1, other_events 1, task_events 2" {
		t.Errorf("elsewhere: got %s", got)
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{text.String(), string(whole)} {
		if strings.Contains(strings.ToLower(out), "person+x") {
			t.Errorf("the report holds an address: %s", out)
		}
		for _, want := range []string{"Kafka", "3:0-2", "Backups", "Leadron itself", "old_parts_lifetime", "copy", "FINAL WHERE event_id IN ('evt_4', 'evt_5')"} {
			if !strings.Contains(out, want) {
				t.Errorf("the report does not say %q:\n%s", want, out)
			}
		}
	}
	if second := d.erase("lead_1"); fmt.Sprint(second.NotReached.Kafka) != "[3:0-2 3:4]" {
		t.Errorf("in Kafka, the second time: got %v", second.NotReached.Kafka)
	}
}

// The addresses that are looked for stand in no statement: ClickHouse would write them to its logs.
func TestNoAddressInAStatement(t *testing.T) {
	t.Parallel()
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{
		ServerXML: "<query_log><database>system</database><table>query_log</table><flush_interval_milliseconds>100</flush_interval_milliseconds></query_log>",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	d := openOn(t, ch)
	d.deliver(d.load(), event("evt_1", "lead.created", `{"leadId":"lead_1","email":"PERSON@example.com","note":"SECRET"}`))
	if report := d.erase("lead_1"); report.NotReached.Addresses != 1 {
		t.Fatalf("got %+v", report.NotReached)
	}
	d.exec("SYSTEM FLUSH LOGS")
	d.want("SELECT count() > 5 FROM system.query_log WHERE query LIKE '%lead_1%'", "1")
	d.want("SELECT count() FROM system.query_log WHERE lower(query) LIKE concat('%per', 'son@%') OR query LIKE concat('%SEC', 'RET%')", "0")
}
