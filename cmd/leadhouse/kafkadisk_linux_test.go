//go:build kafka

package main_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// Kafka's disk is full, for real: a broker that cannot write gives its log directory up, and with the only one itself. No
// delivery gets a 2xx for what is not written, and when there is space and the broker is back, everything goes on.
func TestKafkaDiskFull(t *testing.T) {
	d := newDisk(t, "200m")
	k := startApache(t, local.ApacheConfig{Dir: filepath.Join(d.dir, "kafka"), LogFile: filepath.Join(t.TempDir(), "kafka.log"), Properties: []string{
		"group.min.session.timeout.ms=1000", "log.index.size.max.bytes=1048576", "log.segment.bytes=10485760",
	}})
	p := newPipelineOn(t, k.Brokers(), &kafka.Transport{})
	p.session = shortSession
	p.startIngest("--ack-timeout", "2s")
	sink := p.startSink()
	p.awaitReady(sink, p.sinkAdmin)
	first, sent := p.load(local.SenderConfig{Rate: 1000}, 300)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.awaitDrained()

	d.fill()
	second, sent := p.load(local.SenderConfig{Rate: 300, Attempts: 200, Backoff: 50 * time.Millisecond, MaxBackoff: time.Second}, 600)
	p.await("ingest is not ready", func() (bool, string) {
		status, body := get(t, "http://"+p.ingestAdmin+"/readyz")
		return status == http.StatusServiceUnavailable, body
	})
	accepted := second.Journal().Accepted()
	pause(t, 2*time.Second)
	t.Logf("the broker's process is %d; %d receipts were given before it was full", k.PID(), accepted)
	if now := second.Journal().Accepted(); now != accepted {
		t.Errorf("%d receipts without a disk to write to", now-accepted)
	}
	d.clear()
	if err := k.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.client.Transport.(*kafka.Transport).CloseIdleConnections()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.awaitDrained()
	p.awaitCommitted()
	p.check(first.Journal(), second.Journal())
	if n := len(second.Journal().Abandoned()); n > 0 {
		t.Errorf("%d deliveries were given up", n)
	}
	if log := logOf(t, sink); strings.Contains(log, "panic") {
		t.Error("sink panicked")
	}
}
