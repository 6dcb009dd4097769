package watch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// A rule is one of prometheus/*.rules.yml.
type rule struct {
	Alert, Record, Expr, For string
	Labels, Annotations      map[string]string
}

// decode reads a file into a structure that knows all its fields.
func decode(t *testing.T, file string, into any) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	decoder := yaml.NewDecoder(f)
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func matching(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}

// rules are all of them, those that record too.
func rules(t *testing.T) (all []rule) {
	t.Helper()
	for _, file := range matching(t, "prometheus/*.rules.yml") {
		var content struct {
			Groups []struct {
				Name  string
				Rules []rule
			}
		}
		decode(t, file, &content)
		for _, g := range content.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

// alerts are the rules that alert; two of one name differ in severity.
func alerts(t *testing.T) []rule {
	t.Helper()
	return slices.DeleteFunc(rules(t), func(r rule) bool { return r.Alert == "" })
}

const runbookURL = "https://github.com/leadhouse/leadhouse/blob/main/deploy/watch/runbooks.md#"

func TestAlertsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, a := range alerts(t) {
		severity := a.Labels["severity"]
		if key := a.Alert + severity; !strings.HasPrefix(a.Alert, "Leadhouse") || seen[key] {
			t.Errorf("%s, %s: no name of ours, or twice", a.Alert, severity)
		} else {
			seen[key] = true
		}
		if severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q", a.Alert, severity)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s: no summary or no description", a.Alert)
		}
		if got, want := a.Annotations["runbook_url"], runbookURL+strings.ToLower(a.Alert); got != want {
			t.Errorf("%s: runbook_url %s, want %s", a.Alert, got, want)
		}
	}
	if len(seen) < 25 {
		t.Errorf("alerts: %d", len(seen))
	}
}

// Each alert has a section, in three parts that are not empty, and each section an alert.
func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range strings.SplitSeq("\n"+string(text), "\n## ") {
		name, body, _ := strings.Cut(section, "\n")
		sections[name] = body
	}
	for _, a := range alerts(t) {
		body, known := sections[a.Alert]
		if !known {
			t.Errorf("runbooks.md has no section %s", a.Alert)
			continue
		}
		for _, part := range []string{"**What it means.** ", "**How to look.** ", "**What to do.** "} {
			if _, after, found := strings.Cut(body, part); !found || len(after) < 20 {
				t.Errorf("runbooks.md, %s: no %s", a.Alert, part)
			}
		}
	}
	for name := range sections {
		if strings.HasPrefix(name, "Leadhouse") && !slices.ContainsFunc(alerts(t), func(a rule) bool { return a.Alert == name }) {
			t.Errorf("runbooks.md has a section of %s, which is no alert", name)
		}
	}
}

// promtool runs these (promtool_test.go); here is seen to it that none is left out.
func TestEveryAlertIsTestedFiringAndSilent(t *testing.T) {
	t.Parallel()
	about := regexp.MustCompile(`alertname="(\w+)",severity="(\w+)",alertstate="firing"`)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, file := range matching(t, "prometheus/tests/*.test.yml") {
		var content struct {
			RuleFiles []string `yaml:"rule_files"`
			Interval  string   `yaml:"evaluation_interval"`
			Tests     []struct {
				Name, Interval string
				InputSeries    []struct{ Series, Values string } `yaml:"input_series"`
				PromqlExprTest []struct {
					Expr       string
					EvalTime   string `yaml:"eval_time"`
					ExpSamples []struct {
						Labels string
						Value  float64
					} `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			}
		}
		decode(t, file, &content)
		for _, test := range content.Tests {
			for _, look := range test.PromqlExprTest {
				if m := about.FindStringSubmatch(look.Expr); m != nil {
					key := m[1] + ", " + m[2]
					fires[key] = fires[key] || len(look.ExpSamples) > 0
					silent[key] = silent[key] || len(look.ExpSamples) == 0
				}
			}
		}
	}
	for _, a := range alerts(t) {
		key := a.Alert + ", " + a.Labels["severity"]
		// One without a `for`, about what is there until somebody acts, has its silence beside it and after it.
		if !fires[key] || !silent[key] {
			t.Errorf("%s: fires in a test: %t, is silent in one: %t", key, fires[key], silent[key])
		}
	}
}
