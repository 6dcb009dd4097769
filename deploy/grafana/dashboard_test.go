package grafana_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const plugin = "grafana-clickhouse-datasource"

// A dashboard is what these tests look at of its JSON. What else may stand there is typescript_test.go's matter.
type dashboard struct {
	file string

	UID, Title, Description, Timezone string
	Templating                        struct{ List []templateVariable }
	Panels                            []panel
}

type templateVariable struct {
	Name, Type, Description string
	Query                   string
	Current                 struct{ Value any }
	Datasource              datasource
}

type datasource struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               datasource
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults  struct{ Unit string }
		Overrides []struct {
			Matcher    struct{ ID, Options string }
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
	Options struct{ XField string }
	Targets []target
}

type target struct {
	RefID, EditorType, QueryType, RawSQL string
	Format                               int
	Datasource                           datasource
}

// Grafana's formats of a query's answer.
const (
	formatTimeseries = 0
	formatTable      = 1
)

func dashboards(t *testing.T) []dashboard {
	t.Helper()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Fatalf("dashboards: %v", files)
	}
	all := make([]dashboard, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &all[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[i].file = file
	}
	return all
}

// forEachPanel calls a function with every panel that asks something.
func forEachPanel(t *testing.T, do func(d dashboard, p panel)) {
	t.Helper()
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			if p.Type != "row" {
				do(d, p)
			}
		}
	}
}

func TestDashboardsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	uids := map[string]bool{}
	for _, d := range dashboards(t) {
		if d.Title == "" || d.Description == "" || d.Timezone != "utc" {
			t.Errorf("%s: title %q, description %q, time zone %q", d.file, d.Title, d.Description, d.Timezone)
		}
		if want := strings.TrimSuffix(filepath.Base(d.file), ".json"); d.UID != want || uids[d.UID] {
			t.Errorf("%s: UID %q, want %s, and once", d.file, d.UID, want)
		}
		uids[d.UID] = true
		for _, v := range d.Templating.List {
			if v.Description == "" {
				t.Errorf("%s: the variable %s has no description", d.file, v.Name)
			}
		}
	}
}

// The plugin's query editor reads these fields; without them it takes a query for one of an old version.
func TestEveryPanelAsksThePlugin(t *testing.T) {
	t.Parallel()
	want := datasource{plugin, "${datasource}"}
	forEachPanel(t, func(d dashboard, p panel) {
		if p.Description == "" || p.Title == "" || p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%s, panel %d, %q: description %q, unit %q", d.file, p.ID, p.Title, p.Description, p.FieldConfig.Defaults.Unit)
		}
		if p.Datasource != want || len(p.Targets) != 1 {
			t.Fatalf("%s, %s: data source %v, %d queries", d.file, p.Title, p.Datasource, len(p.Targets))
		}
		q := p.Targets[0]
		format, kind := formatTable, "table"
		if p.Type == "timeseries" {
			format, kind = formatTimeseries, "timeseries"
		}
		if q.Datasource != want || q.EditorType != "sql" || q.RefID != "A" || q.Format != format || q.QueryType != kind {
			t.Errorf("%s, %s: the query is %+v", d.file, p.Title, q)
		}
	})
}

func TestNoTwoPanelsAreInTheSamePlace(t *testing.T) {
	t.Parallel()
	for _, d := range dashboards(t) {
		ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
		for _, p := range d.Panels {
			if ids[p.ID] || p.ID == 0 || titles[p.Title] {
				t.Errorf("%s: the ID %d or the title %q twice", d.file, p.ID, p.Title)
			}
			ids[p.ID], titles[p.Title] = true, true
			g := p.GridPos
			if g.X < 0 || g.W < 1 || g.X+g.W > 24 || g.H < 1 {
				t.Errorf("%s, %s: outside of the grid: %+v", d.file, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: %q lies on %q", d.file, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

// refers are the columns that a panel's settings name.
func (p panel) refers() []string {
	names := map[string]bool{}
	if p.Options.XField != "" {
		names[p.Options.XField] = true
	}
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID == "byName" {
			names[o.Matcher.Options] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// moneyColumns are the columns of the views that hold amounts.
var moneyColumns = []string{"value", "won_value", "average_won_value", "velocity_per_day", "earned", "paid", "outstanding", "owed", "overpaid", "outstanding_at_month_end"}

func TestMoneyIsByCurrency(t *testing.T) {
	t.Parallel()
	asked := 0
	forEachPanel(t, func(d dashboard, p panel) {
		sql := p.Targets[0].RawSQL
		words := strings.FieldsFunc(sql, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
		if !slices.ContainsFunc(words, func(w string) bool { return slices.Contains(moneyColumns, w) }) {
			return
		}
		asked++
		if !strings.Contains(sql, "IN (${currency:sqlstring})") || !strings.Contains(sql, "if(currency = ''") || strings.Contains(sql, "sum(") {
			t.Errorf("%s, %s: money without its currency, or added up:\n%s", d.file, p.Title, sql)
		}
	})
	if asked < 5 {
		t.Errorf("panels with money: %d", asked)
	}
}
