package main_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// disk is a small file system of its own, which a test fills up.
type disk struct {
	t       *testing.T
	dir     string
	ballast string
}

// newDisk mounts one. Where that is not allowed the test is skipped; what the sink does about ClickHouse's code is tested
// without a mount too (sink, TestADiskThatIsFullIsWaitedFor).
func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no small disk to fill: mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &disk{t: t, dir: dir, ballast: filepath.Join(dir, "ballast")}
}

// fill leaves no byte.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// clear takes the ballast away again.
func (d *disk) clear() {
	d.t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		d.t.Fatal(err)
	}
}

// ClickHouse's disk is full, for real: the sink keeps the batch, commits nothing, is not ready and says why, ingest goes on
// accepting; and with space on the disk everything goes in.
func TestClickHouseDiskFull(t *testing.T) {
	t.Parallel()
	d := newDisk(t, "400m")
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{Dir: filepath.Join(d.dir, "clickhouse"), LogFile: filepath.Join(t.TempDir(), "clickhouse.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{kfake.GroupMinSessionTimeout(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	p := newPipelineWith(t, ch, k.Brokers(), &kafka.Transport{})
	p.session = append(shortSession, "--retry-max", "500ms")
	p.startIngest()
	sink := p.startSink()
	p.awaitReady(sink, p.sinkAdmin)
	first, sent := p.load(local.SenderConfig{Rate: 1000}, 300)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.awaitCommitted()

	before := p.committed()
	d.fill()
	second, sent := p.load(local.SenderConfig{Rate: 1000}, 600)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.await("readiness names the insert", func() (bool, string) {
		status, body := get(t, "http://"+p.sinkAdmin+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"part":"insert"`), body
	})
	if _, body := get(t, "http://"+p.sinkAdmin+"/readyz"); !strings.Contains(body, "243") && !strings.Contains(body, "space") {
		t.Errorf("readiness does not say that there is no space: %s", body)
	}
	for partition, offset := range p.committed() {
		if offset != before[partition] {
			t.Errorf("partition %d: committed %d with the disk full, and %d before", partition, offset, before[partition])
		}
	}
	d.clear()
	p.awaitDrained()
	p.awaitCommitted()
	p.check(first.Journal(), second.Journal())
	p.awaitReady(sink, p.sinkAdmin)
	if dead := p.count("SELECT count() FROM DATABASE.dead_letters"); dead != 0 {
		t.Errorf("%d dead letters, for a fault that is not the rows'", dead)
	}
}
