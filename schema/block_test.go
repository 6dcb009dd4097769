package schema_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// every has one column of every kind, and what a nested one needs.
func every(t testing.TB) *schema.Catalog {
	return catalog(t,
		"lead.seen", `{"leadId":"ld_1","score":1,"vip":true,"lastSeenAt":"2026-05-27T23:34:12Z","tags":["a"],"changes":{"status":"new","address":{"city":"x","zip":1}},"either":"x"}`,
		"lead.other", `{"either":1}`,
		"lead.stage_changed", `{"from":"a","to":"b"}`)
}

func TestValuesThatFitAreExactAndTheRestIsNamed(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(every(t))
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	cases := []struct{ data, column, want, invalid string }{
		{`{"leadId":"ld_1"}`, "lead_id", "ld_1", ""},
		{`{"leadId":"\u0041\n\ud83d\ude00é"}`, "lead_id", "A\n😀é", ""},
		{`{"leadId":""}`, "lead_id", "", ""},
		{`{"leadId":null}`, "lead_id", "NULL", ""},
		{`{}`, "lead_id", "NULL", ""},
		{`{"leadId":5}`, "lead_id", "NULL", "leadId"},
		{`{"leadId":"\ud800"}`, "lead_id", "NULL", "leadId"},
		{`{"leadId":"a","leadId":"b"}`, "lead_id", "NULL", "leadId"},
		{`{"leadId":"a","lead\u0049d":"b"}`, "lead_id", "NULL", "leadId"},
		{`{"LeadId":"a"}`, "lead_id", "NULL", ""},
		{`{"\ud800":"a","leadId":"b"}`, "lead_id", "b", ""},
		{`{"score":500.25}`, "score", "500.25", ""},
		{`{"score":-0.000000001}`, "score", "-0.000000001", ""},
		{`{"score":1.0000000000}`, "score", "1", ""},
		{`{"score":1.0000000001}`, "score", "NULL", "score"},
		{`{"score":99999999999999999999999999999.999999999}`, "score", "99999999999999999999999999999.999999999", ""},
		{`{"score":100000000000000000000000000000}`, "score", "NULL", "score"},
		{`{"score":1e3}`, "score", "1000", ""},
		{`{"score":25e-1}`, "score", "2.5", ""},
		{`{"score":1e400}`, "score", "NULL", "score"},
		{`{"score":1e2000000000}`, "score", "NULL", "score"},
		{`{"score":1e-2000000000}`, "score", "NULL", "score"},
		{`{"score":1e99999999999999999999}`, "score", "NULL", "score"},
		{`{"score":0e-50}`, "score", "0", ""},
		{`{"score":-0}`, "score", "0", ""},
		{`{"score":` + strings.Repeat("1", 5000) + `}`, "score", "NULL", "score"},
		{`{"score":"5"}`, "score", "NULL", "score"},
		{`{"vip":false}`, "vip", "false", ""},
		{`{"vip":1}`, "vip", "NULL", "vip"},
		{`{"lastSeenAt":"2026-05-27T23:34:12.3456+02:00"}`, "last_seen_at", "2026-05-27 21:34:12.345", ""},
		{`{"lastSeenAt":"yesterday"}`, "last_seen_at", "NULL", "lastSeenAt"},
		{`{"lastSeenAt":"1899-05-27T23:34:12Z"}`, "last_seen_at", "NULL", "lastSeenAt"},
		{`{"lastSeenAt":"1900-01-01T00:00:00Z"}`, "last_seen_at", "1900-01-01 00:00:00.000", ""},
		{`{"lastSeenAt":"2261-12-31T23:59:59.999Z"}`, "last_seen_at", "2261-12-31 23:59:59.999", ""},
		{`{"lastSeenAt":"2290-01-01T00:00:00Z"}`, "last_seen_at", "NULL", "lastSeenAt"}, // clickhouse-go would write 1705
		{`{"lastSeenAt":1780000000}`, "last_seen_at", "NULL", "lastSeenAt"},
		{`{"tags":["a",1,null,{"x":[1]}]}`, "tags", `['a','1','null','{"x":[1]}']`, ""},
		{`{"tags":[]}`, "tags", "[]", ""},
		{`{"tags":["\ud800"]}`, "tags", "[]", "tags"},
		{`{"tags":"a"}`, "tags", "[]", "tags"},
		{`{"tags":` + deep + `}`, "tags", "[]", "tags"},
		{`{"changes":{"status":"won","n":1.50,"address":{"city":"Köln","zip":5}}}`, "changes", `{'status':'won','n':'1.50','address':'{"city":"Köln","zip":5}'}`, ""},
		{`{"changes":{"z":"1","y":"2","x":"3","w":"4","v":"5"}}`, "changes", `{'z':'1','y':'2','x':'3','w':'4','v':'5'}`, ""},
		{`{"changes":{` + strings.Repeat(`"a":"1",`, 20) + `"b":"2"}}`, "changes", "{}", "changes"},
		{`{"changes":{"status":"won"}}`, "changes_status", "won", ""},
		{`{"changes":{"status":7}}`, "changes_status", "NULL", "changes.status"},
		{`{"changes":{"address":{"city":"Köln","zip":5}}}`, "changes_address_zip", "5", ""},
		{`{"changes":{"address":{"city":"a","city":"b"}}}`, "changes_address_city", "NULL", "changes.address.city"},
		{`{"changes":{"status":"a","status":"b"}}`, "changes", "{}", "changes changes.status"},
		{`{"changes":"x"}`, "changes", "{}", "changes"},
		{`{"either":"x"}`, "either", "x", ""},
		{`{"either":{"y":[1, 2]}}`, "either", `{"y":[1, 2]}`, ""},
		{`{"from":"a"}`, "from_stage", "NULL", ""}, // lead.seen: only lead.stage_changed fills it
	}
	var decoder schema.Decoder
	b := schema.NewEventBlock(w, w.TableFor("lead.seen"))
	for i, c := range cases {
		payload := []byte(body(fmt.Sprintf("evt_%03d", i), "lead.seen", c.data))
		e, err := decoder.Decode(payload)
		if err != nil {
			t.Fatalf("%s: %v", c.data, err)
		}
		b.Append(e, payload, at(int64(i)))
	}
	if err := b.Insert(t.Context(), d.conn, "token"); err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		id := fmt.Sprintf("evt_%03d", i)
		from := fmt.Sprintf(" FROM %s.lead_events FINAL WHERE event_id = '%s'", d.name, id)
		if got := one[string](d, "SELECT ifNull(toString("+c.column+"), 'NULL')"+from); got != c.want {
			t.Errorf("%.80s: %s: got %s, want %s", c.data, c.column, got, c.want)
		}
		if got := one[string](d, "SELECT arrayStringConcat(arraySort(_invalid_fields), ' ')"+from); got != c.invalid {
			t.Errorf("%.80s: _invalid_fields: got %q, want %q", c.data, got, c.invalid)
		}
		if got, want := one[string](d, "SELECT payload"+from), body(id, "lead.seen", c.data); got != want {
			t.Errorf("payload: got %q, want %q", got, want)
		}
	}
}

func TestAColumnOfOneTypeIsFilledByThatTypeAlone(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(catalog(t, "opportunity.stage_changed", `{"from":"a","to":"b"}`, "opportunity.owner_changed", `{"from":"u1","to":"u2"}`))
	d.insert(w, body("evt_1", "opportunity.stage_changed", `{"from":"discovery","to":"proposal"}`), at(1))
	d.insert(w, body("evt_2", "opportunity.owner_changed", `{"from":"anna","to":"ben"}`), at(2))
	d.insert(w, body("evt_3", "opportunity.region_changed", `{"from":"eu","to":"us"}`), at(3))
	got := one[string](d, `SELECT toString(groupArray((event_id, ifNull(from_stage,''), ifNull(to_stage,''), ifNull(from_owner,''), ifNull(to_owner,''))))
		FROM (SELECT * FROM `+d.name+`.opportunity_events FINAL ORDER BY event_id)`)
	want := "[('evt_1','discovery','proposal','',''),('evt_2','','','anna','ben'),('evt_3','','','','')]"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRowsCarryWhereTheyComeFrom(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	d.insert(w, body("evt_1", "lead.created", `{}`), at(7))
	got := one[string](d, `SELECT toString((event_type, occurred_at, _received_at, _loaded_at, _partition, _offset, _schema, bitShiftRight(_version, 44), bitAnd(_version, bitShiftLeft(toUInt64(1),44)-1) = toUnixTimestamp64Milli(_received_at)))
		FROM `+d.name+`.lead_events`)
	want := "('lead.created','2026-05-27 23:34:12.345','2026-06-01 00:00:07.000','2026-06-01 00:01:07.000',3,7,1,1,1)"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Promise 4: a typing with newer columns wins, whenever it is written; within one, the later delivery.
func TestOneRowPerEventIDAndTheNewestTypingWins(t *testing.T) {
	t.Parallel()
	d := open(t)
	old := d.evolve(catalog(t, "lead.seen", `{"leadId":"x"}`))
	newer := d.evolve(catalog(t, "lead.seen", `{"leadId":"x","score":1}`))
	delivery := body("evt_1", "lead.seen", `{"leadId":"x","score":5}`)
	d.insert(newer, delivery, at(1))
	d.insert(old, delivery, at(2)) // a sink that has not reloaded yet takes the redelivery
	d.exec("OPTIMIZE TABLE " + d.name + ".lead_events FINAL")
	if got := one[string](d, "SELECT toString(groupArray((score, _offset))) FROM "+d.name+".lead_events"); got != "[(5,1)]" {
		t.Errorf("got %s, want the newer typing", got)
	}
	d.insert(newer, delivery, at(3))
	if got := one[string](d, "SELECT toString(groupArray((score, _offset))) FROM "+d.name+".lead_events FINAL"); got != "[(5,3)]" {
		t.Errorf("got %s, want the later delivery", got)
	}
}

func TestABlockIsReusedWithoutATrace(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(every(t))
	b := schema.NewEventBlock(w, w.TableFor("lead.seen"))
	var decoder schema.Decoder
	write := func(id, data string) {
		t.Helper()
		b.Reset()
		payload := []byte(body(id, "lead.seen", data))
		e, err := decoder.Decode(payload)
		if err != nil {
			t.Fatal(err)
		}
		b.Append(e, payload, at(1))
		if err := b.Insert(t.Context(), d.conn, id); err != nil {
			t.Fatal(err)
		}
	}
	write("evt_1", `{"leadId":"x","score":"?","tags":["a"],"changes":{"status":"won"}}`)
	write("evt_2", `{"vip":true}`)
	got := one[string](d, `SELECT toString((ifNull(lead_id,'-'), score, tags, changes, ifNull(changes_status,'-'), vip, _invalid_fields)) FROM `+d.name+`.lead_events WHERE event_id = 'evt_2'`)
	if want := "('-',NULL,[],{},'-',true,[])"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The token makes a repeated block nothing, and another block under a token of its own something.
func TestARepeatedInsertUnderItsTokenAddsNoRow(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	b := schema.NewDeliveryBlock(w.Database)
	b.Append("evt_1", []byte("a"), at(1), schema.Inserted)
	b.Append("", []byte("b"), at(2), schema.DeadLettered)
	for _, token := range []string{"t1", "t1", "t2"} {
		if err := b.Insert(t.Context(), d.conn, token); err != nil {
			t.Fatal(err)
		}
	}
	if got := one[uint64](d, "SELECT count() FROM "+d.name+".deliveries"); got != 4 {
		t.Errorf("rows: got %d, want 4 (two blocks of two)", got)
	}
	got := one[string](d, `SELECT toString(groupArray((kafka_partition, kafka_offset, event_id_hash = left(SHA256('evt_1'), 16), event_id_hash = repeat('\0', 16), body_hash = xxHash64(if(kafka_offset = 1, 'a', 'b')), outcome)))
		FROM (SELECT * FROM `+d.name+`.deliveries FINAL ORDER BY kafka_offset)`)
	if want := "[(3,1,1,0,1,'inserted'),(3,2,0,1,1,'dead_lettered')]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestADeadLetterKeepsItsBytes(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	b := schema.NewDeadLetterBlock(w.Database)
	raw := []byte("\x00\xff{not json")
	b.Append([]byte("k\xfe"), raw, []schema.Header{{Name: "h", Value: []byte("\xff1")}, {Name: "h", Value: nil}}, schema.InvalidUTF8, "why", at(1))
	for range 2 { // a refetch
		if err := b.Insert(t.Context(), d.conn, ""); err != nil {
			t.Fatal(err)
		}
	}
	got := one[string](d, `SELECT toString(groupArray((hex(record_key), hex(payload), arrayMap(h -> (h.name, hex(h.value)), headers), reason, detail, status))) FROM `+d.name+`.dead_letters FINAL`)
	if want := "[('6BFE','00FF7B6E6F74206A736F6E',[('h','FF31'),('h','')],'invalid_utf8','why','open')]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Column by column for the 14 examples of the catalog.
func TestTheExamplesBecomeTypedRows(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	want := map[string]map[string]string{
		"lead.created":              {"lead_id": "ld_123", "email": "jane@acme.com", "source": "web_form"},
		"lead.updated":              {"lead_id": "ld_123", "changes": "{'status':'qualified'}", "changes_status": "qualified"},
		"lead.deleted":              {"lead_id": "ld_123"},
		"opportunity.created":       {"opportunity_id": "opp_456", "value": "25000", "stage": "discovery"},
		"opportunity.stage_changed": {"opportunity_id": "opp_456", "from_stage": "discovery", "to_stage": "proposal"},
		"opportunity.won":           {"opportunity_id": "opp_456", "value": "25000"},
		"opportunity.lost":          {"opportunity_id": "opp_456", "reason": "budget"},
		"partner.registered":        {"partner_id": "ptr_789", "company": "Partner Co"},
		"partner.approved":          {"partner_id": "ptr_789"},
		"commission.earned":         {"commission_id": "com_101", "amount": "500", "partner_id": "ptr_789"},
		"commission.paid":           {"commission_id": "com_101", "amount": "500"},
		"task.created":              {"task_id": "tsk_202", "title": "Follow up with lead", "assignee_id": "usr_303"},
		"task.completed":            {"task_id": "tsk_202"},
		"form.submitted":            {"form_id": "frm_404", "lead_id": "ld_123", "fields": "{'name':'Jane','email':'jane@acme.com'}", "fields_name": "Jane", "fields_email": "jane@acme.com"},
	}
	seen := map[string]bool{}
	for i, e := range builtin(t).Events {
		seen[e.Type] = true
		id := fmt.Sprintf("evt_%d", i)
		d.insert(w, body(id, e.Type, string(e.Example)), at(int64(i)))
		table := w.TableFor(e.Type)
		if entity, _, _ := strings.Cut(e.Type, "."); table.Name != entity+"_events" {
			t.Errorf("%s goes to %s", e.Type, table.Name)
		}
		for _, c := range table.Columns {
			wanted, ok := want[e.Type][c.Name]
			if !ok {
				wanted = "NULL"
				if c.Kind == schema.Object {
					wanted = "{}"
				}
			}
			got := one[string](d, fmt.Sprintf("SELECT ifNull(toString(%s), 'NULL') FROM %s.%s WHERE event_id = '%s'", c.Name, d.name, table.Name, id))
			if got != wanted {
				t.Errorf("%s: %s: got %s, want %s", e.Type, c.Name, got, wanted)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(seen)); len(got) != 14 || len(want) != 14 {
		t.Errorf("types seen: %v", got)
	}
	if got := one[uint64](d, "SELECT count() FROM "+d.name+".events"); got != 14 {
		t.Errorf("events: got %d, want 14", got)
	}
}

// A typed block costs the sink about this much a row, and is what keeps the sink's promise of CPU: make bench.
func BenchmarkAppend(b *testing.B) {
	c := builtin(b)
	w := &schema.Warehouse{Revision: 1}
	m := schema.Infer(c)
	var decoder schema.Decoder
	for _, e := range []int{0, 1, 3, 13} {
		payload := []byte(body("evt_01HZXN8Y9K0M7R6Q5P4N3T2S1A", c.Events[e].Type, string(c.Events[e].Example)))
		b.Run(c.Events[e].Type, func(b *testing.B) {
			table := m.Tables[slices.IndexFunc(m.Tables, func(t *schema.Table) bool { return strings.HasPrefix(c.Events[e].Type, t.Entity) })]
			block := schema.NewEventBlock(w, table)
			now := time.Now()
			for b.Loop() {
				event, err := decoder.Decode(payload)
				if err != nil {
					b.Fatal(err)
				}
				block.Append(event, payload, schema.Record{ReceivedAt: now, LoadedAt: now})
				if block.Rows() == 50_000 {
					block.Reset()
				}
			}
		})
	}
}
