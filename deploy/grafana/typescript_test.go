//go:build bi

package grafana_test

import (
	"path/filepath"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

// Grafana ignores a field that it does not know, and a misspelt one with it: here it is an error.
func TestDashboardsAreWhatGrafanasTypesSay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(bi.Npm(t, "typescript"), "node_modules")
	bi.Output(t, "", []string{"NODE_PATH=" + modules}, "node", append([]string{"typescript/check.cjs"}, files...)...)
}
