package schema_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// Which events a tombstone of ld_1 covers.
func TestCovers(t *testing.T) {
	t.Parallel()
	stones := schema.NewTombstones("ld_1", "42", "")
	for data, want := range map[string]bool{
		`{"leadId":"ld_1"}`:                                       true,
		`{"a":1,"leadId":"ld_1","b":2}`:                           true,
		`{"lead\u0049d":"l\u0064_1"}`:                             true, // the same text, spelt oddly
		`{"leadId":"ld_2","leadId":"ld_1"}`:                       true, // any of several
		`{"leadId":"ld_1","leadId":"\ud800"}`:                     true,
		`{"leadId":42}`:                                           true, // no string yet, but the ID
		`{"leadId":["ld_9","ld_1"]}`:                              true,
		`{"leadId":{"id":"ld_1"}}`:                                true,
		`{"leadId":""}`:                                           true,
		`{"leadId":"ld_12"}`:                                      false, // its ID begins like the other's
		`{"leadId":"xld_1"}`:                                      false,
		`{"leadId":"LD_1"}`:                                       false,
		`{"leadid":"ld_1","lead_id":"ld_1","other":"ld_1"}`:       false,
		`{"lead":{"leadId":"ld_1"}}`:                              false, // not at the top of data
		`{"leadId":null}`:                                         false,
		`{"leadId":["ld_12"]}`:                                    false,
		`{"leadId":421}`:                                          false,
		`{"opportunityId":"ld_1","taskId":"ld_1","title":"ld_1"}`: false,
	} {
		for _, eventType := range []string{"lead.created", "form.submitted", "document.signed", "odd"} {
			var d schema.Decoder
			e, err := d.Decode([]byte(body("evt_1", eventType, data)))
			if err != nil {
				t.Fatal(err)
			}
			if got := stones.Covers(e); got != want {
				t.Errorf("%s of %s: covered %v, want %v", eventType, data, got, want)
			}
			if schema.NewTombstones().Covers(e) || (*schema.Tombstones)(nil).Covers(e) {
				t.Errorf("%s: covered without tombstones", data)
			}
		}
	}
}

// Of a body that is no event what stands in it, and the key, must do; a body that is one is looked at as an event.
func TestCoversLetter(t *testing.T) {
	t.Parallel()
	stones := schema.NewTombstones("ld_1", "ld_7")
	for _, c := range []struct {
		key, body string
		want      bool
	}{
		{"", `{"data":{"leadId":"ld_1"`, true},
		{"", `{"data":{"leadId":"x"},"data":{"leadId":"ld_7"}}`, true},
		{"", "\xff \"ld_1\"", true},
		{"", `"ld_1"`, true},
		{"", `""ld_1"`, true}, // broken before it
		{"ld_1", `no JSON`, true},
		{"ld_1", ``, true},
		{"ld_12", `{"data":{"leadId":"ld_12"`, false},
		{"", `ld_1`, false},
		{"", `"ld_1`, false},
		{"", `"l\u0064_1" is not found`, false},
		{"", "", false},
		{"ld_1", body("evt_1", "lead.created", `{"leadId":"ld_2","referrer":"ld_1"}`), false},
		{"", body("evt_1", "lead.created", `{"leadId":"ld_1"}`), true},
	} {
		var d schema.Decoder
		if got := stones.CoversLetter(&d, []byte(c.key), []byte(c.body)); got != c.want {
			t.Errorf("key %q, body %q: covered %v, want %v", c.key, c.body, got, c.want)
		}
	}
}

// However broken a body is, the IDs found in it are those that a search for each of them finds.
func TestCoversLetterIsASearch(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	ids := []string{"a", "ab", "ba", "aa"}
	stones := schema.NewTombstones(ids...)
	for range 20_000 {
		text := make([]byte, random.IntN(12))
		for i := range text {
			text[i] = `ab""`[random.IntN(4)]
		}
		want := slices.ContainsFunc(ids, func(id string) bool { return bytes.Contains(text, []byte(`"`+id+`"`)) })
		var d schema.Decoder
		if got := stones.CoversLetter(&d, nil, text); got != want {
			t.Fatalf("%s: covered %v, want %v", text, got, want)
		}
	}
}

// What is kept of the built-in catalog's columns. A column of a catalog to come is not.
func TestOutlivesErasure(t *testing.T) {
	t.Parallel()
	c := catalog(t, "lead.created", `{"leadId":"x","email":"e","source":"s","score":1,"ownerId":"u","accountId":7,"Id":"x","fooid":"x","profile":{"sourceId":"p"}}`,
		"lead.updated", `{"leadId":"x","changes":{"status":"q","source":"s","email":"e"}}`)
	for name, c := range map[string]*schema.Catalog{
		`commission_events [commission_id amount partner_id] form_events [form_id lead_id] lead_events [lead_id source changes_status] opportunity_events [opportunity_id value stage from_stage to_stage] other_events [] partner_events [partner_id] task_events [task_id assignee_id]`: builtin(t),
		`lead_events [lead_id source owner_id changes_status changes_source] other_events []`: c,
	} {
		var kept []string
		for _, table := range schema.Infer(c).Tables {
			names := []string{}
			for _, column := range table.Columns {
				if column.OutlivesErasure() {
					names = append(names, column.Name)
				}
			}
			kept = append(kept, fmt.Sprint(table.Name, " ", names))
		}
		slices.Sort(kept)
		if got := strings.Join(kept, " "); got != name {
			t.Errorf("got  %s\nwant %s", got, name)
		}
	}
}

// personal is data of a lead with everything that may tell who it is.
const personal = `{"leadId":"ld_1","email":"secret@example.com","source":"web_form","formId":"frm_1","opportunityId":"opp_1","taskId":"tsk_1","title":"secret","value":1,"stage":"proposal",
"reason":7,"company":9,"changes":{"status":"qualified","email":"secret"},"fields":{"name":"secret","email":"secret"},"unknown":"secret"}`

// A blanked row keeps what the rule says, and is the row that the ordinary one collapses with. What the mutation leaves is
// the same.
func TestErasedRow(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	types := []string{"lead.created", "lead.updated", "opportunity.created", "opportunity.lost", "partner.registered", "commission.earned", "task.created", "form.submitted", "document.signed"}
	var ids []string
	for i, eventType := range types {
		id := fmt.Sprintf("evt_%d", i)
		ids = append(ids, id)
		d.insert(w, body("evt_other_"+id, eventType, strings.ReplaceAll(personal, "ld_1", "ld_12")), at(100+int64(i)))
		d.insert(w, body(id, eventType, personal), at(int64(i)))
		d.erased(w, body(id, eventType, personal), at(int64(i)))
		d.erased(w, body("evt_born_"+id, eventType, personal), at(200+int64(i)))
	}
	look := func(where string) string {
		var all []string
		for _, table := range w.Tables {
			var rows []string
			if err := d.conn.QueryRow(t.Context(), fmt.Sprintf(`SELECT groupArray(toString(tuple(COLUMNS('.*')))) FROM (SELECT * FROM %s.%s FINAL WHERE %s ORDER BY event_id)`, d.name, table.Name, where)).Scan(&rows); err != nil {
				t.Fatal(err)
			}
			all = append(all, rows...)
		}
		return strings.Join(all, "\n")
	}
	erased := look("event_id LIKE 'evt\\\\__'")
	for _, word := range []string{"secret", "unknown"} {
		if strings.Contains(erased, word) {
			t.Errorf("%s is still there:\n%s", word, erased)
		}
	}
	for i, id := range ids {
		want := fmt.Sprintf("('%s','%s','2026-05-27 23:34:12.345'", id, types[i])
		if !strings.Contains(erased, want) || strings.Count(erased, "'"+id+"'") != 1 {
			t.Errorf("%s is not there once:\n%s", want, erased)
		}
	}
	for _, kept := range []string{"web_form", "qualified", "proposal", "frm_1", "opp_1", "tsk_1", "ld_1"} {
		if !strings.Contains(erased, "'"+kept+"'") {
			t.Errorf("%s is gone:\n%s", kept, erased)
		}
	}
	if others := look("event_id LIKE 'evt_other%'"); strings.Count(others, "unknown") != len(types) {
		t.Errorf("another lead's rows:\n%s", others)
	}

	born := look("event_id LIKE 'evt_born%'")
	d.zombies(w, types) // ordinary rows over the blanked ones, of the same version
	for _, table := range w.Tables {
		d.mutate(w, table, "event_id LIKE 'evt_born%'")
	}
	if got := look("event_id LIKE 'evt_born%'"); got != born {
		t.Errorf("the mutation leaves\n%s\nnot\n%s", got, born)
	}
}

// zombies writes the ordinary rows of TestErasedRow's evt_born events, as a zombie would.
func (d db) zombies(w *schema.Warehouse, types []string) {
	d.Helper()
	for i, eventType := range types {
		d.insert(w, body(fmt.Sprintf("evt_born_evt_%d", i), eventType, personal), at(200+int64(i)))
	}
	if n := one[uint64](d, "SELECT count() FROM merge('"+d.name+"', '_events$') WHERE event_id LIKE 'evt_born%' AND payload != ''"); n != uint64(len(types)) {
		d.Fatalf("%d of %d rows", n, len(types))
	}
}

// erased writes the blanked row of a delivery.
func (d db) erased(w *schema.Warehouse, body string, rec schema.Record) {
	d.Helper()
	var decoder schema.Decoder
	e, err := decoder.Decode([]byte(body))
	if err != nil {
		d.Fatal(err)
	}
	b := schema.NewEventBlock(w, w.TableFor(e.Type))
	b.AppendErased(e, rec)
	if err := b.Insert(d.Context(), d.conn, ""); err != nil {
		d.Fatal(err)
	}
}

// mutate blanks rows where they lie.
func (d db) mutate(w *schema.Warehouse, table *schema.Table, where string) {
	d.Helper()
	blanking, err := w.Blanking(d.Context(), d.conn, table)
	if err != nil {
		d.Fatal(err)
	}
	d.exec(fmt.Sprintf("ALTER TABLE %s.%s UPDATE %s WHERE %s SETTINGS mutations_sync = 2", d.name, table.Name, blanking, where))
}

// A blanked row and an ordinary one in one block do not get into each other's columns.
func TestErasedAmongOthers(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	b := schema.NewEventBlock(w, w.TableFor("form.submitted"))
	for i, data := range []string{`{"leadId":"a","fields":{"email":"a"}}`, `{"leadId":"b","fields":{"email":"b"},"formId":7}`, `{"leadId":"c","fields":{"email":"c"},"formId":7}`} {
		var decoder schema.Decoder
		raw := []byte(body(fmt.Sprint("evt_", i), "form.submitted", data))
		e, err := decoder.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if schema.NewTombstones("b").Covers(e) {
			b.AppendErased(e, at(int64(i)))
		} else {
			b.Append(e, raw, at(int64(i)))
		}
	}
	if err := b.Insert(t.Context(), d.conn, ""); err != nil {
		t.Fatal(err)
	}
	got := one[string](d, "SELECT toString(groupArray((lead_id, fields, ifNull(fields_email, '-'), payload = '', _invalid_fields))) FROM (SELECT * FROM "+d.name+".form_events ORDER BY event_id)")
	if want := `[('a',{'email':'a'},'a',0,[]),('b',{},'-',1,[]),('c',{'email':'c'},'c',0,['formId'])]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Blanking reaches what hands have made of the table: a renamed column holds what it held.
func TestBlankingReachesColumnsOfHands(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	d.insert(w, body("evt_1", "lead.created", personal), at(1))
	d.exec("ALTER TABLE " + d.name + ".lead_events RENAME COLUMN email TO email_old")
	d.exec("ALTER TABLE " + d.name + ".lead_events ADD COLUMN note String DEFAULT 'secret', ADD COLUMN n UInt8 DEFAULT 9, ADD COLUMN copy String MATERIALIZED upper(payload), ADD COLUMN shown String ALIAS upper(payload)")
	d.exec("ALTER TABLE " + d.name + ".lead_events MATERIALIZE COLUMN copy SETTINGS mutations_sync = 2")
	d.exec("ALTER TABLE " + d.name + ".lead_events MODIFY COLUMN source LowCardinality(Nullable(String))")
	w = d.load()
	for range 2 { // the second time changes nothing
		d.mutate(w, w.TableFor("lead.created"), "lead_id = 'ld_1'")
		got := one[string](d, "SELECT toString((email_old, note, n, copy, shown, source, lead_id, payload)) FROM "+d.name+".lead_events")
		if want := "(NULL,'',0,'','','web_form','ld_1','')"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A blanked dead letter keeps where and what it is, and the mutation leaves the same.
func TestErasedLetter(t *testing.T) {
	t.Parallel()
	d := open(t)
	w := d.evolve(builtin(t))
	headers := []schema.Header{{Name: "event-id", Value: []byte("evt_1")}, {Name: "x-mine", Value: []byte("secret")}, {Name: "event-type", Value: []byte("lead.created")}}
	b := schema.NewDeadLetterBlock(w.Database)
	b.AppendErased([]byte("ld_1"), headers, schema.Rejected, at(1))
	b.Append([]byte("ld_1"), []byte("secret"), headers, schema.Rejected, "secret", at(2))
	b.AppendErased(nil, nil, schema.InvalidJSON, at(3))
	b.Become(schema.Replayed, 0)
	if err := b.Insert(t.Context(), d.conn, ""); err != nil {
		t.Fatal(err)
	}
	d.exec("ALTER TABLE " + d.name + ".dead_letters UPDATE " + schema.BlankingLetters() + " WHERE kafka_offset = 2 SETTINGS mutations_sync = 2")
	want := "('rejected','" + schema.ErasedDetail + "','ld_1','',[('event-id','evt_1'),('x-mine',''),('event-type','lead.created')],'open')"
	for offset, want := range []string{1: want, 2: want, 3: "('invalid_json','" + schema.ErasedDetail + "','','',[],'replayed')"} {
		if offset == 0 {
			continue
		}
		got := one[string](d, fmt.Sprintf("SELECT toString((reason, detail, record_key, payload, headers, status)) FROM %s.dead_letters WHERE kafka_offset = %d", d.name, offset))
		if got != want {
			t.Errorf("at %d got  %s\nwant %s", offset, got, want)
		}
	}
}

// A tombstone is written once, found by every reading, and not before its table is there.
func TestErase(t *testing.T) {
	t.Parallel()
	d := open(t)
	when := time.Date(2026, 6, 1, 12, 0, 0, 123_456_789, time.UTC)
	if _, err := schema.Erase(t.Context(), d.conn, d.name, "ld_1", when); !errors.Is(err, schema.ErrNotSetUp) {
		t.Errorf("got %v", err)
	}
	if w := d.evolve(builtin(t)); w.Erased.Len() != 0 || len(w.Warnings) != 0 {
		t.Errorf("got %+v", w)
	}
	for _, wrong := range []string{"", strings.Repeat("x", 1025), "\xff"} {
		if _, err := schema.Erase(t.Context(), d.conn, d.name, wrong, when); err == nil {
			t.Errorf("%.10q was erased", wrong)
		}
	}
	for i := range 3 {
		got, err := schema.Erase(t.Context(), d.conn, d.name, "ld_1", when.Add(time.Duration(i)*time.Hour))
		if err != nil || got.New != (i == 0) || !got.ErasedAt.Equal(when.Truncate(time.Millisecond)) {
			t.Errorf("%d: got %+v, %v", i, got, err)
		}
	}
	if _, err := schema.Erase(t.Context(), d.conn, d.name, "it's \"another\"", when); err != nil {
		t.Error(err)
	}
	d.exec("INSERT INTO " + d.name + ".erasures (entity, entity_id, erased_at) VALUES ('opportunity', 'opp_1', now())") // no lead's
	alone, err := schema.LoadTombstones(t.Context(), d.conn, d.name)
	if err != nil {
		t.Fatal(err)
	}
	for _, stones := range []*schema.Tombstones{alone, d.load().Erased} {
		if stones.Len() != 2 || !stones.Has("ld_1") || !stones.Has("it's \"another\"") || stones.Has("ld_12") || stones.Has("opp_1") {
			t.Errorf("got %+v", stones)
		}
	}
	if got := one[string](d, "SELECT toString((count(), min(entity), min(requested_by))) FROM "+d.name+".erasures WHERE entity_id = 'ld_1'"); got != "(1,'lead','default')" {
		t.Errorf("got %s", got)
	}
}

// Reading again returns what was read, as long as nothing has changed, and all that is new.
func TestReloadTombstones(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(builtin(t))
	reload := func(last *schema.Tombstones) *schema.Tombstones {
		stones, err := last.Reload(t.Context(), d.conn, d.name)
		if err != nil {
			t.Fatal(err)
		}
		return stones
	}
	erase := func(lead string) {
		if _, err := schema.Erase(t.Context(), d.conn, d.name, lead, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	none := reload(nil)
	if none.Len() != 0 || reload(none) != none {
		t.Errorf("got %v", none.Len())
	}
	erase("ld_1")
	one := reload(none)
	d.exec("INSERT INTO " + d.name + ".erasures (entity, entity_id, erased_at) VALUES ('lead', 'ld_1', now())") // another run at once
	if !one.Has("ld_1") || one.Len() != 1 || reload(one) != one {
		t.Errorf("got %+v", one)
	}
	erase("ld_2")
	if two := reload(one); !two.Has("ld_2") || two.Len() != 2 || none.Len() != 0 || one.Len() != 1 {
		t.Errorf("got %+v", two)
	}
	if same := schema.NewTombstones("ld_2", "ld_1", "ld_2"); reload(same) != same {
		t.Error("a set that was made by hand has another mark")
	}
	d.exec("ALTER TABLE " + d.name + ".erasures DELETE WHERE entity_id = 'ld_1' SETTINGS mutations_sync = 2") // an operator's mistake, taken back
	if left := reload(one); left.Has("ld_1") || left.Len() != 1 {
		t.Errorf("got %+v", left)
	}
	w := d.load()
	again, err := w.Reload(t.Context(), d.conn)
	if err != nil || again.Erased != w.Erased || !reflect.DeepEqual(w, again) {
		t.Errorf("got %+v, %v", again, err)
	}
}

// A warehouse of an older version has no tombstones, and says so.
func TestNoErasuresTable(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(builtin(t))
	d.exec("DROP TABLE " + d.name + ".erasures SYNC")
	w := d.load()
	if w.Erased.Len() != 0 || len(w.Warnings) != 1 || !strings.Contains(w.Warnings[0], "erasures") {
		t.Errorf("got %v", w.Warnings)
	}
	if stones, err := schema.LoadTombstones(t.Context(), d.conn, d.name); err != nil || stones.Len() != 0 {
		t.Errorf("got %v, %v", stones, err)
	}
	p := d.plan(builtin(t))
	if len(p.Steps) != 1 || !strings.Contains(p.Steps[0].Statement, "erasures") {
		t.Errorf("got %+v", p.Steps)
	}
	if w := d.evolve(builtin(t)); len(w.Warnings) != 0 {
		t.Errorf("got %v", w.Warnings)
	}
}

// Tombstones by the hundred thousand cost an event no more than one.
func BenchmarkCovers(b *testing.B) {
	ids := make([]string, 100_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("ld_%026d", i)
	}
	for name, stones := range map[string]*schema.Tombstones{"none": schema.NewTombstones(), "100000": schema.NewTombstones(ids...)} {
		b.Run(name, func(b *testing.B) {
			var d schema.Decoder
			e, err := d.Decode([]byte(body("evt_1", "lead.created", `{"leadId":"ld_00000000000000000000x00001","email":"a@example.com","source":"web"}`)))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if stones.Covers(e) {
					b.Fatal("covered")
				}
			}
		})
	}
}
