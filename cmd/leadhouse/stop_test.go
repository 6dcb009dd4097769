package main_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestStopIngest stops ingest with SIGTERM under load: it fails its readiness first, still takes deliveries, and ends with
// every receipt in Kafka.
func TestStopIngest(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	ingest := p.startIngest("--drain-delay", "2s")
	p.startSink()
	sender, sent := p.load(local.SenderConfig{Rate: 300, Attempts: 100, Backoff: 50 * time.Millisecond, MaxBackoff: 500 * time.Millisecond}, 1500)
	p.await("deliveries are under way", func() (bool, string) { return sender.Journal().Accepted() > 200, "too few receipts" })

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ingest.Stop()
	}()
	p.await("readiness fails", func() (bool, string) {
		status, body := get(t, "http://"+p.ingestAdmin+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "draining"), fmt.Sprintf("%d %s", status, body)
	})
	body := []byte(`{"id":"evt_late","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{"leadId":"ld_1"}}`)
	if status := p.post(body, local.Sign(secret, body)); status != http.StatusAccepted {
		t.Errorf("a delivery during --drain-delay got %d, want 202", status)
	}
	<-stopped
	if code := ingest.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	p.startIngest()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.awaitDrained()
	p.check(sender.Journal())
}

// TestStopSink stops the sink with SIGTERM under load: what it has inserted is committed, so nothing is read twice.
func TestStopSink(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	p.startIngest()
	p.query("SYSTEM STOP MERGES DATABASE.deliveries") // a row that is written twice stays twice
	sink := p.startSink()
	sender, sent := p.load(local.SenderConfig{Rate: 300}, 1500)
	p.await("the sink inserts", func() (bool, string) { return p.count("SELECT count() FROM DATABASE.deliveries") > 200, "too few rows" })

	sink.Stop()
	if code := sink.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for partition, committed := range p.committed() {
		inserted := p.count(fmt.Sprintf("SELECT count() FROM DATABASE.deliveries WHERE kafka_partition = %d", partition))
		if max(committed, 0) != inserted {
			t.Errorf("partition %d: committed %d after the stop, and inserted %d", partition, committed, inserted)
		}
	}

	p.startSink()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.awaitDrained()
	p.check(sender.Journal())
	if raw, records := p.count("SELECT count() FROM DATABASE.deliveries"), p.records(); raw != records {
		t.Errorf("the ledger has %d rows before merging for %d records: some were read twice", raw, records)
	}
}

// TestSecondSignalKills: whoever sends a second one does not want to wait.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	cmd := exec.Command(binary(t), "ingest", "--kafka-create-topic", "--drain-delay", "1h",
		"--listen", p.ingestAddr, "--admin-addr", p.ingestAdmin, "--kafka-brokers", p.brokers[0])
	cmd.Env = append(os.Environ(), "LEADHOUSE_WEBHOOK_SECRETS=main="+secret)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ready := func(want int) {
		p.await("readiness", func() (bool, string) {
			status, body := get(t, "http://"+p.ingestAdmin+"/readyz")
			return status == want, body
		})
	}
	ready(http.StatusOK)
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if sig == syscall.SIGTERM {
			ready(http.StatusServiceUnavailable)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its error is what is looked at below
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-ended
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v, want by the second signal", cmd.ProcessState)
	}
}
