package schema_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/schema/views"
)

// findings are a plan's without the line on views that wait, which every small catalog has.
func findings(p *schema.Plan) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(p.Findings), func(f string) bool { return strings.Contains(f, "which no catalog has named yet") }), "\n")
}

// columnsOf are a view's, as an analyst sees them.
func (d db) columnsOf(view string) string {
	d.Helper()
	return one[string](d, "SELECT arrayStringConcat(groupArray(name), ' ') FROM (SELECT name FROM system.columns WHERE database = '"+d.name+"' AND table = '"+view+"' ORDER BY position)")
}

func TestEveryTypeHasAView(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := builtin(t)
	w := d.evolve(c)
	for _, e := range c.Events {
		name := strings.ReplaceAll(e.Type, ".", "_")
		comment := one[string](d, "SELECT comment FROM system.tables WHERE database = '"+d.name+"' AND name = '"+name+"' AND engine = 'View'")
		if comment != e.Description+" (leadhouse)" {
			t.Errorf("%s: comment %q", name, comment)
		}
	}
	const envelope = "event_id occurred_at %spayload _received_at _loaded_at _invalid_fields"
	for view, typed := range map[string]string{
		"lead_created":              "lead_id email source ",
		"lead_updated":              "lead_id changes changes_status ",
		"opportunity_stage_changed": "opportunity_id from_stage to_stage ",
		"opportunity_won":           "opportunity_id value ",
	} {
		if got, want := d.columnsOf(view), fmt.Sprintf(envelope, typed); got != want {
			t.Errorf("%s: got %s, want %s", view, got, want)
		}
	}
	// Once, of its own type, and the newest version of a redelivery.
	created := body("evt_1", "lead.created", `{"leadId":"x","email":"a@b"}`)
	d.insert(w, created, at(1))
	d.insert(w, created, at(2))
	d.insert(w, body("evt_2", "lead.updated", `{"leadId":"x","changes":{"status":"won"}}`), at(3))
	if got := one[string](d, "SELECT toString(groupArray((event_id, email, occurred_at, length(payload) > 10))) FROM "+d.name+".lead_created"); got != "[('evt_1','a@b','2026-05-27 23:34:12.345',true)]" && got != "[('evt_1','a@b','2026-05-27 23:34:12.345',1)]" {
		t.Errorf("got %s", got)
	}
	comment := one[string](d, "SELECT comment FROM system.columns WHERE database = '"+d.name+"' AND table = 'lead_updated' AND name = 'changes_status'")
	if want := one[string](d, "SELECT comment FROM system.columns WHERE database = '"+d.name+"' AND table = 'lead_events' AND name = 'changes_status'"); comment != want || want == "" {
		t.Errorf("comment: got %q, want the table's %q", comment, want)
	}
}

// ClickHouse casts what a view's query gives to what the view declares, and drops what it does not declare, silently.
func TestEveryViewIsWhatItsQueryGives(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.evolve(builtin(t))
	rows, err := d.conn.Query(t.Context(), "SELECT name, as_select FROM system.tables WHERE database = ? AND engine = 'View'", d.name)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var name, query string
		if err := rows.Scan(&name, &query); err != nil {
			t.Fatal(err)
		}
		if got, want := d.describe("TABLE "+d.name+"."+name), d.describe("("+query+")"); got != want {
			t.Errorf("%s declares\n%s, but its query gives\n%s", name, got, want)
		}
	}
	if want := 14 + 4 + len(views.Names()); n != want {
		t.Errorf("views: got %d, want %d", n, want)
	}
}

func (d db) describe(what string) string {
	d.Helper()
	rows, err := d.conn.Query(d.Context(), "DESCRIBE "+what)
	if err != nil {
		d.Fatalf("%s: %v", what, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var name, typ, defaultType, defaultExpr, comment, codec, ttl string
		if err := rows.Scan(&name, &typ, &defaultType, &defaultExpr, &comment, &codec, &ttl); err != nil {
			d.Fatal(err)
		}
		if strings.Contains(typ, "Tuple(") { // its elements have their names from the declaration
			typ = regexp.MustCompile(`\s*\b[a-z_]+ ([A-Z])`).ReplaceAllString(typ, "$1")
			typ = strings.ReplaceAll(typ, ", ", ",")
		}
		lines = append(lines, name+" "+typ)
	}
	return strings.Join(lines, "\n")
}

// A view follows its type: it gains columns behind those it had, and loses none.
func TestATypesViewEvolves(t *testing.T) {
	t.Parallel()
	d := open(t)
	const envelope = "event_id occurred_at %s payload _received_at _loaded_at _invalid_fields"
	for _, step := range []struct{ example, columns string }{
		{`{"zip":"1","leadId":"x"}`, "zip lead_id"},
		{`{"age":1,"leadId":"x","zip":"1"}`, "zip lead_id age"},
		{`{"leadId":"x"}`, "zip lead_id age"}, // the catalog forgets
	} {
		c := catalog(t, "lead.seen", step.example, "lead.lost", `{"why":"x"}`)
		d.evolve(c)
		d.wantNothingToDo(c)
		if got, want := d.columnsOf("lead_seen"), fmt.Sprintf(envelope, step.columns); got != want {
			t.Errorf("%s: got %s, want %s", step.example, got, want)
		}
	}
	d.evolve(catalog(t, "lead.lost", `{"why":"x"}`)) // and the type
	if got := d.columnsOf("lead_seen"); got == "" {
		t.Error("the view of a type that the catalog no longer names is gone")
	}
	// A column that a hand dropped and no catalog brings back is empty, and the view goes on.
	c := catalog(t, "lead.seen", `{"leadId":"x"}`)
	d.exec("ALTER TABLE " + d.name + ".lead_events DROP COLUMN age")
	w := d.evolve(c)
	d.wantNothingToDo(c)
	d.insert(w, body("evt_1", "lead.seen", `{"leadId":"x","age":7}`), at(1))
	if got := one[string](d, "SELECT toString((lead_id, age)) FROM "+d.name+".lead_seen"); got != "('x',NULL)" {
		t.Errorf("got %s", got)
	}
}

func TestNamesThatATypesViewCannotTake(t *testing.T) {
	t.Parallel()
	d := open(t)
	c := catalog(t, "lead.status-set", `{"a":"x"}`, "lead.status.set", `{"b":"x"}`, "dead.letters", `{}`, "deal.lost_events", `{}`,
		"lead.a'b", `{}`, "current.date", `{}`, "deal.made", `{}`, "deal."+strings.Repeat("x", 70), `{}`)
	p := d.plan(c)
	for _, want := range []string{
		`"lead.status.set" has no view of its own: lead_status_set is that of "lead.status-set"; its events are in lead_events`,
		`"dead.letters" has no view of its own: dead_letters is a table of leadhouse's own; its events are in dead_events`,
		`"deal.lost_events" has no view of its own: deal_lost_events cannot be a view's name`,
		`"current.date" has no view of its own: current_date cannot be a view's name`,
		`"lead.a'b" has no view of its own: "lead.a'b" makes no column or table name`,
		`xxx" has no view of its own: "deal.xxx`,
	} {
		if !strings.Contains(findings(p), want) {
			t.Errorf("no finding %s in\n%s", want, findings(p))
		}
	}
	d.evolve(c)
	d.wantNothingToDo(c)
	if got := d.columnsOf("lead_status_set"); !strings.Contains(got, " a payload") {
		t.Errorf("lead_status_set: got %s", got)
	}
	// The name stays with the type that has it, whatever the catalog's order is.
	turned := catalog(t, "lead.status.set", `{"b":"x"}`, "lead.status-set", `{"a":"x"}`, "dead.x", `{}`, "deal.made", `{}`, "current.x", `{}`)
	d.evolve(turned)
	if p := d.plan(turned); !p.Empty() || !strings.Contains(findings(p), `"lead.status.set" has no view of its own`) {
		t.Errorf("the order turned: %s\n%s", summaries(p), findings(p))
	}
}
