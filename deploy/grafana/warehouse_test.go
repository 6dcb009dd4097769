package grafana_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

// A grafana asks as the plugin does: native protocol, its settings, the data source's default database.
type grafana struct {
	*testing.T
	conn driver.Conn
	query
}

func connect(t *testing.T, user string) *grafana {
	t.Helper()
	s := bi.Warehouse(t)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{s.ClickHouse.Addr()},
		Auth:        clickhouse.Auth{Database: s.Database, Username: user},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		Settings:    clickhouse.Settings{"limit": int64(0)}, // the plugin sends it with every query
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	now := time.Now()
	g := &grafana{t, conn, query{from: now.Add(-200 * 24 * time.Hour), to: now, interval: time.Hour, variables: map[string][]string{}}}
	for _, d := range dashboards(t) {
		for _, v := range d.Templating.List {
			if v.Type == "query" {
				g.variables[v.Name] = g.options(v)
			}
		}
	}
	return g
}

// in is the same for a subtest.
func (g *grafana) in(t *testing.T) *grafana { return &grafana{t, g.conn, g.query} }

// options are what a variable offers. "All" is all of them: without one, IN () would be no SQL.
func (g *grafana) options(v templateVariable) (values []string) {
	g.Helper()
	a := g.ask(v.Query)
	if len(a.columns) != 1 || len(a.rows) == 0 {
		g.Fatalf("the variable %s: columns %v, %d rows", v.Name, a.columns, len(a.rows))
	}
	for _, row := range a.rows {
		values = append(values, fmt.Sprint(row[0]))
	}
	return values
}

// answer is a query's.
type answer struct {
	columns, types []string
	rows           [][]any
}

func (g *grafana) ask(raw string) answer {
	g.Helper()
	sql, err := g.expand(raw)
	if err != nil {
		g.Fatalf("%v\n%s", err, raw)
	}
	rows, err := g.conn.Query(g.Context(), sql)
	if err != nil {
		g.Fatalf("%v\n%s", err, sql)
	}
	defer rows.Close()
	a := answer{columns: rows.Columns()}
	for _, c := range rows.ColumnTypes() {
		a.types = append(a.types, c.DatabaseTypeName())
	}
	for rows.Next() {
		values := make([]any, len(a.columns))
		for i, c := range rows.ColumnTypes() {
			values[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			g.Fatalf("%v\n%s", err, sql)
		}
		for i, v := range values {
			for p := reflect.ValueOf(v); p.Kind() == reflect.Pointer; p = p.Elem() {
				if values[i] = nil; !p.IsNil() {
					values[i] = p.Elem().Interface()
				}
			}
		}
		a.rows = append(a.rows, values)
	}
	if err := rows.Err(); err != nil {
		g.Fatalf("%v\n%s", err, sql)
	}
	return a
}

func isTime(typ string) bool { return strings.Contains(typ, "Date") }

func isNumber(typ string) bool {
	return strings.Contains(typ, "Int") || strings.Contains(typ, "Float") || strings.Contains(typ, "Decimal")
}

// fault is why a panel could not show an answer.
func (a answer) fault(p panel) string {
	for _, name := range p.refers() {
		if !slices.Contains(a.columns, name) {
			return fmt.Sprintf("the panel names the column %s, there are %v", name, a.columns)
		}
	}
	switch {
	case len(a.rows) == 0:
		return "no rows"
	case !slices.ContainsFunc(a.types, isNumber):
		return fmt.Sprintf("nothing to count with: %v", a.types)
	case p.Type == "barchart" && a.columns[0] != p.Options.XField:
		return "the x axis is not the first column"
	case p.Type == "timeseries":
		return a.faultOfSeries()
	}
	return ""
}

// faultOfSeries is why the plugin could not make lines of it: it wants time in order, one row for each point, and takes
// every text for a label.
func (a answer) faultOfSeries() string {
	if !isTime(a.types[0]) {
		return "the first column is no time: " + a.types[0]
	}
	seen := map[string]bool{}
	var last time.Time
	for _, row := range a.rows {
		at := row[0].(time.Time)
		if at.Before(last) {
			return "not in order of time"
		}
		last = at
		key := at.String()
		for i, typ := range a.types[1:] {
			if !isNumber(typ) {
				key += fmt.Sprint("|", row[i+1])
			}
		}
		if seen[key] {
			return "two rows for " + key
		}
		seen[key] = true
	}
	return ""
}

func TestEveryQueryRunsAndHasThePanelsColumns(t *testing.T) {
	t.Parallel()
	g := connect(t, "bi")
	asked := 0
	forEachPanel(t, func(d dashboard, p panel) {
		asked++
		t.Run(d.UID+"/"+p.Title, func(t *testing.T) {
			if fault := g.in(t).ask(p.Targets[0].RawSQL).fault(p); fault != "" {
				t.Error(fault)
			}
		})
	})
	if asked < 20 {
		t.Errorf("panels: %d", asked)
	}
}

// The warehouse holds duplicates that never merge, and the user default has no setting final: what reads a table without FINAL
// answers it with more.
func TestDuplicatesAreNotCountedWhoeverAsks(t *testing.T) {
	t.Parallel()
	reader, other := connect(t, "bi"), connect(t, "default")
	forEachPanel(t, func(d dashboard, p panel) {
		t.Run(d.UID+"/"+p.Title, func(t *testing.T) {
			var got, want string
			for range 3 { // a commission may grow a day older between the two
				want, got = reader.in(t).ask(p.Targets[0].RawSQL).text(), other.in(t).ask(p.Targets[0].RawSQL).text()
				if got == want {
					return
				}
			}
			t.Errorf("got\n%s\nwant\n%s", got, want)
		})
	})
}

// text is the answer without what grows by the second.
func (a answer) text() string {
	var b strings.Builder
	for _, row := range a.rows {
		for i, v := range row {
			if !strings.HasPrefix(a.columns[i], "seconds") {
				fmt.Fprint(&b, v, "\t")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// What is counted here by different IDs needs no FINAL.
func TestWhatPanelsCountIsDifferentIDs(t *testing.T) {
	t.Parallel()
	g := connect(t, "bi")
	s := bi.Warehouse(t)
	counts := map[string]string{
		"Leads created":     "SELECT uniqExact(lead_id) FROM leadron.lead_events WHERE event_type = 'lead.created' AND isNotNull(lead_id)",
		"Events":            "SELECT sum(n) FROM (SELECT uniqExact(event_id) AS n FROM merge('leadron', '_events$'))",
		"Open dead letters": "SELECT uniqExactIf((topic_epoch, kafka_partition, kafka_offset), status = 'open') FROM leadron.dead_letters",
	}
	forEachPanel(t, func(d dashboard, p panel) {
		if counts[p.Title] == "" {
			return
		}
		got, want := fmt.Sprint(g.ask(p.Targets[0].RawSQL).rows[0][0]), s.Query(t, counts[p.Title])
		if got != want || got == "0" {
			t.Errorf("%s, %s: %s, want %s", d.file, p.Title, got, want)
		}
		delete(counts, p.Title)
	})
	if len(counts) > 0 {
		t.Errorf("no panels: %v", counts)
	}
}

func TestAWrongColumnOrMacroIsFound(t *testing.T) {
	t.Parallel()
	a := answer{columns: []string{"step", "leads"}, types: []string{"String", "UInt64"}, rows: [][]any{{"created", uint64(1)}}}
	p := panel{Type: "barchart"}
	p.Options.XField = "stage"
	if a.fault(p) == "" {
		t.Error("a column that is not there is not found")
	}
	for _, sql := range []string{"SELECT $__timeFilter", "SELECT $__dateTrunc(x)", "SELECT ${currency}", "SELECT $x"} {
		if got, err := (query{variables: map[string][]string{"currency": {"EUR"}}}).expand(sql); err == nil {
			t.Errorf("%s became %s", sql, got)
		}
	}
}
