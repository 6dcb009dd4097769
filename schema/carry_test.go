package schema_test

import (
	"testing"

	"github.com/leadhouse/leadhouse/schema"
)

// Rows that nothing can be typed from keep what they have and are stale no more.
func TestCarryWithinATable(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	d.insert(w, body(`evt_'\"1`, "lead.seen", `{"leadId":"mine"}`), at(7))
	before := one[string](d, "SELECT toString(tuple(* EXCEPT (_schema, _version, score))) FROM (SELECT *, 0 AS score FROM "+d.name+".lead_events)")
	w = d.evolve(catalog(t, "lead.seen", `{"leadId":"x","score":1}`))
	lead := w.TableFor("lead.seen")
	for range 2 { // a crash after it repeats it
		if err := w.Carry(t.Context(), d.conn, lead, lead, []string{`evt_'"1`, "evt_none"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := one[uint64](d, "SELECT count() FROM "+d.name+".lead_events FINAL"); got != 1 {
		t.Fatalf("rows: got %d, want 1", got)
	}
	after := one[string](d, "SELECT toString(tuple(* EXCEPT (_schema, _version, score))) FROM "+d.name+".lead_events FINAL")
	if after != before {
		t.Errorf("carried row:\n got %s\nwant %s", after, before)
	}
	// The version is the one a typing under this revision would have: the same delivery, typed, replaces neither less nor more.
	d.insert(w, body("evt_2", "lead.seen", `{}`), at(7))
	if got := one[bool](d, "SELECT uniqExact(_schema, _version) = 1 FROM "+d.name+".lead_events FINAL WHERE _schema = 2"); !got {
		t.Error("a carried row and a typed one of one delivery differ in their version")
	}
}

func TestCarryIntoAnotherTable(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	other, lead := w.TableFor(""), w.TableFor("lead.seen")
	b := schema.NewEventBlock(w, other)
	var decoder schema.Decoder
	text := body("evt_1", "lead.seen", `{"leadId":"mine"}`)
	e, err := decoder.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b.Append(e, []byte(text), at(7))
	if err := b.Insert(t.Context(), d.conn, ""); err != nil {
		t.Fatal(err)
	}
	if err := w.Carry(t.Context(), d.conn, other, lead, []string{"evt_1"}, nil); err != nil {
		t.Fatal(err)
	}
	same := one[bool](d, "SELECT (SELECT tuple(* EXCEPT lead_id) FROM "+d.name+".lead_events) = (SELECT tuple(*) FROM "+d.name+".other_events)")
	if !same {
		t.Error("the carried row differs from the one it was made of")
	}
}

// Without a token a block is written in any case, and no sink's token is pushed out of the table's window for it.
func TestABlockWithoutATokenIsNeverDropped(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	d.exec("SYSTEM STOP MERGES " + d.name + ".lead_events")
	for range 3 {
		d.insert(w, body("evt_1", "lead.seen", `{}`), at(1))
	}
	if got := one[uint64](d, "SELECT count() FROM "+d.name+".lead_events"); got != 3 {
		t.Errorf("rows written: got %d, want 3", got)
	}
}
