//go:build deploy

package watch_test

import (
	"io"
	"os/exec"
	"strings"
	"testing"
)

// promtool is Debian's. **A test without it has failed**: skipped, nobody would notice.
func promtool(t *testing.T, stdin io.Reader, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), debian(t, "promtool"), args...)
	cmd.Stdin = stdin
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func debian(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not on the PATH, and this test is about a real Prometheus: apt-get install prometheus", program)
	}
	return path
}

func TestPromtoolTakesTheFiles(t *testing.T) {
	t.Parallel()
	promtool(t, nil, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, matching(t, "prometheus/*.rules.yml")...)...)
	promtool(t, nil, "check", "config", "prometheus/prometheus.yml")
}

func TestAlertsFireAndAreSilent(t *testing.T) {
	t.Parallel()
	promtool(t, nil, append([]string{"test", "rules"}, matching(t, "prometheus/tests/*.test.yml")...)...)
}
