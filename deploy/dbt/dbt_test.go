//go:build bi

package dbt_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

// A project is the shipped one, run somewhere else than in the source tree.
type project struct {
	*testing.T
	s        *bi.Stack
	dir      string
	program  string
	user     string
	source   string // the warehouse's database
	database string // where models go
}

func open(t *testing.T, s *bi.Stack, user, source, database string) project {
	t.Helper()
	venv := bi.Venv(t, "requirements.txt")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	return project{t, s, dir, filepath.Join(venv, "bin", "dbt"), user, source, database}
}

// dbt runs it and returns all that it printed.
func (p project) dbt(args ...string) (string, error) {
	p.Helper()
	cmd := exec.CommandContext(p.Context(), p.program, append([]string{"--no-use-colors"}, args...)...)
	cmd.Dir = p.dir
	cmd.Env = append(
		os.Environ(), "DBT_PROFILES_DIR="+p.dir, "DBT_CLICKHOUSE_HOST="+p.s.Host, "DBT_CLICKHOUSE_PORT="+strconv.Itoa(p.s.HTTPPort),
		"DBT_CLICKHOUSE_USER="+p.user, "DBT_CLICKHOUSE_SCHEMA="+p.database, "LEADHOUSE_CLICKHOUSE_DATABASE="+p.source,
	)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p project) must(args ...string) string {
	p.Helper()
	out, err := p.dbt(args...)
	if err != nil {
		p.Fatalf("dbt %s as %s: %v\n%s", strings.Join(args, " "), p.user, err, out)
	}
	return out
}

func TestBuildAndFreshnessPass(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	marts := s.ClickHouse.Database(t)
	p := open(t, s, "default", s.Database, marts)
	build := p.must("build", "--warn-error")
	if !strings.Contains(build, "ERROR=0") || !strings.Contains(build, "SKIP=0") {
		t.Errorf("build:\n%s", build)
	}
	freshness := p.must("source", "freshness")
	if n := strings.Count(freshness, "PASS freshness of leadhouse_events."); n != 6 {
		t.Errorf("fresh sources: got %d, want 6\n%s", n, freshness)
	}
	// The mart stands on each event once, though the user default sees all rows.
	mart := s.Query(t, "SELECT currency, sum(earned), sum(paid), sum(commissions) FROM "+marts+".partner_commissions_monthly GROUP BY currency ORDER BY currency")
	want := s.Query(t, "SELECT currency, earned, paid, commissions FROM "+s.Database+".commission_totals ORDER BY currency")
	if mart != want || mart == "" {
		t.Errorf("the mart: got\n%s\nwant\n%s", mart, want)
	}
	comment := s.Query(t, "SELECT comment FROM system.columns WHERE database = '"+marts+"' AND table = 'partner_commissions_monthly' AND name = 'month'")
	if comment != "first day of the month, UTC" {
		t.Errorf("the mart's comment: %q", comment)
	}
}

// The user bi has no database of its own: it can test and look, and make nothing.
func TestTheReaderTestsAndMakesNothing(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	p := open(t, s, s.User, s.Database, s.Database)
	p.must("source", "freshness")
	if out := p.must("test", "--select", "source:*", "--exclude", "months_add_up", "--indirect-selection", "cautious"); !strings.Contains(out, "ERROR=0") {
		t.Errorf("test:\n%s", out)
	}
	for _, table := range []string{"lead_events", "commission_events", "other_events"} {
		want := s.Query(t, fmt.Sprintf("SELECT uniqExact(event_id) FROM %s.%s", s.Database, table))
		out := p.must("show", "--output", "json", "--log-format", "text", "--quiet", "--inline", "select toString(count(*)) as n from {{ source('leadhouse_events', '"+table+"') }}")
		if !strings.Contains(out, `"n": "`+want+`"`) {
			t.Errorf("rows of %s: got %s, want %s", table, out, want)
		}
	}
	before := s.Tables(t)
	if out, err := p.dbt("run"); err == nil || !strings.Contains(out, "ACCESS_DENIED") {
		t.Errorf("bi made a table: %v\n%s", err, out)
	}
	if after := s.Tables(t); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("tables: got %v, want %v", after, before)
	}
	p.checkCatalog()
}

// checkCatalog: dbt's documentation has the warehouse's own comments.
func (p project) checkCatalog() {
	p.Helper()
	p.must("docs", "generate", "--no-compile")
	content, err := os.ReadFile(filepath.Join(p.dir, "target", "catalog.json"))
	if err != nil {
		p.Fatal(err)
	}
	var catalog struct {
		Sources map[string]struct {
			Metadata struct{ Name, Comment string }
			Columns  map[string]struct{ Comment string }
		}
	}
	if err := json.Unmarshal(content, &catalog); err != nil {
		p.Fatal(err)
	}
	if len(catalog.Sources) < 19 {
		p.Errorf("the catalog has %d sources", len(catalog.Sources))
	}
	for name, source := range catalog.Sources {
		if source.Metadata.Comment == "" {
			p.Errorf("%s has no comment in the catalog", name)
		}
		for column, c := range source.Columns {
			if c.Comment == "" {
				p.Errorf("%s.%s has no comment in the catalog", name, column)
			}
		}
	}
}

// A violation of each kind of test fails the build: in copies of the views, since the views themselves do not allow any.
func TestAViolationFailsTheBuild(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	source, marts := s.ClickHouse.Database(t), s.ClickHouse.Database(t)
	for _, name := range s.Tables(t) {
		s.Query(t, fmt.Sprintf("CREATE TABLE %[1]s.%[2]s ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM %[3]s.%[2]s SETTINGS final = 1", source, name, s.Database))
	}
	p := open(t, s, "default", source, marts)
	for _, violation := range []string{
		"INSERT INTO %s.commissions SELECT * FROM %[1]s.commissions LIMIT 1",
		"INSERT INTO %s.leads SELECT * FROM %[1]s.leads LIMIT 1",
		"INSERT INTO %s.lead_status_history SELECT * REPLACE ('ld_none' AS lead_id) FROM %[1]s.lead_status_history LIMIT 1",
		"INSERT INTO %s.opportunities SELECT * REPLACE ('opp_new' AS opportunity_id, 'lurking' AS status) FROM %[1]s.opportunities LIMIT 1",
	} {
		s.Query(t, fmt.Sprintf(violation, source))
	}
	out, err := p.dbt("build")
	if err == nil {
		t.Fatalf("the build passed\n%s", out)
	}
	for _, want := range []string{
		"ERROR=4", "FAIL 1 commissions_are_one_row_per_currency", "FAIL 1 source_unique_leadhouse_leads_lead_id", "FAIL 1 source_relationships_leadhouse_lead_status_history",
		"FAIL 1 source_accepted_values_leadhouse_opportunities_status",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the build does not say %q\n%s", want, out)
		}
	}
}
