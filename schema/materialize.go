package schema

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Materialized views: where there are many events, a view with a key becomes a table of its name, which a refreshable
// materialized view fills anew every few minutes. Rules:
//   - **A refresh replaces the whole table**, by a query over FINAL: an incremental view would count redelivered rows.
//   - **Readers never find the name missing, empty or half-filled.** A table is filled under another name and then exchanged
//     for what stands, be it a view or a table; ClickHouse does that at one moment, and refreshes in the same way.
//   - **A step may be cut anywhere, and two runs may do it at once**: the name that a table is filled under is its run's own,
//     the next run drops what it finds of others, and the record that ends it comes last.
//   - What refreshes an old text is dropped before its table is exchanged: it must not write old columns into the new one.
//   - Refreshes begin together, on the clock, and one waits for those that it reads (DEPENDS ON): leads and lead_funnel show
//     the same moment. Refreshed each for itself, a metric would lag behind its entities by a whole interval.

// Materialize says which views are tables. The zero value keeps what the database has.
type Materialize struct {
	On    *bool         // nil: as it is; a view that is new is one if any is
	Every time.Duration // 0: as it is, else DefaultRefresh
}

// DefaultRefresh is how often a table is filled anew unless it is said otherwise.
const DefaultRefresh = 5 * time.Minute

// materializing is what the views of a plan are to be.
type materializing struct {
	on    bool
	every time.Duration
	run   string // a name of this run's own
	made  map[string]bool
}

func (s *State) materializing(m Materialize, defs []viewDef, run string) *materializing {
	got := &materializing{every: m.Every, run: run, made: map[string]bool{}}
	for _, v := range defs {
		if v.key == "" || !s.isOurTable(v.name) {
			continue
		}
		got.on = true
		if mv := s.tables[refreshName(v.name)]; mv != nil && got.every == 0 {
			got.every = refreshEvery(mv.comment)
		}
	}
	if m.On != nil {
		got.on = *m.On
	}
	if got.every == 0 {
		got.every = DefaultRefresh
	}
	return got
}

// isOurTable reports that a view's name is that of a table which takes its place.
func (s *State) isOurTable(view string) bool {
	t := s.tables[view]
	return t != nil && strings.HasSuffix(t.engine, "MergeTree") && strings.HasSuffix(t.comment, viewMark)
}

// refreshComment is that of the view that refreshes; it is also where its interval is read from.
func refreshComment(view string, every time.Duration) string {
	return fmt.Sprintf("fills %s anew, every %v%s", view, every, viewMark)
}

var refreshCommentText = regexp.MustCompile(` anew, every (\S+)` + regexp.QuoteMeta(viewMark) + `$`)

func refreshEvery(comment string) time.Duration {
	if m := refreshCommentText.FindStringSubmatch(comment); m != nil {
		every, _ := time.ParseDuration(m[1]) // 0 where somebody has altered it
		return every
	}
	return 0
}

// nextName is the name that a run fills a view's table under.
func (m *materializing) nextName(view string) string { return view + "_next_" + m.run }

var nextNames = regexp.MustCompile(`^(.+)_next_[0-9a-f]{8}$`)

// leftovers are what runs that were killed have left: tables half-filled, or what was exchanged away.
func (p *Plan) leftovers(s *State, defs []viewDef) {
	var found []string
	for name, t := range s.tables {
		m := nextNames.FindStringSubmatch(name)
		if m != nil && strings.HasSuffix(t.comment, viewMark) && slices.ContainsFunc(defs, func(v viewDef) bool { return v.name == m[1] }) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	for _, name := range found {
		p.viewStep("- "+name+", left by a run that was cut", name, nil, p.drop(name))
	}
}

// drop does not wait for those who still read it.
func (p *Plan) drop(name string) string {
	return fmt.Sprintf("DROP TABLE IF EXISTS %s.%s", quote(p.Database), quote(name))
}

// dropRefresh returns when a refresh that was under way has ended.
func (p *Plan) dropRefresh(view string) string { return p.drop(refreshName(view)) + " SYNC" }

// tableView brings a view with a key to the table it is to be.
func (p *Plan) tableView(s *State, v viewDef, m *materializing) {
	m.made[v.name] = true
	text := v.tableSQL(p.Database, v.name) + "\nAS " + v.settledSQL() // what is recorded: without names and times of one run
	mv := s.tables[refreshName(v.name)]
	comment := refreshComment(v.name, m.every)
	switch {
	case !s.isOurTable(v.name) || s.lastView(v.name).statement != text:
		p.rebuild(s, v, m, text)
	case mv == nil:
		p.viewStep(fmt.Sprintf("+ %s: filled every %v", v.name, m.every), v.name, nil, v.refreshSQL(p.Database, m))
	case mv.comment != comment:
		p.viewStep(fmt.Sprintf("~ %s: filled every %v", v.name, m.every), v.name, nil, p.dropRefresh(v.name), v.refreshSQL(p.Database, m))
	}
}

// rebuild fills a table and puts it in the view's place.
func (p *Plan) rebuild(s *State, v viewDef, m *materializing, text string) {
	next := m.nextName(v.name)
	names := make([]string, len(v.columns))
	for i, c := range v.columns {
		names[i] = quote(c.name)
	}
	mark, how := "~", "a table now"
	var statements []string
	switch {
	case s.tables[v.name] == nil:
		mark = "+"
		statements = append(statements, v.createSQL(p.Database)) // so that there is something to exchange
	case s.isOurTable(v.name):
		how = "filled with its new text"
	}
	statements = append(statements, v.tableSQL(p.Database, next),
		fmt.Sprintf("INSERT INTO %s.%s (%s)\n%s", quote(p.Database), quote(next), strings.Join(names, ", "), v.settledSQL()),
		p.dropRefresh(v.name),
		fmt.Sprintf("EXCHANGE TABLES %s.%s AND %s.%s", quote(p.Database), quote(next), quote(p.Database), quote(v.name)),
		p.drop(next),
		v.refreshSQL(p.Database, m))
	p.viewStep(fmt.Sprintf("%s view %s: %s, filled every %v", mark, v.name, how, m.every), v.name, v.change(text), statements...)
	p.Steps[len(p.Steps)-1].Fills = v.reads
}

// tableSQL is the table that takes a view's place. It is filled whole each time and never inserted into twice: it needs no
// deduplication.
func (v viewDef) tableSQL(database, name string) string {
	lines := make([]string, len(v.columns))
	for i, c := range v.columns {
		lines[i] = c.sql()
	}
	return fmt.Sprintf("CREATE TABLE %s.%s\n(\n    %s\n)\nENGINE = MergeTree\nORDER BY (%s)\nSETTINGS allow_nullable_key = 1\nCOMMENT %s",
		quote(database), quote(name), strings.Join(lines, ",\n    "), v.key, literal(v.comment+viewMark))
}

// refreshSQL is the view that refreshes. EMPTY: the table has been filled a moment ago.
func (v viewDef) refreshSQL(database string, m *materializing) string {
	var after []string
	for _, name := range v.reads {
		if m.made[name] {
			after = append(after, quote(database)+"."+quote(refreshName(name)))
		}
	}
	depends := ""
	if len(after) > 0 {
		depends = "\nDEPENDS ON " + strings.Join(after, ", ")
	}
	return fmt.Sprintf("CREATE MATERIALIZED VIEW IF NOT EXISTS %s.%s\nREFRESH EVERY %d SECOND%s\nTO %s.%s EMPTY\nCOMMENT %s\nAS %s",
		quote(database), quote(refreshName(v.name)), int64(m.every/time.Second), depends, quote(database), quote(v.name),
		literal(refreshComment(v.name, m.every)), v.settledSQL())
}

// plainView is a view that is none, or no more, that is a table.
func (p *Plan) plainView(s *State, v viewDef) {
	statement := v.createSQL(p.Database)
	recorded := v.change(statement)
	switch {
	case s.isOurTable(v.name): // the refresh first: it would put its table in the view's place
		p.viewStep("~ view "+v.name+": no table any more", v.name, recorded, p.dropRefresh(v.name), statement)
	case s.tables[v.name] == nil:
		p.viewStep("+ view "+v.name, v.name, recorded, statement)
	case s.lastView(v.name).statement != statement:
		p.viewStep("~ view "+v.name, v.name, recorded, statement)
	}
}

// change is what is recorded of a view.
func (v viewDef) change(statement string) *change {
	return &change{table: v.name, kind: kindView, eventType: v.eventType, statement: statement}
}

// viewStep adds a step of a view's, and what is to be recorded of it, if anything.
func (p *Plan) viewStep(summary, view string, recorded *change, statements ...string) {
	step := Step{Summary: summary, Statement: statements[0], Then: statements[1:], View: view}
	if recorded != nil {
		step.changes = []change{*recorded}
	}
	p.Steps = append(p.Steps, step)
}
