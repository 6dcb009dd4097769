package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/leadhouse/leadhouse/schema/views"
)

// The views of a plan: events and the books, a view per event type (typeviews.go), and those of package views. Rules:
//   - **What is not ours is not touched.** CREATE OR REPLACE VIEW drops a table of that name as well. Ours bears viewMark
//     in its comment, so that a run killed between a view and its record is known by the next.
//   - No view stands on somebody else's: it would show numbers that nobody here has made.
//   - What every installation has wins a name over an event type.

// viewMark ends the comment of everything that a plan may replace.
const viewMark = " (leadhouse)"

// planViews adds a step for every view that is missing or has another text than the one recorded last. ClickHouse keeps its
// own wording of a view, so the text cannot be compared with what system.tables says.
func (p *Plan) planViews(m *Model, s *State, eventTables []*Table, which Materialize) error {
	after := p.standing(s)
	shipped, waiting, err := views.All(p.Database, after)
	if err != nil {
		return err
	}
	defs := append([]viewDef{eventsView(p.Database, eventTables)}, bookViews(p.Database)...)
	defs = append(defs, p.typeViews(m, s, after)...)
	for _, v := range shipped {
		defs = append(defs, shippedView(v))
	}
	mat := s.materializing(which, defs, uuid.NewString()[:8])
	foreign := s.foreign(defs, mat.on)
	p.leftovers(s, defs)
	for _, v := range defs {
		switch {
		case foreign[v.name] != "":
		case mat.on && v.key != "":
			p.tableView(s, v, mat)
		default:
			p.plainView(s, v)
		}
	}
	p.findForeign(s, defs, foreign)
	p.findWaiting(waiting)
	return nil
}

// foreign are the views that are not to be made, each with the name it would take or read that is somebody else's.
func (s *State) foreign(defs []viewDef, tables bool) map[string]string {
	foreign := map[string]string{}
	for _, v := range defs {
		names := []string{v.name}
		if tables && v.key != "" {
			names = append(names, refreshName(v.name))
		}
		for _, name := range names {
			if !s.ours(name) && foreign[v.name] == "" {
				foreign[v.name] = name
			}
		}
		for _, name := range v.reads {
			if foreign[name] != "" && foreign[v.name] == "" {
				foreign[v.name] = foreign[name]
			}
		}
	}
	return foreign
}

func shippedView(v views.View) viewDef {
	columns := make([]columnDef, len(v.Columns))
	for i, c := range v.Columns {
		columns[i] = columnDef{name: c.Name, typ: c.Type, comment: c.Comment}
	}
	return viewDef{name: v.Name, comment: v.Comment, query: v.Query, columns: columns, reads: v.Reads, key: v.Key}
}

// ours reports that nothing stands under a view's name, or what a plan of ours has made. Earlier versions set no mark:
// their views are known by the record alone.
func (s *State) ours(name string) bool {
	t := s.tables[name]
	if t == nil || strings.HasSuffix(t.comment, viewMark) {
		return true
	}
	last := s.lastView(name).statement
	return t.engine == "View" && last != "" && !strings.Contains(last, viewMark)
}

// lastView is the newest record of a view; a zero one for none.
func (s *State) lastView(name string) (last change) {
	for _, c := range s.changes {
		if c.table == name && c.kind == kindView {
			last = c
		}
	}
	return last
}

// findForeign says for each name that is taken what is not made because of it.
func (p *Plan) findForeign(s *State, defs []viewDef, foreign map[string]string) {
	said := map[string]bool{}
	for _, v := range defs {
		if owner := foreign[v.name]; owner != "" && !said[owner] {
			said[owner] = true
			p.Findings = append(p.Findings, p.foreignFinding(s, owner, defs, foreign))
		}
	}
}

func (p *Plan) foreignFinding(s *State, owner string, defs []viewDef, foreign map[string]string) string {
	var absent, standing []string
	for _, v := range defs {
		switch {
		case foreign[v.name] != owner || v.name == owner:
		case s.tables[v.name] == nil:
			absent = append(absent, v.name)
		default:
			standing = append(standing, v.name)
		}
	}
	text := owner + " is not leadhouse's view but somebody else's: it is left alone."
	if len(absent) > 0 {
		text += " Not made, since they would read it: " + strings.Join(absent, ", ") + "."
	}
	if len(standing) > 0 {
		text += " Made before, and reading it now: " + strings.Join(standing, ", ") + "."
	}
	return fmt.Sprintf("%s To have leadhouse's: RENAME TABLE %s.%s TO %s.my_%s, then `leadhouse backfill`", text, p.Database, owner, p.Database, owner)
}

// findWaiting says in one line which views wait for what: with a small catalog they are many.
func (p *Plan) findWaiting(waiting map[string]string) {
	if len(waiting) == 0 {
		return
	}
	var tables []string
	for _, table := range waiting {
		tables = append(tables, table)
	}
	slices.Sort(tables)
	list := strings.Join(slices.Compact(tables), ", ")
	if len(waiting) == 1 {
		for view := range waiting {
			p.Findings = append(p.Findings, fmt.Sprintf("the view %s waits for %s, which no catalog has named yet", view, list))
		}
		return
	}
	p.Findings = append(p.Findings, fmt.Sprintf("%d views wait for %s, which no catalog has named yet", len(waiting), list))
}

// standing are the event tables with the typed columns they have once a plan is applied.
type standing map[string][]Column

// HasTable is part of views.Source.
func (s standing) HasTable(name string) bool { return s[name] != nil }

// EventTables is part of views.Source.
func (s standing) EventTables() []string { return slices.Sorted(maps.Keys(s)) }

// HasColumn is part of views.Source. What a column of the kind may have been altered to can be read as the kind's type.
func (s standing) HasColumn(table, column, typ string) bool {
	return slices.ContainsFunc(s[table], func(c Column) bool { return c.Name == column && c.Kind.ClickHouseType() == typ })
}

// standing reads the records as if the plan's were among them. A column is there if the table has it with a type that
// holds its kind, or if the plan adds it; a table that was dropped by hand has what the plan makes anew.
func (p *Plan) standing(s *State) standing {
	future := &State{changes: slices.Clone(s.changes)}
	added := map[string]bool{}
	for _, step := range p.Steps {
		for _, c := range step.changes {
			future.changes = append(future.changes, c)
			added[c.table+"."+c.column] = true
		}
	}
	after := standing{}
	records, order := future.recorded()
	for _, name := range order {
		db := s.tables[name]
		if !strings.HasSuffix(name, "_events") || db == nil && !added[name+"."] {
			continue
		}
		after[name] = []Column{}
		for _, c := range records[name].columns {
			typ := ""
			if db != nil {
				typ = db.columns[c.Name]
			}
			if c.Kind.accepts(typ) || typ == "" && added[name+"."+c.Name] {
				after[name] = append(after[name], c)
			}
		}
	}
	return after
}
