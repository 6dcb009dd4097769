//go:build kafka

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestKafkaClockSetBack sets the clock of ingest and of sink back an hour while deliveries flow: every time-out goes on,
// every promise holds, and the rows show the times as they were read. With the tag kafka because it builds a leadhouse of
// its own, which takes a minute.
func TestKafkaClockSetBack(t *testing.T) {
	k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{kfake.GroupMinSessionTimeout(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	p := newPipelineOn(t, k.Brokers(), &kafka.Transport{})
	p.session, p.binary = shortSession, buildWithClock(t)
	p.env = []string{"LEADHOUSE_TEST_CLOCK=-3600"} // 5 s after the process's start
	p.startIngest()
	sink := p.startSink()
	p.awaitReady(sink, p.sinkAdmin)
	const deliveries = 3000
	sender, sent := p.load(local.SenderConfig{Duplicates: 0.05, Rate: 300}, deliveries) // 10 s
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.awaitDrained()
	p.awaitCommitted()
	p.check(sender.Journal())
	p.checkAllSent(sender, deliveries)
	p.awaitReady(sink, p.sinkAdmin)
	for _, column := range []string{"_received_at", "_loaded_at"} {
		before, after := p.count("SELECT countIf("+column+" > now() - 1800) FROM merge('DATABASE', '_events$')"), p.count("SELECT countIf("+column+" < now() - 1800) FROM merge('DATABASE', '_events$')")
		if before == 0 || after == 0 {
			t.Errorf("%s: %d rows before the clock was set back and %d after: want both", column, before, after)
		}
	}
	// Nothing took the step for an outage or a lost session.
	if log := logOf(t, sink); strings.Count(log, "joined the group") != 1 || strings.Contains(log, "trouble, trying again") {
		t.Errorf("the sink noticed: %s", tail(log, 3000))
	}
}

// buildWithClock builds a leadhouse whose time.Now a variable sets: libfaketime does not reach Go, which reads the clock
// without libc. Monotonic readings stay what they are, as they do when a machine's clock is set.
func buildWithClock(t *testing.T) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", `
var testClock, testClockSet = syscall.Getenv("LEADHOUSE_TEST_CLOCK")

func testStep() (sec int64) {
	for _, c := range []byte(testClock[1:]) { // after the sign
		sec = 10*sec + int64(c-'0')
	}
	return -sec
}

func Now() Time {
	sec, nsec, mono := runtimeNow()
	if testClockSet && mono-startNano > 5e9 {
		sec += testStep()
	}
`
	if strings.Count(string(text), from) != 1 {
		t.Fatalf("time.Now of %s is not what this test knows", runtime.Version())
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "time.go")
	text = []byte(strings.Replace(strings.Replace(string(text), from, to, 1), "import (\n", "import (\n\t\"syscall\"\n", 1))
	if err := os.WriteFile(changed, text, 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	overlayFile, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "leadhouse")
	if err := os.WriteFile(overlayFile, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlayFile, "-o", program, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build with another clock: %v\n%s", err, out)
	}
	return program
}
