//go:build bi

package superset_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

// TestDashboard imports the dashboard into a new Superset as README.md says, over a warehouse in which every client that counts
// a redelivery is found out, and looks at all of it.
func TestDashboard(t *testing.T) {
	stack := bi.Warehouse(t)
	correct(t, stack)
	s := startServer(t)
	files := committed(t)
	s.run(t, "import-dashboards", "--path", pack(t, files, stack), "--username", s.user)
	a := s.logIn(t)
	charts := a.charts(t)

	picture := filepath.Join(t.TempDir(), "dashboard.png")
	if *update {
		picture, _ = filepath.Abs("dashboard.png")
	}
	t.Run("datasets", func(t *testing.T) { a.checkDatasets(t, stack) })
	v := s.visit(t, len(charts), picture)
	if *update {
		a.save(t, v)
		charts = a.charts(t)
	}
	t.Run("charts", func(t *testing.T) { a.checkCharts(t, stack, charts) })
	t.Run("months", func(t *testing.T) { a.checkMonths(t, stack, charts) })
	t.Run("browser", func(t *testing.T) { v.check(t, charts); checkPicture(t, picture) })
	t.Run("files", func(t *testing.T) { a.checkFiles(t, files) })
}

// correct sends the right amount of the one commission that would dwarf every bar of the picture. It is planted to show that
// amounts of 20 digits are exact, which is the business of other tests.
func correct(t *testing.T, stack *bi.Stack) {
	t.Helper()
	stack.Query(t, `INSERT INTO leadron.commission_events SELECT * REPLACE (1250 AS amount, _version + 1 AS _version)
		FROM leadron.commission_events WHERE event_id IN (SELECT event_id FROM leadron.commission_events WHERE amount > 1e18) LIMIT 1`)
}

// A chart is one of Superset's.
type chart struct {
	ID           int
	Name         string `json:"slice_name"`
	QueryContext string `json:"query_context"` // what it asks, as the browser puts it
}

// charts are all of Superset's; a list of them leaves out what they ask.
func (a *api) charts(t *testing.T) (all []chart) {
	t.Helper()
	for _, c := range list[chart](t, a, "chart") {
		var one struct{ Result chart }
		a.call(t, http.MethodGet, fmt.Sprintf("/api/v1/chart/%d", c.ID), nil, &one)
		c.QueryContext = one.Result.QueryContext
		all = append(all, c)
	}
	return all
}

// questions are what a chart asks, read back.
func (c chart) questions(t *testing.T) (whole map[string]any, queries []map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.QueryContext), &whole); err != nil {
		t.Fatalf("chart %s: read its questions: %v: %q", c.Name, err, c.QueryContext)
	}
	list, _ := whole["queries"].([]any)
	for _, q := range list {
		q, _ := q.(map[string]any)
		queries = append(queries, q)
	}
	return whole, queries
}

// checkCharts: **every chart shows what SQL answers.**
func (a *api) checkCharts(t *testing.T, stack *bi.Stack, charts []chart) {
	seen := map[string]bool{}
	for _, c := range charts {
		seen[c.Name] = true
		want, ok := answers[c.Name]
		if !ok {
			t.Errorf("no SQL says what the chart %q is to show: see answers", c.Name)
			continue
		}
		t.Run(c.Name, func(t *testing.T) { a.checkChart(t, stack, c, want) })
	}
	for name := range answers {
		if !seen[name] {
			t.Errorf("the dashboard has no chart %q", name)
		}
	}
}

func (a *api) checkChart(t *testing.T, stack *bi.Stack, c chart, want []string) {
	var saved dataset // the chart's own questions, as an alert or a report asks them
	a.call(t, http.MethodGet, fmt.Sprintf("/api/v1/chart/%d/data/", c.ID), nil, &saved)
	for i, r := range saved.Result {
		if len(r.Data) == 0 {
			t.Errorf("its question %d has no rows", i)
		}
	}
	// And once more without what Superset does to the rows for the sake of the picture.
	whole, queries := c.questions(t)
	for _, q := range queries {
		delete(q, "post_processing")
	}
	whole["queries"], whole["force"] = queries, true
	var plain dataset
	a.call(t, http.MethodPost, "/api/v1/chart/data", whole, &plain)
	if len(plain.Result) != len(want) {
		t.Fatalf("got %d results, want %d", len(plain.Result), len(want))
	}
	for i, r := range plain.Result {
		compare(t, r.Data, rows(t, stack, want[i]))
	}
}

// checkMonths: the filter Months counts from the first moment of a UTC month up to that of another.
func (a *api) checkMonths(t *testing.T, stack *bi.Stack, charts []chart) {
	at := slices.IndexFunc(charts, func(c chart) bool { return c.Name == "Leads created" })
	if at < 0 {
		t.Fatal("there is no chart that counts leads")
	}
	const from, to = "toStartOfMonth(now('UTC')) - INTERVAL 3 MONTH", "toStartOfMonth(now('UTC')) - INTERVAL 1 MONTH"
	months := stack.Query(t, "SELECT concat(toString("+from+"), ' : ', toString("+to+"))")
	whole, queries := charts[at].questions(t)
	set := 0
	filters, _ := queries[0]["filters"].([]any)
	for _, f := range filters {
		if f, _ := f.(map[string]any); f["op"] == "TEMPORAL_RANGE" {
			f["val"] = months
			set++
		}
	}
	if set != 1 {
		t.Fatalf("%d of its filters take months, want 1: %v", set, filters)
	}
	whole["queries"] = queries
	var got dataset
	a.call(t, http.MethodPost, "/api/v1/chart/data", whole, &got)
	compare(t, got.Result[0].Data, rows(t, stack, `SELECT uniqExact(lead_id) AS leads_sum FROM leadron.lead_events
		WHERE event_type = 'lead.created' AND occurred_at >= `+from+` AND occurred_at < `+to))
}

// A dataset is what a chart is answered.
type dataset struct {
	Result []struct{ Data []map[string]any }
}

// rows asks ClickHouse itself, past Superset, as another user.
func rows(t *testing.T, stack *bi.Stack, sql string) (all []map[string]any) {
	t.Helper()
	answer := stack.Query(t, sql+` SETTINGS output_format_json_quote_64bit_integers = 0, output_format_json_quote_decimals = 0
		FORMAT JSONEachRow`)
	for line := range strings.Lines(answer) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("read %q: %v", line, err)
		}
		all = append(all, row)
	}
	return all
}

// compare wants the same rows in any order. Superset carries decimals as floats: 12 digits of them count. What the clock makes
// is compared within the minutes that a test may take.
func compare(t *testing.T, got, want []map[string]any) {
	t.Helper()
	if len(want) == 0 || len(got) == 0 {
		t.Fatalf("got %d rows, want %d, and not none", len(got), len(want))
	}
	g, w := canonical(got), canonical(want)
	if !slices.Equal(g, w) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(g, "\n"), strings.Join(w, "\n"))
	}
	for i := range min(len(got), len(want)) {
		for column, unit := range clocks {
			if _, ok := want[i][column]; !ok {
				continue
			}
			shown, ok := got[i][column].(float64)
			now, _ := want[i][column].(float64)
			if !ok || shown > now || shown < now-300*unit {
				t.Errorf("%s: got %v, want %v or up to 5 minutes less", column, got[i][column], now)
			}
		}
	}
}

// clocks are columns that grow with the time, and how much they do in a second.
var clocks = map[string]float64{"seconds_since_received": 1, "ms_since_received": 1000}

func canonical(rows []map[string]any) (lines []string) {
	for _, row := range rows {
		var cells []string
		for _, column := range sorted(row) {
			switch v := row[column].(type) {
			case float64:
				if clocks[column] == 0 {
					cells = append(cells, fmt.Sprintf("%s=%.12g", column, v))
				}
			default:
				cells = append(cells, fmt.Sprintf("%s=%v", column, v))
			}
		}
		lines = append(lines, strings.Join(cells, " "))
	}
	slices.Sort(lines)
	return lines
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// check: every chart of the page was answered, shows no error, and asked what the files say.
func (v visit) check(t *testing.T, charts []chart) {
	for _, failure := range v.Failures {
		t.Errorf("a chart shows: %s", failure)
	}
	asked := map[int]bool{}
	for _, answer := range v.Answers {
		asked[answer.Chart] = true
		var d dataset
		if err := json.Unmarshal([]byte(answer.Answer), &d); answer.Status != http.StatusOK || err != nil {
			t.Errorf("chart %d: got %d, %v: %.500s", answer.Chart, answer.Status, err, answer.Answer)
		}
		for i, r := range d.Result {
			if len(r.Data) == 0 {
				t.Errorf("chart %d: its question %d has no rows", answer.Chart, i)
			}
		}
		if at := slices.IndexFunc(charts, func(c chart) bool { return c.ID == answer.Chart }); at >= 0 {
			if _, queries := charts[at].questions(t); !reflect.DeepEqual(answer.Request.Queries, queries) {
				t.Errorf("the chart %q asks\n%v\nand its query_context\n%v\n-update makes them one", charts[at].Name, answer.Request.Queries, queries)
			}
		}
	}
	for _, c := range charts {
		if !asked[c.ID] {
			t.Errorf("the page has not asked for %q", c.Name)
		}
	}
}

// checkDatasets lets Superset read the views: **the columns that analysts see carry the views' comments.**
func (a *api) checkDatasets(t *testing.T, stack *bi.Stack) {
	all := list[struct {
		ID   int
		Name string `json:"table_name"`
	}](t, a, "dataset")
	if len(all) == 0 {
		t.Fatal("there is no dataset")
	}
	for _, d := range all {
		path := fmt.Sprintf("/api/v1/dataset/%d", d.ID)
		a.call(t, http.MethodPut, path+"/refresh", nil, nil)
		var got struct {
			Result struct {
				Columns []struct {
					Name        string `json:"column_name"`
					Description string
					Expression  string // of a column that the dataset adds to the view's
				}
			}
		}
		a.call(t, http.MethodGet, path, nil, &got)
		comments := map[string]string{}
		for _, c := range got.Result.Columns {
			if c.Expression == "" {
				comments[c.Name] = c.Description
			}
		}
		want := map[string]string{}
		for _, row := range rows(t, stack, "SELECT name, comment FROM system.columns WHERE database = 'leadron' AND table = '"+d.Name+"'") {
			want[row["name"].(string)] = row["comment"].(string)
			if row["comment"] == "" {
				t.Errorf("%s.%v has no comment", d.Name, row["name"])
			}
		}
		if !maps.Equal(comments, want) {
			t.Errorf("%s: got the columns %v, want %v", d.Name, comments, want)
		}
	}
}

// save keeps what the browser asked as the charts' own questions.
func (a *api) save(t *testing.T, v visit) {
	t.Helper()
	for _, answer := range v.Answers {
		if answer.Chart == 0 {
			continue
		}
		var of struct {
			Result struct{ Params string }
		}
		path := fmt.Sprintf("/api/v1/chart/%d", answer.Chart)
		a.call(t, http.MethodGet, path, nil, &of)
		var params struct{ Datasource string }
		if err := json.Unmarshal([]byte(of.Result.Params), &params); err != nil {
			t.Fatal(err)
		}
		var id int
		if _, err := fmt.Sscanf(params.Datasource, "%d__table", &id); err != nil {
			t.Fatalf("the datasource %q: %v", params.Datasource, err)
		}
		context, err := json.Marshal(map[string]any{
			"datasource": map[string]any{"id": id, "type": "table"}, "force": false, "form_data": map[string]any{},
			"queries": answer.Request.Queries, "result_format": "json", "result_type": "full",
		})
		if err != nil {
			t.Fatal(err)
		}
		a.call(t, http.MethodPut, path, map[string]any{"query_context": string(context), "query_context_generation": true}, nil)
	}
}

// checkFiles: what Superset exports after it has read the views again is what is here. Of the charts and the dashboard, whose
// files hold numbers of the Superset they came from, the names must be there.
func (a *api) checkFiles(t *testing.T, files map[string]string) {
	dashboards := list[struct{ ID int }](t, a, "dashboard")
	if len(dashboards) != 1 {
		t.Fatalf("got %d dashboards, want 1", len(dashboards))
	}
	exported := a.exported(t, dashboards[0].ID)
	if *update {
		write(t, exported)
		return
	}
	if got, want := sorted(exported), sorted(files); !slices.Equal(got, want) {
		t.Fatalf("Superset exports\n%v\nwant\n%v", got, want)
	}
	for _, name := range sorted(files) {
		if !strings.Contains(name, "/datasets/") && name != database {
			continue
		}
		if got, want := read(t, exported[name]), read(t, files[name]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is not what Superset exports: -update writes it anew\ngot  %v\nwant %v", name, got, want)
		}
	}
}

// read parses a file. Superset exports a dataset's columns and metrics in no order.
func read(t *testing.T, text string) (file map[string]any) {
	t.Helper()
	if err := yaml.Load([]byte(text), &file); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"columns", "metrics"} {
		list, _ := file[key].([]any)
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return file
}
