package schema_test

import (
	"fmt"
	"testing"

	"github.com/leadhouse/leadhouse/schema"
)

// entries writes ledger entries as one flush does, or a flush that is recorded again.
func (d db) entries(w *schema.Warehouse, list ...entry) {
	d.Helper()
	b := schema.NewDeliveryBlock(d.name)
	for _, e := range list {
		rec := at(e.offset)
		rec.Partition = e.partition
		b.Append(e.id, []byte(e.body), rec, e.outcome)
		if e.outcome == schema.Inserted && !e.rowless {
			d.insert(w, e.body, rec)
		}
	}
	if err := b.Insert(d.Context(), d.conn, ""); err != nil {
		d.Fatal(err)
	}
}

type entry struct {
	partition int32
	offset    int64
	id, body  string
	outcome   schema.Outcome
	rowless   bool
}

func lead(partition int32, offset int64, id, leadID string) entry {
	return entry{partition: partition, offset: offset, id: id, body: body(id, "lead.created", `{"leadId":"`+leadID+`"}`), outcome: schema.Inserted}
}

// What was recorded twice or late balances, per partition and in total, and the partitions add up to the total.
func TestTheBooksBalance(t *testing.T) {
	d := open(t)
	w := d.evolve(builtin(t))
	d.exec("SYSTEM STOP MERGES " + d.name + ".deliveries") // so that FINAL has everything to do
	first := []entry{
		lead(0, 0, "evt_a", "1"), lead(0, 1, "evt_b", "1"), lead(0, 2, "evt_a", "1"),
		{partition: 0, offset: 3, body: "no event", outcome: schema.DeadLettered},
	}
	second := []entry{
		lead(1, 0, "evt_a", "1"), lead(1, 1, "evt_c", "1"),
		{partition: 1, offset: 2, id: "evt_d", body: "x", outcome: schema.Erased},
	}
	late := []entry{lead(1, 3, "evt_c", "1"), lead(0, 1, "evt_b", "1"), lead(1, 1, "evt_c", "1")}
	for _, flush := range [][]entry{second, first, first, second, late} {
		d.entries(w, flush...)
	}
	want := map[string]string{
		"kafka_partition = 0": "(4,2,1,1,0)",
		"kafka_partition = 1": "(4,1,2,0,1)",
		"1":                   "(8,3,3,1,1)",
	}
	for where, want := range want {
		got := one[string](d, fmt.Sprintf(`SELECT toString((sum(fetched), sum(inserted), sum(collapsed), sum(dead_lettered), sum(erased)))
			FROM %s.delivery_balance WHERE %s`, d.name, where))
		if got != want {
			t.Errorf("%s: got %s, want %s", where, got, want)
		}
	}
}

func TestConflictsAndRedeliveriesAreNamed(t *testing.T) {
	d := open(t)
	w := d.evolve(builtin(t))
	lost := lead(0, 6, "evt_lost", "1")
	lost.rowless = true
	again := lead(1, 7, "evt_lost", "2")
	again.rowless = true
	d.entries(
		w, lead(0, 0, "evt_once", "1"),
		lead(0, 1, "evt_same", "1"), lead(1, 3, "evt_same", "1"),
		lead(0, 2, "evt_other", "1"), lead(0, 4, "evt_other", "2"), lead(0, 5, "evt_other", "2"),
		entry{partition: 0, offset: 8, body: "no event", outcome: schema.DeadLettered},
		entry{partition: 0, offset: 9, body: "no event either", outcome: schema.DeadLettered},
		lost, again,
	)
	hash := one[string](d, "SELECT lower(hex(left(SHA256('evt_lost'), 16)))")
	got := one[[]string](d, fmt.Sprintf(`SELECT groupArray(toString((event_id, bodies, deliveries, second(first_received_at), second(last_received_at), positions)))
		FROM (SELECT * FROM %s.event_id_conflicts ORDER BY deliveries)`, d.name))
	want := []string{
		fmt.Sprintf("('%s',2,2,6,7,[(0,0,6),(0,1,7)])", hash),
		"('evt_other',2,3,2,5,[(0,0,2),(0,0,4),(0,0,5)])",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("conflicts: got %v, want %v", got, want)
	}
	got = one[[]string](d, fmt.Sprintf(`SELECT groupArray(toString((event_id, deliveries, same_bytes, second(first_received_at), second(last_received_at), positions)))
		FROM (SELECT * FROM %s.redeliveries ORDER BY first_received_at)`, d.name))
	want = []string{
		"('evt_same',2,true,1,3,[(0,0,1),(0,1,3)])",
		"('evt_other',3,false,2,5,[(0,0,2),(0,0,4),(0,0,5)])",
		fmt.Sprintf("('%s',2,false,6,7,[(0,0,6),(0,1,7)])", hash),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("redeliveries: got %v, want %v", got, want)
	}
}

func TestEveryColumnOfTheBooksHasAComment(t *testing.T) {
	d := open(t)
	d.evolve(builtin(t))
	bare := one[[]string](d, fmt.Sprintf(`SELECT groupArray(table || '.' || name) FROM system.columns
		WHERE database = '%s' AND table IN ('delivery_balance', 'event_id_conflicts', 'redeliveries') AND comment = ''`, d.name))
	if len(bare) > 0 {
		t.Errorf("without a comment: %v", bare)
	}
}
