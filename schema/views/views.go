// Package views is the analytics layer: what analysts and BI tools ask. Every view is one SQL file here, with its comment,
// its columns and their comments at its head; the package makes it fit the columns that a warehouse has.
//
// # Promises
//
//   - **An event counts once**, however often it was delivered: every event table is read with FINAL.
//   - **The order of loading changes nothing.** What came first and what last is told by (occurred_at, event_id).
//   - **Money is exact and never added up across currencies.** It is Decimal; currency is in the grain, ” where none is sent.
//   - **Division by nothing is NULL.** Rates have 4 digits after the point, rounded half up. Medians are quantileExact: of an
//     even number of values the upper of the two in the middle.
//   - Times are UTC, and a month is its first day.
//
// # What happens when
//
//	the warehouse lacks a table a view needs     the view is not made; the plan says which wait for what
//	it lacks a column                            the view reads NULL there, and is made anew when the column comes
//	something else has a view's name             it is left alone, and the plan says so (schema)
package views

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"
)

// Source is the warehouse that views are made for.
type Source interface {
	// HasTable reports that an event table stands there; those that every warehouse has need no asking.
	HasTable(name string) bool
	// EventTables are all event tables, in order.
	EventTables() []string
	// HasColumn reports that a typed column does, with a type that can be read as the given one.
	HasColumn(table, column, typ string) bool
}

// View is one view, ready to be created.
type View struct {
	Name, Comment string
	Columns       []Column
	Query         string   // with the names of tables quoted and in the database
	Reads         []string // the tables and views that it stands on
	Key           string   // ORDER BY of the table that takes its place with --materialize-views; "" for a view that stays one
}

// Column is one of a view's.
type Column struct{ Name, Type, Comment string }

//go:embed *.sql
var files embed.FS

// file is a view's source. Its head is comment lines:
//
//	-- leads: every lead as it stands now
//	-- needs: lead_events form_events
//	-- may read: partners                            (tables and views that it does without where they are not)
//	-- key: lead_id                                  (only where it may be materialized)
//	-- column: lead_id String the lead's ID
//	-- column: created_at Nullable(DateTime64(3, 'UTC')) when …
//
// A comment goes on in lines that begin with "--   ". Then follows a text/template with the functions of funcs.
type file struct {
	View

	needs   []string
	mayRead []string
	body    *template.Template
}

// order is that of creation: a view after those that it stands on. Every file is named here once.
var order = []string{
	"leads", "lead_status_history", "opportunities", "opportunity_stage_history", "partners", "tasks", "form_submissions", "commissions",
	"lead_funnel", "lead_funnel_by_source", "opportunity_funnel", "stage_conversion", "win_rate_monthly", "sales_velocity_monthly",
	"commission_totals", "commission_by_partner", "commission_aging", "commission_monthly", "partner_leaderboard",
	"form_conversion", "task_completion",
	"data_freshness", "data_quality", "delivery_latency",
}

var parsed = parse()

// Names are the names of all views, whether or not a warehouse can have them.
func Names() []string { return slices.Clone(order) }

// All makes the views for a database, in the order of creation. waiting has those that cannot be made, each with the first
// table that it lacks.
func All(database string, from Source) (views []View, waiting map[string]string, err error) {
	waiting = map[string]string{}
	for _, name := range order {
		f := parsed[name]
		if lacks := f.lacks(from, waiting); lacks != "" {
			waiting[name] = lacks
			continue
		}
		v := f.View
		if v.Query, v.Reads, err = f.render(database, from, waiting); err != nil {
			return nil, nil, fmt.Errorf("view %s: %w", name, err)
		}
		views = append(views, v)
	}
	return views, waiting, nil
}

func (f *file) lacks(from Source, waiting map[string]string) string {
	for _, need := range f.needs {
		if lacks, ok := waiting[need]; ok { // a view that waits itself
			return lacks
		}
		if parsed[need] == nil && !from.HasTable(need) {
			return need
		}
	}
	return ""
}

// render is the query. The template's functions:
//
//	{{table "lead_events"}}                               a table, or another view, of the database
//	{{col "lead_events" "currency" "Nullable(String)"}}   a column, or NULL of that type where there is none
//	{{has "lead_events" "currency" "Nullable(String)"}}   whether there is
//	{{exists "partners"}}                                 whether a table or view that it may read is there
//	{{range eventTables}}                                 every event table, which it then may read
//	{{idOf "lead_events"}}                                the name of the column that says whom an event is about
//	{{position}}                                          an event's place in their order, see position
//	{{rate "won" "closed"}}                               a rate of two counts, see ratio
func (f *file) render(database string, from Source, waiting map[string]string) (query string, reads []string, err error) {
	body, err := f.body.Clone()
	if err != nil {
		return "", nil, err
	}
	exists := func(name string) bool {
		view := parsed[name]
		return view == nil && from.HasTable(name) || view != nil && view.lacks(from, waiting) == ""
	}
	may := slices.Concat(f.needs, f.mayRead, always)
	body.Funcs(template.FuncMap{
		"eventTables": func() []string {
			may = append(may, from.EventTables()...)
			return from.EventTables()
		},
		"exists": exists,
		"table": func(name string) (string, error) {
			if !slices.Contains(may, name) {
				return "", fmt.Errorf("%s is not among what it needs", name)
			}
			reads = append(reads, name)
			return fmt.Sprintf("`%s`.`%s`", database, name), nil
		},
		"col": func(table, column, typ string) string {
			if from.HasColumn(table, column, typ) {
				return "`" + column + "`"
			}
			return fmt.Sprintf("CAST(NULL, '%s')", strings.ReplaceAll(typ, "'", `\'`))
		},
		"has": from.HasColumn,
	})
	var out strings.Builder
	if err := body.Execute(&out, nil); err != nil {
		return "", nil, err
	}
	slices.Sort(reads)
	return strings.TrimSpace(out.String()), slices.Compact(reads), nil
}

// always are the tables and views that every warehouse has.
var always = []string{
	"deliveries", "dead_letters", "offset_gaps", "erasures", "catalog", "schema_changes", "other_events",
	"events", "delivery_balance", "event_id_conflicts", "redeliveries",
}

// idOf is lead_id for lead_events.
func idOf(table string) string { return strings.TrimSuffix(table, "_events") + "_id" }

// position is (occurred_at, event_id) as one string that compares as they do: the milliseconds come with the highest byte
// first, and none are before 1970. ClickHouse keeps the argMax by a tuple in several times the time and memory.
const position = "concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Milli(occurred_at)))), event_id)"

// ratio is n/d with 4 digits after the point, rounded half up in whole numbers: of floats some would be cut to the digit
// below. Both are counts, and n is no more than 4 × 10^14.
func ratio(n, d string) string {
	return fmt.Sprintf("if(%[2]s = 0, NULL, toDecimal64(intDiv(20000 * toInt64(%[1]s) + toInt64(%[2]s), 2 * toInt64(%[2]s)), 4) / 10000)", n, d)
}

func parse() map[string]*file {
	all := map[string]*file{}
	var errs []error
	names, err := fs.Glob(files, "*.sql")
	errs = append(errs, err)
	for _, path := range names {
		name := strings.TrimSuffix(path, ".sql")
		text, err := files.ReadFile(path)
		if err == nil {
			all[name], err = parseFile(name, string(text))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
		if !slices.Contains(order, name) {
			errs = append(errs, fmt.Errorf("%s is not in order", path))
		}
	}
	if err := errors.Join(errs...); err != nil || len(all) != len(order) {
		panic(fmt.Sprintf("schema/views: %v; %d files, %d in order", err, len(all), len(order))) // the binary itself is broken
	}
	return all
}

func parseFile(name, text string) (*file, error) {
	f := &file{View: View{Name: name}}
	var last *string // the comment that a line may go on with
	for strings.HasPrefix(text, "--") {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		line = strings.TrimPrefix(line, "--")
		if more, ok := strings.CutPrefix(line, "   "); ok {
			if last == nil {
				return nil, fmt.Errorf("%q goes on with nothing", line)
			}
			*last += " " + strings.TrimSpace(more)
			continue
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case name:
			f.Comment = value
			last = &f.Comment
		case "needs":
			f.needs = strings.Fields(value)
		case "may read":
			f.mayRead = strings.Fields(value)
		case "key":
			f.Key = value
		case "column":
			c, err := parseColumn(value)
			if err != nil {
				return nil, err
			}
			f.Columns = append(f.Columns, c)
			last = &f.Columns[len(f.Columns)-1].Comment
		default:
			return nil, fmt.Errorf("the head's line %q is of no kind", line)
		}
	}
	if f.Comment == "" || len(f.Columns) == 0 {
		return nil, errors.New("it has no comment or no columns")
	}
	funcs := template.FuncMap{
		"table": func(string) string { return "" }, "col": func(_, _, _ string) string { return "" },
		"has": func(_, _, _ string) bool { return false }, "exists": func(string) bool { return false },
		"eventTables": func() []string { return nil }, "idOf": idOf, "position": func() string { return position }, "rate": ratio,
	}
	var err error
	f.body, err = template.New(name).Funcs(funcs).Parse(text)
	return f, err
}

// parseColumn reads "name type comment"; a type may have spaces within its parentheses.
func parseColumn(text string) (Column, error) {
	name, rest, _ := strings.Cut(text, " ")
	depth := 0
	for i, r := range rest {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ' ' && depth == 0:
			return Column{name, rest[:i], strings.TrimSpace(rest[i:])}, nil
		}
	}
	return Column{}, fmt.Errorf("the column %q has no comment", text)
}
