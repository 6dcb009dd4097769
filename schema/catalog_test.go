package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/schema"
)

func TestTheBuiltinCatalogIsTheEventsPages(t *testing.T) {
	t.Parallel()
	c := builtin(t)
	if got, want := len(c.Events), 14; got != want {
		t.Fatalf("events: got %d, want %d", got, want)
	}
	first, last := c.Events[0], c.Events[13]
	if first.Group != "leads" || first.Type != "lead.created" || first.Description != "Fired when a new lead is created" || last.Type != "form.submitted" {
		t.Errorf("got %+v … %+v", first, last)
	}
	m := schema.Infer(c)
	if len(m.Findings) != 0 {
		t.Errorf("findings: %v", m.Findings)
	}
	var got []string
	for _, table := range m.Tables {
		for _, column := range table.Columns {
			got = append(got, fmt.Sprintf("%s.%s %s", table.Name, column.Name, column.Kind))
		}
	}
	want := `lead_events.lead_id text, lead_events.email text, lead_events.source text, lead_events.changes object, lead_events.changes_status text, ` +
		`opportunity_events.opportunity_id text, opportunity_events.value number, opportunity_events.stage text, opportunity_events.from_stage text, opportunity_events.to_stage text, opportunity_events.reason text, ` +
		`partner_events.partner_id text, partner_events.company text, ` +
		`commission_events.commission_id text, commission_events.amount number, commission_events.partner_id text, ` +
		`task_events.task_id text, task_events.title text, task_events.assignee_id text, ` +
		`form_events.form_id text, form_events.lead_id text, form_events.fields object, form_events.fields_name text, form_events.fields_email text`
	if got := strings.Join(got, ", "); got != want {
		t.Errorf("columns:\n got %s\nwant %s", got, want)
	}
	if got, want := m.Tables[0].Columns[0].Comment, "leadId of lead.created, lead.updated, lead.deleted, for example ld_123"; got != want {
		t.Errorf("comment: got %q, want %q", got, want)
	}
}

func TestWhatIsNoCatalogSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"empty":          {``, "not JSON"},
		"a page":         {`<html>`, "not JSON"},
		"cut off":        {string(schema.BuiltinCatalog()[:1000]), "not JSON"},
		"a list":         {`[]`, "not a JSON object"},
		"an error":       {`{"success":false,"status":200,"message":"x","data":{"leads":[]}}`, "success: false"},
		"no data":        {`{"success":true}`, "no object data"},
		"data a list":    {`{"data":[]}`, "no object data"},
		"nothing":        {`{"data":{"leads":[]}}`, "no event"},
		"group a string": {`{"data":{"leads":"x"}}`, "data.leads is not an array"},
		"no name":        {`{"data":{"leads":[{"description":"x"}]}}`, "event 1 of data.leads has no event"},
		"name a number":  {`{"data":{"leads":[{"event":1}]}}`, "event 1 of data.leads"},
		"example a list": {`{"data":{"leads":[{"event":"lead.x","examplePayload":[]}]}}`, "examplePayload is not an object"},
		"twice":          {`{"data":{"a":[{"event":"lead.x"}],"b":[{"event":"lead.x"}]}}`, `names "lead.x" twice`},
		"1001 events":    {`{"data":{"a":[` + strings.Repeat(`{"event":"a.b"},`, 1000) + `{"event":"a.b"}]}}`, "more than 1000"},
	} {
		if _, err := schema.DecodeCatalog([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
}

func TestOddFieldsStayInPayloadAndAreReported(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	many.WriteString(`{"a":1`)
	for i := range 600 {
		fmt.Fprintf(&many, `,"f%d":1`, i)
	}
	many.WriteString("}")
	for name, c := range map[string]struct {
		events        []string
		columns, want string // of the first table; a piece of the findings
	}{
		"injection":        {[]string{"lead.x", "{\"a`) ENGINE=Null; DROP TABLE x --\":1,\"ok\":1}"}, "ok", "makes no column"},
		"quotes":           {[]string{"lead.x", `{"it's":1,"ok":1}`}, "ok", "makes no column"},
		"empty key":        {[]string{"lead.x", `{"":1,"ok":1}`}, "ok", "makes no column"},
		"digits first":     {[]string{"lead.x", `{"1a":1,"ok":1}`}, "ok", "makes no column"},
		"not ASCII":        {[]string{"lead.x", `{"größe":1,"ok":1}`}, "ok", "makes no column"},
		"underscore first": {[]string{"lead.x", `{"_version":1,"ok":1}`}, "ok", "makes no column"},
		"too long":         {[]string{"lead.x", `{"` + strings.Repeat("x", 64) + `":1,"ok":1}`}, "ok", "makes no column"},
		"the envelope's":   {[]string{"lead.x", `{"eventId":"x","payload":1,"ok":1}`}, "ok", "event_id is taken"},
		"each other's":     {[]string{"lead.x", `{"leadId":"x","lead_id":"y"}`}, "lead_id", "lead_id is taken"},
		"leaf and field":   {[]string{"lead.x", `{"fieldsName":"x","fields":{"name":"y"}}`}, "fields_name fields", "fields.name stays in payload"},
		"null":             {[]string{"lead.x", `{"a":null,"ok":1}`}, "ok", "shows no type"},
		"null, then text":  {[]string{"lead.x", `{"a":null}`, "lead.y", `{"a":"x"}`}, "a", "shows no type"},
		"too deep":         {[]string{"lead.x", `{"a":{"b":{"c":{"d":{"e":1}}}}}`}, "a", "too deep"},
		"two kinds":        {[]string{"lead.x", `{"a":1}`, "lead.y", `{"a":"x"}`}, "a", "holds both as text"},
		"500 columns":      {[]string{"lead.x", many.String()}, "", "500 typed columns already"},
		"no verb":          {[]string{"lead", `{"a":1}`}, "", "is not <entity>.<verb>"},
		"entity injection": {[]string{"x`; DROP.y", `{"a":1}`}, "", "is not <entity>.<verb>"},
		"entity odd":       {[]string{"x`y.z", `{"a":1}`}, "", "makes no column or table name"},
		"entity other":     {[]string{"other.x", `{"a":1}`}, "", "would take the table"},
		"entities alike":   {[]string{"formEntry.x", `{"a":1}`, "form_entry.y", `{"b":1}`}, "a", "would share"},
	} {
		m := schema.Infer(catalog(t, c.events...))
		if got := strings.Join(m.Findings, "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: findings: got %q, want %q in them", name, got, c.want)
		}
		var names []string
		for _, column := range m.Tables[0].Columns {
			names = append(names, column.Name)
		}
		if got := strings.Join(names, " "); c.columns != "" && got != c.columns {
			t.Errorf("%s: columns: got %q, want %q", name, got, c.columns)
		}
		if len(names) > 500 {
			t.Errorf("%s: %d columns", name, len(names))
		}
	}
}

func TestNamesNeedNoQuotes(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"leadId": "lead_id", "stageID": "stage_id", "HTTPStatus": "http_status", "line2Text": "line2_text", "already_snake": "already_snake",
		"kebab-case": "kebab_case", "a.b": "a_b", "order": "lead_order", "from": "lead_from", "value": "value", "source": "source",
	} {
		m := schema.Infer(catalog(t, "lead.x", `{"`+key+`":1}`))
		if len(m.Tables[0].Columns) != 1 || m.Tables[0].Columns[0].Name != want {
			t.Errorf("%s: got %+v %v, want %s", key, m.Tables[0].Columns, m.Findings, want)
		}
	}
}
