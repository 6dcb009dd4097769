package schema

import (
	"fmt"
	"slices"
	"strings"
)

// Plan is what turns a database into what a catalog asks for. **Additive only**: no statement of a plan drops a table or
// a column, or changes a type. Views, and tables that views have filled, are made anew as a whole.
type Plan struct {
	Database string
	Steps    []Step   // in the order to apply them
	Findings []string // what stays as it is, and what to do about it

	revision uint32 // of the state it was made from
}

// Step is one statement, or a fact to be recorded without one.
type Step struct {
	Summary   string   // one line for the reader: "+ lead_events.score: Nullable(Decimal(38, 9)), score of lead.scored"
	Statement string   // "" when the thing stands already and is only to be recorded
	Then      []string // what follows it, in order
	View      string   // the view it makes or makes anew; "" for all else
	Fills     []string // of a step that fills a table, which may take long: the tables and views it reads
	changes   []change
}

// Empty reports that there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// Diff plans. The error is about a database that cannot be used: a table of ours under another engine or key.
func Diff(m *Model, s *State) (*Plan, error) { return DiffViews(m, s, Materialize{}) }

// DiffViews plans, and says which views are to be tables.
func DiffViews(m *Model, s *State, which Materialize) (*Plan, error) {
	p := &Plan{Database: s.Database, Findings: slices.Clone(m.Findings), revision: s.revision()}
	if !s.exists {
		p.step("+ database "+s.Database, "CREATE DATABASE IF NOT EXISTS "+quote(s.Database))
	}
	for _, def := range fixedTables {
		if err := p.table(s, def); err != nil {
			return nil, err
		}
	}
	records, order := s.recorded()
	for _, t := range m.Tables {
		r := records[t.Name]
		if err := p.eventTable(s, r, t); err != nil {
			return nil, err
		}
	}
	tables := m.Tables // and those that the catalog no longer names
	for _, name := range order {
		if s.tables[name] != nil && strings.HasSuffix(name, "_events") && !slices.ContainsFunc(m.Tables, func(t *Table) bool { return t.Name == name }) {
			tables = append(slices.Clone(tables), &Table{Name: name, Entity: records[name].entity})
		}
	}
	if err := p.planViews(m, s, tables, which); err != nil {
		return nil, err
	}
	return p, nil
}

// step adds one; its statement is recorded once, with the first of its changes.
func (p *Plan) step(summary, statement string, changes ...change) {
	if len(changes) > 0 {
		changes[0].statement = statement
	}
	p.Steps = append(p.Steps, Step{Summary: summary, Statement: statement, changes: changes})
}

// table creates a table or adds the columns it lacks.
func (p *Plan) table(s *State, def tableDef) error {
	db := s.tables[def.name]
	if db == nil {
		p.step("+ table "+def.name, def.createSQL(p.Database), change{table: def.name, kind: kindTable})
		return nil
	}
	if err := def.check(db); err != nil {
		return err
	}
	after := ""
	for _, c := range def.columns {
		if db.columns[c.name] == "" {
			p.step(fmt.Sprintf("+ %s.%s: %s", def.name, c.name, c.typ), p.addColumn(def.name, c, after), change{table: def.name, kind: kindTable})
		}
		after = c.name
	}
	p.settings(db, def.name)
	return nil
}

// settings adds those that a table of an earlier version lacks. One that has another value keeps it: a hand has set it.
func (p *Plan) settings(db *dbTable, table string) {
	var lacks []setting
	for _, s := range tableSettings {
		if !strings.Contains(db.settings, s.name+" = ") {
			lacks = append(lacks, s)
		}
	}
	if len(lacks) > 0 {
		p.step(fmt.Sprintf("~ %s: %s", table, settingsSQL(lacks)),
			fmt.Sprintf("ALTER TABLE %s.%s MODIFY SETTING %s", quote(p.Database), quote(table), settingsSQL(lacks)), change{table: table, kind: kindSetting})
	}
}

func (p *Plan) addColumn(table string, c columnDef, after string) string {
	return fmt.Sprintf("ALTER TABLE %s.%s ADD COLUMN IF NOT EXISTS %s AFTER %s", quote(p.Database), quote(table), c.sql(), quote(after))
}

// check refuses a table that stands under our name and is not ours: one row per event ID is a matter of engine and key.
func (t tableDef) check(db *dbTable) error {
	family, _, _ := strings.Cut(t.engine, "(")
	key := strings.Trim(t.order, "()")
	if !strings.HasSuffix(db.engine, family) || db.sortingKey != key { // Replicated… and Shared… are as good
		return fmt.Errorf("the table %s stands there with ENGINE %s ORDER BY (%s), leadhouse needs %s ORDER BY (%s): move it away (RENAME TABLE %s TO %s_old), or choose another database",
			t.name, db.engine, db.sortingKey, family, key, t.name, t.name)
	}
	return nil
}

// eventTable brings one event table to what the model asks.
func (p *Plan) eventTable(s *State, r *recorded, want *Table) error {
	db := s.tables[want.Name]
	if db == nil {
		p.createEventTable(r, want)
		return nil
	}
	if err := want.def().check(db); err != nil {
		return err
	}
	bare := (&Table{Name: want.Name, Entity: want.Entity}).def()
	if err := p.table(s, bare); err != nil { // the columns every event table has
		return err
	}
	if r == nil { // stands there, but no run lived to record it
		p.step("= table "+want.Name+" stands there already", "", change{table: want.Name, kind: kindTable, entity: want.Entity})
		r = &recorded{entity: want.Entity}
	}
	p.columns(db, r, want)
	return nil
}

func (p *Plan) createEventTable(r *recorded, want *Table) {
	changes := []change{{table: want.Name, kind: kindTable, entity: want.Entity}}
	if r != nil {
		p.Findings = append(p.Findings, want.Name+" was dropped since it was last recorded: it is made anew, and its old rows are not brought back")
	}
	for _, c := range want.Columns {
		changes = append(changes, c.change(want.Name))
	}
	summary := fmt.Sprintf("+ table %s, %d typed columns", want.Name, len(want.Columns))
	if len(want.Columns) > 0 {
		summary += ": " + names(want.Columns)
	}
	p.step(summary, want.def().createSQL(p.Database), changes...)
}

func (c Column) change(table string) change {
	return change{table: table, column: c.Name, kind: string(c.Kind), path: c.Path, eventType: c.EventType, comment: c.Comment}
}

// columns adds what the table lacks and reports what differs.
func (p *Plan) columns(db *dbTable, r *recorded, want *Table) {
	after := "occurred_at"
	for _, c := range r.columns {
		if db.columns[c.Name] != "" {
			after = c.Name
		}
	}
	added := 0
	for _, c := range want.Columns {
		old, known := r.bySource(c)
		if known {
			c.Name = old.Name // names stay, whatever the catalog's order is today
		}
		typ := db.columns[c.Name]
		switch {
		case known && typ != "":
			p.compare(want.Name, old, c, typ)
		case !known && r.has(c.Name) && typ != "":
			p.Findings = append(p.Findings, fmt.Sprintf("%s.%s is taken by another field: %s stays in payload", want.Name, c.Name, c.field()))
		case typ != "" && c.Kind.accepts(typ):
			p.step(fmt.Sprintf("= %s.%s stands there already", want.Name, c.Name), "", c.change(want.Name))
		case typ != "":
			p.Findings = append(p.Findings, wrongType(want.Name, c, typ))
		case len(r.columns)+added >= maxColumns:
			p.Findings = append(p.Findings, fmt.Sprintf("%s has %d typed columns already: %s stays in payload", want.Name, maxColumns, c.field()))
		default:
			p.step(fmt.Sprintf("+ %s.%s: %s, %s", want.Name, c.Name, c.Kind.ClickHouseType(), c.Comment),
				p.addColumn(want.Name, c.def(), after), c.change(want.Name))
			after = c.Name
			added++
		}
	}
}

// compare looks at a column that stands: its type, its kind, its comment.
func (p *Plan) compare(table string, old, c Column, typ string) {
	if !old.Kind.accepts(typ) {
		p.Findings = append(p.Findings, wrongType(table, old, typ))
		return
	}
	if old.Kind != c.Kind {
		p.Findings = append(p.Findings, fmt.Sprintf(
			"%s.%s holds %s, but the catalog now shows %s: the column stays, what does not fit is NULL there and named in _invalid_fields. To have a column of the new kind: ALTER TABLE %s.%s RENAME COLUMN %s TO %s_%s, then `leadhouse backfill`",
			table, c.Name, old.Kind, c.Kind, p.Database, table, c.Name, c.Name, old.Kind))
		return
	}
	if old.Comment != c.Comment {
		p.step(fmt.Sprintf("~ %s.%s: comment %s", table, c.Name, c.Comment),
			fmt.Sprintf("ALTER TABLE %s.%s COMMENT COLUMN %s %s", quote(p.Database), quote(table), quote(c.Name), literal(c.Comment)),
			change{table: table, column: c.Name, kind: kindComment, comment: c.Comment})
	}
}

func (t *recorded) bySource(c Column) (Column, bool) {
	for _, old := range t.columns {
		if old.source() == c.source() {
			return old, true
		}
	}
	return Column{}, false
}

func (t *recorded) has(name string) bool {
	return slices.ContainsFunc(t.columns, func(c Column) bool { return c.Name == name })
}

func names(columns []Column) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name
	}
	return strings.Join(list, ", ")
}
