package main

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/leadhouse/leadhouse/"

// The import direction: cmd → ingest | sink | backfill → schema. The middle three never import each other, flags live in
// cmd alone, and the embedded stack is for demo, benches and tests.
func TestImportDirection(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"schema": {}, "ingest": {"schema"}, "sink": {"schema"}, "backfill": {"schema"},
		"cmd/leadhouse": {"schema", "ingest", "sink", "backfill"},
		"cmd/demo":      {"schema", "deploy/local", "deploy/clickhouse"},
		"cmd/bench":     {"schema", "deploy/local", "deploy/clickhouse/dashboard"},
		"cmd/chaos":     {"schema", "deploy/local"},
		"deploy/local":  {"schema"},
		"deploy/bi":     {"schema", "backfill", "deploy/local"}, // for tests alone

		"deploy/clickhouse/dashboard": {}, "deploy/grafana": {}, "deploy/watch": {}, "deploy/superset": {},
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		from := strings.TrimPrefix(words[0], module)
		for parent := range allowed { // a folder inside a stage belongs to it
			if strings.HasPrefix(from, parent+"/") {
				from = parent
			}
		}
		may, known := allowed[from]
		if !known {
			t.Errorf("%s: a package the design does not name", from)
		}
		seen++
		for _, to := range words[1:] {
			if to == "github.com/urfave/cli/v2" && !strings.HasPrefix(from, "cmd/") {
				t.Errorf("%s imports %s: flags live in cmd", from, to)
			}
			inner, own := strings.CutPrefix(to, module)
			if own && inner != from && !strings.HasPrefix(inner, from+"/") && !contains(may, inner) {
				t.Errorf("%s imports %s: it may import %v", from, inner, may)
			}
		}
	}
	if seen < 5 {
		t.Errorf("packages seen: %d", seen)
	}
}

func contains(parents []string, path string) bool {
	for _, p := range parents {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}
