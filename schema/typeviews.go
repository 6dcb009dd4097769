package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leadhouse/leadhouse/schema/views"
)

// typeViews are the views of one event type each, <entity>_<verb>: the envelope and the typed columns that the type has in
// the catalog. A type or a field that the catalog no longer names keeps what it had: a view loses no column.
func (p *Plan) typeViews(m *Model, s *State, after standing) []viewDef {
	var defs []viewDef
	owner := shippedNames()
	for _, t := range m.Types {
		name, err := snake(t.Name)
		was := s.lastView(name).eventType // the type that has the view, if it stands
		switch {
		case err != nil:
			p.Findings = append(p.Findings, fmt.Sprintf("%.80q has no view of its own: %v", t.Name, err))
		case strings.HasSuffix(name, "_events") || reservedWords[name]: // a table's name, or would need quotes
			p.Findings = append(p.Findings, fmt.Sprintf("%.80q has no view of its own: %s cannot be a view's name; its events are in %s", t.Name, name, t.Table))
		case owner[name] != "":
			p.Findings = append(p.Findings, fmt.Sprintf("%.80q has no view of its own: %s is %s; its events are in %s", t.Name, name, owner[name], t.Table))
		case was != "" && was != t.Name && s.tables[name] != nil:
			p.Findings = append(p.Findings, fmt.Sprintf("%.80q has no view of its own: %s is that of %.80q; its events are in %s", t.Name, name, was, t.Table))
		default:
			owner[name] = fmt.Sprintf("that of %.80q", t.Name)
			defs = append(defs, typeView(p.Database, name, t, s.tables[name], after))
		}
	}
	return defs
}

// shippedNames are those that no event type's view may take, and what they are: a table or view of every installation,
// whether or not it stands yet.
func shippedNames() map[string]string {
	names := map[string]string{}
	for _, t := range fixedTables {
		names[t.name] = "a table of leadhouse's own"
	}
	for _, v := range append(bookViews(""), viewDef{name: "events"}) {
		names[v.name] = "a view of leadhouse's own"
	}
	for _, name := range views.Names() {
		names[name] = "a view of leadhouse's own"
		names[refreshName(name)] = "what would fill a view of leadhouse's own"
	}
	return names
}

// typeView keeps the columns of the view that stands, in their order, and puts new ones behind them.
func typeView(database, name string, t Type, before *dbTable, after standing) viewDef {
	typed, selected := typedColumns(t, before, after[t.Table])
	columns := slices.Concat(envelopeOf("event_id", "occurred_at"), typed, envelopeOf("payload", "_received_at", "_loaded_at", "_invalid_fields"))
	list := make([]string, len(columns))
	for i, c := range columns {
		if list[i] = selected[c.name]; list[i] == "" {
			list[i] = quote(c.name)
		}
	}
	comment := t.Description
	if comment == "" {
		comment = "every " + t.Name + " event"
	}
	return viewDef{
		name: name, comment: comment, columns: columns, eventType: t.Name,
		query: fmt.Sprintf("SELECT %s\nFROM %s.%s FINAL\nWHERE event_type = %s", strings.Join(list, ", "), quote(database), quote(t.Table), literal(t.Name)),
	}
}

// typedColumns are those between. selected is what stands for one that the table has no more: NULL.
func typedColumns(t Type, before *dbTable, table []Column) (typed []columnDef, selected map[string]string) {
	selected = map[string]string{}
	if before != nil {
		for _, name := range before.order {
			i := slices.IndexFunc(table, func(c Column) bool { return c.Name == name })
			switch {
			case isEnvelope(name):
			case i >= 0:
				typed = append(typed, table[i].def())
			default:
				typ := before.columns[name]
				typed = append(typed, columnDef{name: name, typ: typ, comment: "empty: " + t.Table + " has no such column any more, or one of another type"})
				selected[name] = fmt.Sprintf("defaultValueOfTypeName(%s) AS %s", literal(typ), quote(name))
			}
		}
	}
	for _, c := range table {
		if (t.sources[c.source()] || c.EventType == t.Name) && (before == nil || before.columns[c.Name] == "") {
			typed = append(typed, c.def())
		}
	}
	return typed, selected
}

func isEnvelope(name string) bool {
	return slices.ContainsFunc(slices.Concat(headColumns, tailColumns), func(c columnDef) bool { return c.name == name })
}

// envelopeOf are columns that every event table has, as a view has them: without a codec.
func envelopeOf(names ...string) []columnDef {
	var list []columnDef
	for _, c := range slices.Concat(headColumns, tailColumns) {
		if slices.Contains(names, c.name) {
			c.more = ""
			list = append(list, c)
		}
	}
	return list
}
