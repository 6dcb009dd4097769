package watch_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A dashboard is what these tests look at of its JSON. What else may stand there is typescript_test.go's matter.
type dashboard struct {
	file string

	UID, Title, Description, Timezone string
	Templating                        struct{ List []templateVariable }
	Panels                            []panel
}

type templateVariable struct {
	Name, Type, Description string
	Query                   any
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               datasource
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []target
}

type datasource struct{ Type, UID string }

type target struct {
	RefID, Expr    string
	Instant, Range bool
	Datasource     datasource
}

func dashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	for _, file := range matching(t, "grafana/*.json") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := dashboard{file: file}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, d)
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
	var names []string
	for _, d := range dashboards(t) {
		if d.Title == "" || d.Description == "" || d.Timezone != "utc" {
			t.Errorf("%s: title %q, description %q, time zone %q", d.file, d.Title, d.Description, d.Timezone)
		}
		if want := strings.TrimSuffix(filepath.Base(d.file), ".json"); d.UID != want {
			t.Errorf("%s: UID %q", d.file, d.UID)
		}
		names = append(names, d.UID)
		for _, v := range d.Templating.List {
			if v.Description == "" {
				t.Errorf("%s: the variable %s has no description", d.file, v.Name)
			}
		}
	}
	if want := []string{"leadhouse-clickhouse", "leadhouse-ingest", "leadhouse-overview", "leadhouse-sink"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

// A query asks the dashboard's data source, within its variables, and its rates cover what Grafana finds fit.
func TestEveryPanelAsksThePrometheusThatIsChosen(t *testing.T) {
	t.Parallel()
	want := datasource{"prometheus", "${datasource}"}
	window := regexp.MustCompile(`\[([^]]*)\]`)
	forEachPanel(t, func(d dashboard, p panel) {
		name := d.file + ", " + p.Title
		if p.Description == "" || p.Title == "" || p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%s: description %q, unit %q", name, p.Description, p.FieldConfig.Defaults.Unit)
		}
		if p.Datasource != want || len(p.Targets) == 0 {
			t.Errorf("%s: data source %v, %d queries", name, p.Datasource, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if q.Datasource != want || q.Expr == "" || q.Instant == q.Range || q.Range != (p.Type == "timeseries") || refs[q.RefID] {
				t.Errorf("%s: the query is %+v", name, q)
			}
			refs[q.RefID] = true
			for _, w := range window.FindAllStringSubmatch(q.Expr, -1) {
				if w[1] != "$__rate_interval" && w[1] != "$__range" {
					t.Errorf("%s: a window of %s, whatever the scrape interval is", name, w[1])
				}
			}
			for _, s := range selectors(q.Expr) {
				if !strings.Contains(s, "$namespace") && !strings.Contains(s, "$clickhouse") && !strings.HasPrefix(s, "ALERTS") {
					t.Errorf("%s: %s is of all installations", name, s)
				}
			}
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

// ours are the metrics that may stand in a query: what is no function, no label and no keyword.
var ours = regexp.MustCompile(`\b(?:leadhouse_\w+|namespace_job_account:\w+(?::\w+)?|ClickHouse(?:Metrics|AsyncMetrics|ProfileEvents)_\w+|process_\w+|go_\w+|up|ALERTS)\b(?:\{[^}]*\})?`)

// selectors are a query's metrics, with what is asked of their labels.
func selectors(expr string) []string { return ours.FindAllString(expr, -1) }

func TestSelectorsAreFound(t *testing.T) {
	t.Parallel()
	got := selectors(`sum by (up_to) (rate(leadhouse_sink_rows_total{table=~".*_events"}[5m])) / up > ClickHouseMetrics_Merge and namespace_job_account:leadhouse_sink_lag:sum`)
	want := []string{`leadhouse_sink_rows_total{table=~".*_events"}`, "up", "ClickHouseMetrics_Merge", "namespace_job_account:leadhouse_sink_lag:sum"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
