//go:build deploy

package watch_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// quiet are the metrics without a series on a healthy system, with the reason. What is listed and there after all is an
// error too.
var quiet = map[string]string{
	"leadhouse_sink_open_gap_offsets":     "a partition has a series once records of it were lost",
	"leadhouse_sink_retries_total":        "a series for each kind of trouble that was met",
	"leadhouse_sink_refused_blocks_total": "a series for each table of which rows were refused",

	"ClickHouseAsyncMetrics_MaxPartCountForPartition":         embedded,
	"ClickHouseAsyncMetrics_FilesystemMainPathAvailableBytes": embedded,
	"ClickHouseAsyncMetrics_FilesystemMainPathTotalBytes":     embedded,
}

const embedded = "the embedded clickhouse-local measures no asynchronous metrics; a server does"

// silent are the panels without a series on a healthy system, beside those that ask nothing but quiet metrics.
var silent = map[string]string{
	"Oldest flush": "no flush is under way most of the time",
}

// TestEverythingIsThereInTheRunningProcesses asks a real Prometheus that scrapes real processes.
func TestEverythingIsThereInTheRunningProcesses(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.checkMetrics()
	s.checkIdle()
	s.traffic()
	s.await("the alert for the malformed deliveries fires", func() (bool, string) {
		firing := s.query(`ALERTS{alertstate="firing"}`)
		return len(firing) > 0 && firing[0].Metric["alertname"] == "LeadhouseDeadLetters", fmt.Sprint(firing)
	})
	s.checkRules()
	for _, r := range rules(t) {
		s.checkQuery(r.Alert+r.Record, r.Expr, true)
	}
	asked := 0
	forEachPanel(t, func(d dashboard, p panel) {
		for _, q := range p.Targets {
			s.checkQuery(d.UID+", "+p.Title, q.Expr, silent[p.Title] != "")
			asked++
		}
	})
	if asked < 60 {
		t.Errorf("queries asked: %d", asked)
	}
	s.checkVariables()
	s.checkTrouble()
}

// checkTrouble: with ClickHouse gone, what the critical alerts of sink stand on is seen by Prometheus.
func (s *stack) checkTrouble() {
	s.Helper()
	s.clickhouse.Kill()
	s.send(local.Journeys{Seed: 2, Events: 20}.All())
	for _, expr := range []string{
		`ALERTS{alertname="LeadhouseSinkNotReady",alertstate="pending"}`,
		`time() - (leadhouse_sink_flush_began_timestamp_seconds > 0) > 3`,
		`namespace_job_account:leadhouse_sink_lag:sum > 0`,
		`leadhouse_sink_retries_total{state="insert",verdict="retryable"} > 0`,
	} {
		s.await("with ClickHouse gone: "+expr, func() (bool, string) {
			answer, err := s.ask(expr)
			return len(answer) > 0, fmt.Sprint(err)
		})
	}
	if answer := s.query("leadhouse_ingest_ready == 0"); len(answer) > 0 {
		s.Errorf("ingest is not ready without ClickHouse: %v", answer)
	}
}

// checkMetrics has every metric judged by Prometheus's own rules of naming, and looks for what nobody can read.
func (s *stack) checkMetrics() {
	s.Helper()
	for _, admin := range []string{s.ingestAdmin, s.tlsAdmin, s.sinkAdmin} {
		status, text := s.get("http://" + admin + "/metrics")
		if status != 200 {
			s.Fatalf("%s: %d %s", admin, status, text)
		}
		promtool(s.T, strings.NewReader(text), "check", "metrics")
		if n := strings.Count(text, "\n"); n > 1500 {
			s.Errorf("%s: %d lines of metrics without any traffic", admin, n)
		}
	}
}

// checkIdle: nothing fires, and nothing is about to, before the first delivery.
func (s *stack) checkIdle() {
	s.Helper()
	s.await("no alert is active", func() (bool, string) {
		active, err := s.ask("ALERTS")
		return err == nil && len(active) == 0, fmt.Sprint(active, err)
	})
	if fired, err := s.ask(`count_over_time(ALERTS{alertstate="firing"}[10m])`); err != nil || len(fired) > 0 {
		s.Errorf("on a fresh installation: %v, %v", fired, err)
	}
}

// checkRules: Prometheus has evaluated every rule without an error.
func (s *stack) checkRules() {
	s.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	s.fatal(s.api("rules", &data))
	seen := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			seen++
			if r.Health != "ok" || r.LastError != "" {
				s.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if want := len(rules(s.T)); seen != want {
		s.Errorf("Prometheus has %d rules, the files %d", seen, want)
	}
}

// checkQuery asks a query, which has an answer unless it may be empty, and every metric in it by itself, which has a series
// unless it is quiet.
func (s *stack) checkQuery(name, expr string, mayBeEmpty bool) {
	s.Helper()
	expr = strings.NewReplacer("$namespace", ".*", "$clickhouse", ".*clickhouse.*", "$__rate_interval", "30s", "$__range", "5m").Replace(expr)
	found := selectors(expr)
	if len(found) == 0 {
		s.Errorf("%s asks for no metric of ours: %s", name, expr)
	}
	allQuiet := true
	for _, selector := range found {
		series, err := s.ask(selector)
		metric, _, _ := strings.Cut(selector, "{")
		switch {
		case err != nil:
			s.Errorf("%s: %s: %v", name, selector, err)
		case len(series) == 0 && quiet[metric] == "":
			s.Errorf("%s: no series for %s", name, selector)
		case len(series) > 0 && quiet[metric] != "":
			s.Errorf("%s: there is a series for %s, which is listed as quiet: %s", name, selector, quiet[metric])
		}
		allQuiet = allQuiet && quiet[metric] != ""
	}
	answer, err := s.ask(expr)
	if err != nil || len(answer) == 0 && !mayBeEmpty && !allQuiet {
		s.Errorf("%s: %d series, %v: %s", name, len(answer), err, expr)
	}
}

// checkVariables: the metric that a dashboard's choice is made from is there.
func (s *stack) checkVariables() {
	s.Helper()
	for _, d := range dashboards(s.T) {
		for _, v := range d.Templating.List {
			ask, known := v.Query.(map[string]any)
			if v.Type != "query" || !known {
				continue
			}
			inner, found := strings.CutPrefix(fmt.Sprint(ask["query"]), "label_values(")
			metric, label, comma := strings.Cut(strings.TrimSuffix(inner, ")"), ", ")
			if series, err := s.ask(metric); !found || !comma || label == "" || err != nil || len(series) == 0 {
				s.Errorf("%s: the variable %s: %v, %d series, %v", d.UID, v.Name, ask["query"], len(series), err)
			}
		}
	}
}
