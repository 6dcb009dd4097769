package sink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// A batch that does not get in is seen in the metrics while it does not: what is observed of a batch at its end says nothing
// then. Alerts stand on this (deploy/watch).
func TestABatchThatDoesNotGetInIsSeenInTheMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(`INSERT INTO {db}.lead_events (event_id) VALUES ('a part')`)
	w.exec(`ALTER TABLE {db}.lead_events MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 0`)
	r := w.start(w.config())
	for _, reason := range schema.Reasons() { // an increase counts from a series' first sample
		if _, body := r.get("/metrics"); !strings.Contains(body, fmt.Sprintf("leadhouse_sink_dead_letters_total{reason=%q} 0\n", reason)) {
			t.Errorf("no dead_letters_total of %s before the first", reason)
		}
	}
	r.awaitReady()
	if got := r.metric("leadhouse_sink_ready"); got != 1 {
		t.Errorf("ready: got %v, want 1", got)
	}
	if got := r.metric("leadhouse_sink_flush_began_timestamp_seconds"); got != 0 {
		t.Errorf("flush_began with nothing to flush: got %v, want 0", got)
	}

	before := time.Now()
	w.produce(0, events(0, 20)...)
	r.awaitTrouble("insert: retryable: ClickHouse code 252")
	began := r.metric("leadhouse_sink_flush_began_timestamp_seconds")
	if at := time.UnixMilli(int64(began * 1000)); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("flush_began: got %v, want between %v and now", at, before)
	}
	r.eventually("lag of a group that has committed nothing, of a sink that is not ready", func() (bool, string) {
		lag, ready, parts := r.metric(`leadhouse_sink_lag{partition="0"}`), r.metric("leadhouse_sink_ready"), r.metric("leadhouse_sink_too_many_parts_total")
		return lag == 20 && ready == 0 && parts > 1, fmt.Sprint(lag, ready, parts)
	})
	if got := r.metric("leadhouse_sink_flush_began_timestamp_seconds"); got != began {
		t.Errorf("flush_began after more attempts: got %v, want %v", got, began)
	}

	w.exec(`ALTER TABLE {db}.lead_events MODIFY SETTING parts_to_throw_insert = 3000`)
	r.eventually("all is well", func() (bool, string) {
		lag, ready, began := r.metric(`leadhouse_sink_lag{partition="0"}`), r.metric("leadhouse_sink_ready"), r.metric("leadhouse_sink_flush_began_timestamp_seconds")
		return lag == 0 && ready == 1 && began == 0, fmt.Sprint(lag, ready, began)
	})
}

// A batch that is given up is no flush any more.
func TestAnAbandonedFlushIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.ShutdownTimeout = 100 * time.Millisecond
	r := w.start(cfg)
	r.awaitReady()
	w.proxy.setAway(true)
	w.produce(0, events(0, 20)...)
	r.eventually("a flush is under way", func() (bool, string) {
		return r.metric("leadhouse_sink_flush_began_timestamp_seconds") > 0, ""
	})
	r.stop()
	if got := r.metric("leadhouse_sink_flush_began_timestamp_seconds"); got != 0 {
		t.Errorf("flush_began of an abandoned batch: got %v", got)
	}
	w.proxy.setAway(false)
}
