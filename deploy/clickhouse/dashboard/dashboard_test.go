package dashboard_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/deploy/bi"
	"github.com/leadhouse/leadhouse/deploy/clickhouse/dashboard"
	"github.com/leadhouse/leadhouse/deploy/local"
)

func charts(t *testing.T) []dashboard.Chart {
	t.Helper()
	all, err := dashboard.Charts()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryFileIsAChart(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(os.DirFS("."), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if all := charts(t); len(all) != len(files) || len(all) < 7 {
		t.Errorf("%d charts of %d files", len(all), len(files))
	}
}

// answer is what the page gets: JSONColumnsWithMetadata.
type answer struct {
	Meta []struct{ Name, Type string }
	Data map[string][]any
	Rows int
}

// ask sends a query as the page does.
func ask(t *testing.T, server, user, query string, params map[string]string) (a answer) {
	t.Helper()
	values := url.Values{"default_format": {"JSONColumnsWithMetadata"}, "user": {user}}
	for name, value := range params {
		values.Set("param_"+name, value)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server+"?"+values.Encode(), strings.NewReader(query))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s\n%s", text, query)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return a
}

// fault is why the page would draw nothing, or something wrong, of an answer.
func (a answer) fault() string {
	if a.Rows == 0 {
		return "no rows: the page shows an error"
	}
	if len(a.Meta) < 2 || !strings.Contains(a.Meta[0].Type, "Int") {
		return fmt.Sprintf("columns %v, want unix time and values", a.Meta)
	}
	times := a.Data[a.Meta[0].Name]
	if !slices.IsSortedFunc(times, func(x, y any) int { return int(x.(float64) - y.(float64)) }) {
		return "the times are not in order"
	}
	labelled := len(a.Meta) == 3 && isText(a.Meta[1].Type)
	seen := map[string]bool{}
	for i, at := range times {
		key := fmt.Sprint(at)
		if labelled {
			label := a.Data[a.Meta[1].Name][i]
			if label == "" {
				return "a line without a name"
			}
			key += fmt.Sprint(label)
		}
		if seen[key] {
			return "two rows for " + key
		}
		seen[key] = true
	}
	for _, m := range a.Meta[1:] {
		if isText(m.Type) && !labelled {
			return m.Name + " is no number"
		}
		for _, v := range a.Data[m.Name] {
			if _, text := v.(string); text && !isText(m.Type) {
				return fmt.Sprintf("%s comes as the text %q, which the page cannot draw", m.Name, v)
			}
		}
	}
	return ""
}

// isText is the page's isStringColumn.
func isText(typ string) bool { return typ == "String" || typ == "LowCardinality(String)" }

func (a answer) sum(column string) (sum float64) {
	for _, v := range a.Data[column] {
		sum += v.(float64)
	}
	return sum
}

func TestEveryChartHasSomethingToDraw(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	server := s.ClickHouse.HTTPAddr()
	for _, c := range charts(t) {
		for _, rounding := range []string{"60", "3600", "86400"} { // by the minute, the hour, the day
			params := dashboard.Params(s.Database)
			params["rounding"] = rounding
			if fault := ask(t, server, "bi", c.Query, params).fault(); fault != "" {
				t.Errorf("%s, rounding %s: %s", c.Title, rounding, fault)
			}
		}
	}
}

func TestNoChartIsAnErrorOnAnEmptyWarehouse(t *testing.T) {
	t.Parallel()
	ch := local.Shared(t)
	database := ch.Database(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b, err := backfill.New(backfill.Config{
		ClickHouse: conn, Database: database, Catalog: backfill.Builtin, Version: "test", SettleFor: time.Nanosecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range charts(t) {
		if fault := ask(t, ch.HTTPAddr(), "bi", c.Query, dashboard.Params(database)).fault(); fault != "" {
			t.Errorf("%s: %s", c.Title, fault)
		}
	}
}

// The warehouse holds duplicates; what is compared with counts different IDs itself, as a user without final.
func TestChartsCountEachEventOnce(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	const all = "event_type = 'lead.created' AND isNotNull(lead_id)"
	for title, c := range map[string]struct{ column, want string }{
		"Events":       {"events", "SELECT sum(n) FROM (SELECT uniqExact(event_id) AS n FROM merge('leadron', '_events$'))"},
		"Leads":        {"created", "SELECT uniqExact(lead_id) FROM leadron.lead_events WHERE " + all},
		"Won":          {"won", "SELECT count() FROM leadron.opportunities WHERE status = 'won'"},
		"Dead letters": {"received", "SELECT uniqExact((topic_epoch, kafka_partition, kafka_offset)) FROM leadron.dead_letters"},
	} {
		i := slices.IndexFunc(charts(t), func(c dashboard.Chart) bool { return strings.HasPrefix(c.Title, title) })
		if i < 0 {
			t.Fatalf("no chart %s", title)
		}
		params := dashboard.Params(s.Database)
		params["seconds"], params["rounding"] = fmt.Sprint(200*86400), "86400"
		for _, user := range []string{"bi", "default"} { // who opens it may have no setting final
			got, want := ask(t, s.ClickHouse.HTTPAddr(), user, charts(t)[i].Query, params).sum(c.column), s.Query(t, c.want)
			if fmt.Sprint(int(got)) != want || got == 0 {
				t.Errorf("%s, asked by %s: %v, want %s", title, user, got, want)
			}
		}
	}
}

// The state is read as the page does: the part behind the #, base64, JSON.
func TestTheLinkCarriesTheChartsAndNoSecret(t *testing.T) {
	t.Parallel()
	link, err := dashboard.Link("http://warehouse.example:8123/", "bi", "leadron_2")
	if err != nil {
		t.Fatal(err)
	}
	page, fragment, _ := strings.Cut(link, "#")
	if page != "http://warehouse.example:8123/dashboard" {
		t.Errorf("got %s", page)
	}
	// What lz-string takes for the end of an empty text: without it the page may read something else.
	if !strings.HasPrefix(fragment, "eyJ") {
		t.Errorf("the state begins with %.10s", fragment)
	}
	text, err := base64.StdEncoding.DecodeString(fragment)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(got)); strings.Join(names, " ") != "host params queries user" {
		t.Errorf("the state holds %v", names)
	}
	if got["host"] != "http://warehouse.example:8123" || got["user"] != "bi" || len(got["queries"].([]any)) != len(charts(t)) ||
		got["params"].(map[string]any)["database"] != "leadron_2" {
		t.Errorf("got %s", text)
	}
}

func TestWhatIsNoAddressIsRefused(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"", "warehouse:8123", "clickhouse://warehouse:9000", "http://", "http://bi:secret@warehouse:8123"} {
		link, err := dashboard.Link(server, "bi", "leadron")
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %s, %v", server, link, err)
		}
	}
}
