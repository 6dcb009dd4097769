//go:build deploy

package watch_test

import (
	"path/filepath"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

// Grafana ignores a field that it does not know, and a misspelt one with it: here it is an error.
func TestDashboardsAreWhatGrafanasTypesSay(t *testing.T) {
	t.Parallel()
	const checker = "../grafana/typescript"
	modules := filepath.Join(bi.Npm(t, checker), "node_modules")
	bi.Output(t, "", []string{"NODE_PATH=" + modules}, "node", append([]string{checker + "/check.cjs"}, matching(t, "grafana/*.json")...)...)
}
