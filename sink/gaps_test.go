package sink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/verify"
)

// truncate is what retention does: the log begins at the offset from now on. The journal forgets what was lost by it, from
// the first offset that no sink had read.
func (w *world) truncate(partition int, lostFrom, start int64) {
	w.Helper()
	if err := w.kafka.Cluster().DeleteRecords(topic, int32(partition), start); err != nil {
		w.Fatal(err)
	}
	w.lose(partition, lostFrom, start)
}

func (w *world) lose(partition int, first, next int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.journal = slices.DeleteFunc(w.journal, func(s sent) bool {
		return s.partition == partition && s.epoch == w.epoch && s.offset >= first && s.offset < next
	})
}

// gaps are the recorded gaps, and how many rows say so.
func (w *world) gaps() []schema.Gap {
	w.Helper()
	gaps, err := schema.Gaps(w.Context(), w.conn, w.db)
	if err != nil {
		w.Fatal(err)
	}
	return gaps
}

// checkGaps asserts that exactly these ranges are recorded, one row each.
func (w *world) checkGaps(want ...string) {
	w.Helper()
	var got []string
	for _, g := range w.gaps() {
		got = append(got, g.Range())
	}
	if !slices.Equal(got, want) {
		w.Errorf("gaps %v, want %v", got, want)
	}
}

// acknowledge does what `leadhouse verify --acknowledge` does with the ranges that readiness names; then the books balance.
func (w *world) acknowledge() {
	w.Helper()
	var lost []verify.Range
	for _, g := range schema.OpenGaps(w.gaps()) {
		r, err := verify.ParseRange(g.Range())
		if err != nil {
			w.Fatal(err)
		}
		lost = append(lost, r)
	}
	w.balance(lost...)
}

// balance is `leadhouse verify`.
func (w *world) balance(acknowledge ...verify.Range) {
	w.Helper()
	v, err := verify.New(verify.Config{Brokers: w.brokers, ClickHouse: w.conn, Database: w.db, Acknowledge: acknowledge})
	if err != nil {
		w.Fatal(err)
	}
	report, err := v.Run(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if !report.Balanced {
		var text strings.Builder
		_ = report.WriteText(&text)
		w.Errorf("the books do not balance:\n%s", text.String())
	}
}

// deleteGroup makes Kafka forget the group, as it does when its offsets expire. The group must have no members.
func (w *world) deleteGroup() {
	w.Helper()
	answer, err := w.client.DeleteGroups(w.Context(), &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err == nil {
		err = answer.Errors[group]
	}
	if err != nil {
		w.Fatalf("delete the group: %v", err)
	}
}

// The whole life of a gap: noticed, recorded, gone over, shown everywhere, acknowledged, forgotten, without a restart.
func TestLostOffsetsAreRecordedAndShownUntilTheyAreAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 2})
	r := w.start(w.config())
	w.spread(2, events(0, 200)...)
	w.check()
	r.stop()
	w.produce(1, events(200, 50)...) // 100 to 149
	w.truncate(1, 100, 130)

	var log, otherLog buffer
	cfg, other := w.config(), w.config()
	cfg.Logger, other.Logger = zerolog.New(&log), zerolog.New(&otherLog)
	sinks := []*running{w.start(cfg), w.start(other)} // one of them has nothing to do with partition 1
	w.check()
	w.checkGaps("1:100-129")
	for _, r := range sinks {
		r.awaitTrouble("gap 1:100-129: offsets lost")
		if ready, why := r.readiness(); ready {
			t.Errorf("ready, with %s", why)
		}
		if _, body := r.get("/readyz"); !strings.Contains(body, "leadhouse verify --acknowledge 1:100-129") || !strings.Contains(body, "offsets 100 to 129") {
			t.Errorf("/readyz does not say what is lost and what to do: %s", body)
		}
		if got := r.metric(`leadhouse_sink_open_gap_offsets{partition="1"}`); got != 30 {
			t.Errorf("open_gap_offsets: %v, want 30", got)
		}
	}
	w.spread(2, events(300, 200)...) // the sinks work on
	w.check()
	w.acknowledge()
	for _, r := range sinks {
		r.awaitReady()
		if got := r.metric(`leadhouse_sink_open_gap_offsets{partition="1"}`); got != 0 {
			t.Errorf("open_gap_offsets after the acknowledgement: %v, want 0", got)
		}
	}
	for _, l := range []*buffer{&log, &otherLog} {
		if got := strings.Count(l.String(), `"level":"error"`); got != 1 {
			t.Errorf("%d lines at level error, want one for the gap:\n%s", got, l.String())
		}
		if !strings.Contains(l.String(), `"first_offset":100,"last_offset":129`) {
			t.Errorf("the log does not name the offsets:\n%s", l.String())
		}
	}
}

// An open gap is shown by a sink that starts, before it is ready for a moment, and logged again.
func TestAnOpenGapIsShownFromTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	gap := schema.Gap{Partition: 7, First: 5, Next: 9, Detail: "test", NoticedAt: time.Now()}
	if err := schema.RecordGap(t.Context(), w.conn, w.db, gap); err != nil {
		t.Fatal(err)
	}
	var log buffer
	cfg := w.config()
	cfg.Logger = zerolog.New(&log)
	r := w.start(cfg)
	w.produce(0, events(0, 10)...)
	w.check()
	if _, why := r.readiness(); why != "gap 7:5-8: offsets lost" {
		t.Errorf("readiness: %q", why)
	}
	if !strings.Contains(log.String(), `"level":"error"`) {
		t.Errorf("nothing in the log:\n%s", log.String())
	}
}

// A crash after a gap was recorded and before the commit moved over it.
func TestAGapThatWasNotCommittedIsRecordedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.produce(0, events(0, 50)...)
	w.commit(kafka.OffsetCommit{Partition: 0, Offset: 10})
	w.truncate(0, 0, 30)
	refused := w.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: -1})
	cfg := w.config()
	cfg.ShutdownTimeout = 500 * time.Millisecond
	r := w.start(cfg)
	r.awaitTrouble("commit")
	w.checkGaps("0:10-29")
	r.stop()
	refused.Remove()
	if got := w.committed()[0]; got != 10 {
		t.Fatalf("committed %d, want 10: the test is to interrupt it", got)
	}
	// Retention goes on, and takes records that were inserted but not committed: they are not lost.
	if err := w.kafka.Cluster().DeleteRecords(topic, 0, 40); err != nil {
		t.Fatal(err)
	}
	w.start(w.config())
	w.check()
	w.checkGaps("0:10-29")
}

// The same with nothing inserted in between: the range is recorded again, as the same row, and stays acknowledged.
func TestAGapThatIsRecordedAgainStaysAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.produce(0, events(0, 50)...)
	w.commit(kafka.OffsetCommit{Partition: 0, Offset: 10})
	w.truncate(0, 0, 30)
	gap := schema.Gap{First: 10, Next: 30, NoticedAt: time.Now(), Acknowledged: true}
	if err := schema.RecordGap(t.Context(), w.conn, w.db, gap); err != nil {
		t.Fatal(err)
	}
	r := w.start(w.config())
	w.check()
	w.checkGaps("0:10-29")
	r.awaitReady()
}

// The gap cannot be recorded for a while: nothing moves on before it is.
func TestNothingMovesOnBeforeAGapIsRecorded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hinder, heal func(w *world)
		says         string
	}{
		"ClickHouse is away": {
			func(w *world) { w.proxy.setAway(true) }, func(w *world) { w.proxy.setAway(false) }, "retryable",
		},
		"the table is missing": {
			func(w *world) { w.exec("DROP TABLE {db}.offset_gaps") }, (*world).builtin, "schema: ClickHouse code 60",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			r := w.start(w.config())
			w.produce(0, events(0, 50)...)
			w.check()
			cut := w.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: -1})
			r.awaitTrouble("fetch partition 0: kafka")
			c.hinder(w)
			w.produce(0, events(50, 50)...)
			w.truncate(0, 50, 80)
			cut.Remove()
			r.awaitTrouble("fetch partition 0: " + c.says)
			w.checkGaps()
			if got := w.fetches().offset; got > 50 {
				t.Errorf("fetched from offset %d, before the gap was recorded", got)
			}
			if got := w.committed()[0]; got != 50 {
				t.Errorf("committed %d, want 50 as before", got)
			}
			c.heal(w)
			w.check()
			w.checkGaps("0:50-79")
			r.awaitTrouble("gap 0:50-79: offsets lost")
		})
	}
}

// ClickHouse is away for longer than Kafka keeps: retention overtakes a sink that runs, with its batches full.
func TestRetentionOvertakesASinkThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.BatchRows = 10
	r := w.start(cfg)
	w.produce(0, events(0, 50)...)
	w.check()
	w.proxy.setAway(true)
	w.produce(0, events(50, 50)...)
	w.eventually("the sink has fetched", func() (bool, string) { return w.fetches().offset >= 100, fmt.Sprint(w.fetches()) })
	r.awaitTrouble("insert: ")
	w.produce(0, events(100, 50)...) // it may hold these by now, or not
	w.produce(0, events(150, 50)...)
	if err := w.kafka.Cluster().DeleteRecords(topic, 0, 180); err != nil {
		t.Fatal(err)
	}
	w.proxy.setAway(false)
	r.awaitTrouble("offsets lost")
	lost := w.gaps()[0]
	if lost.First != 100 && lost.First != 150 && lost.First != 200 || lost.Next != 180 {
		t.Errorf("gap %+v", lost)
	}
	w.lose(0, lost.First, lost.Next)
	w.check()
	w.checkGaps(lost.Range())
}

// Without a committed offset nothing says that a log should begin earlier, except the ledger.
func TestALogThatBeginsLateIsNoGapForANewGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.produce(0, events(0, 50)...)
	w.truncate(0, 0, 30)
	r := w.start(w.config())
	w.check()
	r.awaitReady()
	w.checkGaps()
	r.stop()
	w.deleteGroup() // its offsets have expired
	w.produce(0, events(50, 50)...)
	w.truncate(0, 50, 80)
	r = w.start(w.config())
	w.check()
	w.checkGaps("0:50-79")
	r.stop()
	w.deleteGroup()
	w.start(w.config()) // reads again what is there
	w.check()
	w.checkGaps("0:50-79")
}
