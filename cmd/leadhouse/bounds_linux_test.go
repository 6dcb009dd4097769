package main_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// outage is how long ClickHouse is away once the sink has all that it will hold. Memory stands still from then on, which
// seconds show as well as minutes; the long form is
//
//	go test ./cmd/leadhouse -run TestSinkIsBoundedWhileClickHouseIsAway -outage 5m -timeout 20m -v
var outage = flag.Duration("outage", 5*time.Second, "how long ClickHouse is away in TestSinkIsBoundedWhileClickHouseIsAway")

// A real sink at full input (in the long form with the batches of production), whose ClickHouse is killed: **two batches, one fetch a
// partition, and then it stands still**, however long that lasts and however many partitions there are. When ClickHouse
// is back the sink catches up in full batches, as fast as before.
func TestSinkIsBoundedWhileClickHouseIsAway(t *testing.T) { // not beside others: it measures
	for _, partitions := range []int{3, 100} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			b := newBounded(t, partitions)
			batch, backlog := 32<<20, 150_000 // records of 1 KiB: more than fit into two batches and the fetches
			if *outage < time.Minute || raced() {
				batch, backlog = batch/4, backlog/4 // the same in a quarter of the time; the race detector's own memory is a multiple
			}
			sink := b.startSink("--batch-bytes", strconv.Itoa(batch))
			b.awaitReady(sink, b.sinkAdmin)

			// Before: the same backlog with ClickHouse there.
			b.input(backlog)
			before := b.catchUp("before", sink.PID())

			b.clickhouse.Kill()
			b.input(backlog)
			stop := b.trickle(2000)
			b.awaitStill()
			full := resident(t, sink.PID(), "VmRSS")
			forgetPeak(t, sink.PID())
			timer := time.NewTimer(*outage)
			tick := time.NewTicker(max(*outage/10, time.Second))
			for away := true; away; {
				select {
				case <-tick.C:
					t.Logf("away: %d MiB resident", resident(t, sink.PID(), "VmRSS")>>20)
				case <-timer.C:
					away = false
				}
			}
			tick.Stop()
			stop()
			peak := resident(t, sink.PID(), "VmHWM")
			t.Logf("%d partitions: %d MiB when both batches were full, at most %d MiB in the %v after", partitions, full>>20, peak>>20, *outage)
			if most := full + full/10 + 16<<20; peak > most {
				t.Errorf("memory grew from %d to %d MiB in an outage", full>>20, peak>>20)
			}
			if err := b.clickhouse.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			after := b.catchUp("after", sink.PID())
			if after.rate < before.rate/10 { // a machine that others use too is slower by a factor at times; one row at a time, by a hundred
				t.Errorf("caught up at %.0f rows/s, and did %.0f before", after.rate, before.rate)
			}
			if after.rowsPerInsert < before.rowsPerInsert/2 {
				t.Errorf("%.0f rows an insert after the outage, and %.0f before", after.rowsPerInsert, before.rowsPerInsert)
			}
			if after.peak > 2*max(before.peak, full) { // the collector lets the heap double, and how far it comes varies
				t.Errorf("catching up took %d MiB, and %d before", after.peak>>20, before.peak>>20)
			}
			if got, want := b.count("SELECT uniqExact(event_id) FROM DATABASE.lead_events"), b.sent.Load(); got != want {
				t.Errorf("%d events are in, want %d", got, want)
			}
		})
	}
}

// bounded is a pipeline without ingest, on a ClickHouse of its own.
type bounded struct {
	*pipeline
	partitions int
	kafka      *local.Kfake
	sent       atomic.Int64
	fetches    atomic.Int64
	producing  sync.Mutex
}

func newBounded(t *testing.T, partitions int) *bounded {
	t.Helper()
	k, err := local.StartKfake(local.KfakeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	b := &bounded{pipeline: newPipelineWith(t, ch, k.Brokers(), &kafka.Transport{}), partitions: partitions, kafka: k}
	if err := k.CreateTopic(topicName, partitions, map[string]string{"max.message.bytes": "8000000"}); err != nil {
		t.Fatal(err)
	}
	k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1, When: func(kmsg.Request) bool {
		b.fetches.Add(1)
		return true
	}})
	return b
}

func (b *bounded) startSink(flags ...string) *local.Program {
	b.t.Helper()
	return b.start("sink", append([]string{"--admin-addr", b.sinkAdmin}, flags...)...)
}

// input produces leads of 1 KiB, 500 a request, to all partitions in turn.
func (b *bounded) input(records int) {
	b.t.Helper()
	for n := 0; n < records; n += 500 {
		if err := b.produce(b.t.Context(), (n/500)%b.partitions, min(500, records-n)); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bounded) produce(ctx context.Context, partition, n int) error {
	b.producing.Lock()
	defer b.producing.Unlock()
	records := make([]kafka.Record, n)
	for i := range records {
		id := b.sent.Load() + int64(i)
		filler := strings.Repeat(fmt.Sprintf("%016x", rand.Uint64()), 53)
		records[i] = kafka.Record{Time: time.Now(), Key: kafka.NewBytes([]byte(fmt.Sprint(id))), Value: kafka.NewBytes(fmt.Appendf(nil,
			`{"id":"evt_%d","type":"lead.created","createdAt":"2026-05-27T23:34:12.345Z","data":{"leadId":"ld_%d","email":"jane%d@acme.com","source":"web_form","note":%q}}`,
			id, id, id, filler))}
	}
	answer, err := b.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topicName, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...), Compression: kafka.Lz4,
	})
	if err == nil {
		err = answer.Error
	}
	if err == nil {
		b.sent.Add(int64(n))
	}
	return err
}

// trickle produces so many records a second until the returned function is called.
func (b *bounded) trickle(rate int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / 10)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				_ = b.produce(context.WithoutCancel(ctx), i%b.partitions, rate/10) // a request that is given up may be written
			case <-ctx.Done():
				return
			}
		}
	}()
	return sync.OnceFunc(func() { cancel(); <-done })
}

// awaitStill waits until no fetch has been asked for in a while: then each fetcher holds one, and both batches are full.
func (b *bounded) awaitStill() {
	b.t.Helper()
	seen, since := int64(-1), time.Now()
	b.await("fetching stands still", func() (bool, string) {
		if n := b.fetches.Load(); n != seen {
			seen, since = n, time.Now()
		}
		return time.Since(since) > 3*time.Second, fmt.Sprint(seen, " fetches")
	})
}

// pace is how a backlog was worked off.
type pace struct {
	rate          float64 // rows a second
	rowsPerInsert float64
	peak          int64 // bytes of memory
}

// catchUp waits until everything is in.
func (b *bounded) catchUp(when string, pid int) pace {
	b.t.Helper()
	forgetPeak(b.t, pid)
	const count, inserts = "SELECT count() FROM DATABASE.deliveries", "SELECT max(max_block_number) FROM system.parts WHERE database = 'DATABASE' AND table = 'lead_events'"
	rows, blocks := b.count(count), b.count(inserts)
	b.await("rows come", func() (bool, string) { return b.count(count) > rows, "none" }) // after a pause of up to --retry-max
	began, first := time.Now(), b.count(count)
	b.await("everything is in", func() (bool, string) {
		have := b.count("SELECT count() FROM DATABASE.deliveries FINAL")
		return have == b.sent.Load(), fmt.Sprintf("%d of %d", have, b.sent.Load())
	})
	rest := b.count(count) - first
	rows, blocks = first+rest-rows, b.count(inserts)-blocks
	p := pace{float64(rest) / time.Since(began).Seconds(), float64(rows) / float64(blocks), resident(b.t, pid, "VmHWM")}
	b.t.Logf("%s: %d rows in %d inserts, %.0f rows/s, at most %d MiB", when, rows, blocks, p.rate, p.peak>>20)
	return p
}

// raced: the program under test is this test's binary, and has the race detector in it.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// resident is what the kernel counts of a process's memory: now (VmRSS), or at most since the last forgetPeak (VmHWM).
func resident(t *testing.T, pid int, field string) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			fmt.Sscan(rest, &bytes)
		}
	}
	return bytes << 10
}

func forgetPeak(t *testing.T, pid int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}
