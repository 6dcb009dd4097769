package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Inference: from example payloads to tables and columns. Rules:
//   - The catalog's order decides: the first event that shows a field names its column, later ones add to its comment.
//   - A field whose examples disagree becomes text (Mixed) and is reported.
//   - What cannot be a column (a name that is refused or taken, a null example, column 501) is reported and stays in
//     payload; the rest goes on, since nobody here can mend Leadron's catalog.

const (
	maxColumns   = 500 // typed columns a table: ClickHouse keeps a file and a buffer for each in every part
	maxTables    = 100 // event tables: each is an INSERT of its own in every flush of a sink, and a branch of the view events
	maxPathDepth = 4   // typed leaves this deep in data; below, values are JSON text in their parent's map
)

// Model is what a catalog asks of a database.
type Model struct {
	Tables   []*Table // event tables in catalog order, other_events last
	Types    []Type   // event types that have such a table, in catalog order
	Findings []string // what did not become a column, and why
}

// Table is an event table: its entity and typed columns, without the columns every event table has.
type Table struct {
	Name    string // "lead_events"
	Entity  string // "lead", as event types spell it; "" for other_events
	Columns []Column

	// Revision is the last one that changed the table's columns: rows whose _schema is lower want typing again.
	// 0 in a Model.
	Revision uint32
}

// Type is an event type of the catalog, for its view.
type Type struct {
	Name        string // "lead.created"
	Table       string // "lead_events"
	Description string // Leadron's

	sources map[string]bool // Column.source of the columns that its example fills
}

// inferring is one table under construction.
type inferring struct {
	*Table
	bySource map[string]int // Column.source → index
	taken    map[string]bool
	seenIn   map[string][]string // Column.source → event types
	example  map[string]string
}

// Infer derives the tables. Model.Findings is for the reader; an odd catalog is no error.
func Infer(c *Catalog) *Model {
	m := &Model{}
	tables := map[string]*inferring{}
	for _, e := range c.Events {
		entity, _, ok := splitType(e.Type)
		if !ok || !isName(e.Type) {
			m.find("%.80q is not <entity>.<verb>: its events go to %s", e.Type, OtherEvents)
			continue
		}
		name, err := TableName(entity)
		if err != nil {
			m.find("%.80q: %v; its events go to %s", e.Type, err, OtherEvents)
			continue
		}
		t := tables[name]
		if t == nil && len(m.Tables) == maxTables {
			m.find("%.80q: the catalog has %d entities already: its events go to %s", e.Type, maxTables, OtherEvents)
			continue
		}
		if t == nil {
			t = newInferring(name, entity)
			tables[name] = t
			m.Tables = append(m.Tables, t.Table)
		}
		if t.Entity != entity {
			m.find("%.80q: the entities %q and %q would share the table %s; its events go to %s", e.Type, t.Entity, entity, name, OtherEvents)
			continue
		}
		m.Types = append(m.Types, Type{e.Type, name, e.Description, map[string]bool{}})
		m.event(t, e)
	}
	for _, t := range m.Tables {
		tables[t.Name].describe()
	}
	m.Tables = append(m.Tables, &Table{Name: OtherEvents})
	return m
}

func newInferring(name, entity string) *inferring {
	t := &inferring{
		Table: &Table{Name: name, Entity: entity}, bySource: map[string]int{}, taken: map[string]bool{},
		seenIn: map[string][]string{}, example: map[string]string{},
	}
	for _, d := range slices.Concat(headColumns, tailColumns) {
		t.taken[d.name] = true
	}
	return t
}

func (m *Model) find(format string, args ...any) {
	m.Findings = append(m.Findings, fmt.Sprintf(format, args...))
}

func (m *Model) event(t *inferring, e CatalogEvent) {
	s := scanner{b: e.Example}
	m.object(t, e.Type, nil, &s)
}

// object reads one object of an example; its own column, if any, stands already. The example is valid JSON.
func (m *Model) object(t *inferring, eventType string, path []string, s *scanner) {
	_ = s.object(func(key span) error {
		v, err := s.value()
		if err != nil {
			return err
		}
		name, ok := unquote(key)
		if !ok {
			m.find("%s: a key with half a surrogate pair stays in payload", eventType)
			return nil
		}
		m.field(t, eventType, append(slices.Clone(path), name), v)
		return nil
	})
}

func (m *Model) field(t *inferring, eventType string, path []string, v span) {
	kind := kindOf(v)
	if kind == "" {
		m.find("%s: %s has the example null, which shows no type: it stays in payload", eventType, strings.Join(path, "."))
		return
	}
	if kind != Object || len(path) == 1 { // below the top an object is only the way to its leaves
		m.column(t, eventType, path, kind, v)
	}
	if kind == Object {
		if len(path) == maxPathDepth {
			m.find("%s: what lies below %s is too deep for columns: it stays in payload", eventType, strings.Join(path, "."))
			return
		}
		m.object(t, eventType, path, &scanner{b: v.raw})
	}
}

// kindOf is the kind of an example; "" for null.
func kindOf(v span) Kind {
	switch v.kind() {
	case '"':
		if _, ok := parseTime(v); ok {
			return Time
		}
		return Text
	case '-':
		return Number
	case 't', 'f':
		return Bool
	case '{':
		return Object
	case '[':
		return Array
	}
	return ""
}

func (m *Model) column(t *inferring, eventType string, path []string, kind Kind, v span) {
	name, only, err := columnName(path, eventType)
	if err != nil {
		m.find("%s: %v; it stays in payload", eventType, err)
		return
	}
	c := Column{Name: name, Kind: kind, Path: path}
	if only {
		c.EventType = eventType
	}
	source := c.source()
	if i, ok := t.bySource[source]; ok {
		if was := t.Columns[i].Kind; was != kind && was != Mixed {
			m.find("%s: %s is %s here and %s in %s: the column %s.%s holds both as text", eventType, c.field(), kind, was,
				t.seenIn[source][0], t.Name, name)
			t.Columns[i].Kind = Mixed
		}
		t.seenIn[source] = append(t.seenIn[source], eventType)
		m.Types[len(m.Types)-1].sources[source] = true
		return
	}
	switch {
	case t.taken[name]:
		m.find("%s: the column %s.%s is taken already: %s stays in payload", eventType, t.Name, name, c.field())
		return
	case len(t.Columns) == maxColumns:
		m.find("%s: %s has %d typed columns already: %s stays in payload", eventType, t.Name, maxColumns, c.field())
		return
	}
	t.taken[name] = true
	t.bySource[source] = len(t.Columns)
	t.seenIn[source] = []string{eventType}
	m.Types[len(m.Types)-1].sources[source] = true
	var example bytes.Buffer // without white space: a catalog laid out another way is no change
	if json.Compact(&example, v.raw) == nil {
		t.example[source] = example.String()
	}
	t.Columns = append(t.Columns, c)
}

// describe writes the comments, when all events have been seen.
func (t *inferring) describe() {
	for i, c := range t.Columns {
		example := t.example[c.source()]
		if len(example) > 60 {
			example = ""
		} else if c.Kind != Object && c.Kind != Array {
			example = ", for example " + strings.Trim(example, `"`)
		} else {
			example = ", for example " + example
		}
		t.Columns[i].Comment = fmt.Sprintf("%s of %s%s", c.field(), strings.Join(t.seenIn[c.source()], ", "), example)
	}
}
