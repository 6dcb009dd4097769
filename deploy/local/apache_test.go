//go:build kafka

package local_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func startApache(t *testing.T, cfg local.ApacheConfig) *local.Apache {
	t.Helper()
	cfg.Progress = func(line string) { t.Log(line) }
	began := time.Now()
	k, err := local.StartApache(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	t.Logf("up after %v", time.Since(began))
	return k
}

func TestApacheKeepsAcknowledgedRecordsAndOffsets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := startApache(t, local.ApacheConfig{Dir: dir})
	if err := k.CreateTopic("events", 1, map[string]string{"cleanup.policy": "delete"}); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, k.Brokers(), "events", "a", "b"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(consume(t, k.Brokers(), "events", "g", 2)); got != "[a b]" {
		t.Errorf("got %s", got)
	}
	brokers := fmt.Sprint(k.Brokers())

	k.Kill()
	if err := produce(t, k.Brokers(), "events", "lost"); err == nil {
		t.Error("produce while away: no error")
	}
	if err := k.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(k.Brokers()); got != brokers {
		t.Errorf("brokers after the restart: got %s, want %s", got, brokers)
	}
	if err := produce(t, k.Brokers(), "events", "c"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(consume(t, k.Brokers(), "events", "g", 1)); got != "[c]" {
		t.Errorf("after the kill: got %s, want [c]", got)
	}

	began := time.Now()
	k.Stop()
	t.Logf("down after %v", time.Since(began))
	k = startApache(t, local.ApacheConfig{Dir: dir})
	if got := fmt.Sprint(consume(t, k.Brokers(), "events", "other", 3)); got != "[a b c]" {
		t.Errorf("another broker on the same data: got %s, want [a b c]", got)
	}
}

func TestApachePauseHangsAndContinueGoesOn(t *testing.T) {
	t.Parallel()
	k := startApache(t, local.ApacheConfig{Properties: []string{"message.max.bytes=2000000"}})
	if err := k.CreateTopic("events", 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := k.Pause(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() { answered <- produce(t, k.Brokers(), "events", "a") }()
	select {
	case err := <-answered:
		t.Errorf("a paused broker answered: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if err := k.Continue(); err != nil {
		t.Fatal(err)
	}
	<-answered
	if err := produce(t, k.Brokers(), "events", "b"); err != nil {
		t.Error(err)
	}
}

func TestApacheDiesWithItsKilledOwner(t *testing.T) {
	t.Parallel()
	cmd, lines := startRole(t, "apache")
	defer killRole(cmd)
	if !lines.Scan() {
		t.Fatal("the owner ended early")
	}
	killRole(cmd)
	eventually(t, "the broker died with its owner", func() bool {
		c, err := net.Dial("tcp", lines.Text())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}
