package sink_test

import (
	"testing"
	"time"
)

// What has been fetched when the sink is told to stop is inserted and committed, not read again by the next.
func TestAStopFlushesWhatWasFetched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.BatchAge = time.Hour // nothing but the stop ends the batch
	r := w.start(cfg)
	r.awaitReady()
	w.produce(0, events(0, 100)...)
	w.eventually("it is fetched", func() (bool, string) { return w.fetches().offset >= 100, "" })
	r.stop()
	w.check()
	if got := r.metric("leadhouse_sink_abandoned_batches_total"); got != 0 {
		t.Errorf("abandoned_batches_total: %v, want 0", got)
	}
}

// A stop in the middle of a flush waits for it.
func TestAStopWaitsForTheFlushUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	r := w.start(w.config())
	r.awaitReady()
	w.proxy.freeze(true)
	w.produce(0, events(0, 100)...)
	w.eventually("it is fetched", func() (bool, string) { return w.fetches().offset >= 100, "" })
	r.end()
	r.awaitTrouble("group: stopping")
	w.proxy.freeze(false)
	r.stop()
	w.check()
}

// With ClickHouse away a stop does not wait longer than ShutdownTimeout, and commits nothing: the next sink reads it all.
func TestAStopWithClickHouseAwayCommitsNothing(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(*proxy, bool){"unreachable": (*proxy).setAway, "silent": (*proxy).freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			cfg := w.config()
			cfg.ShutdownTimeout = time.Second
			r := w.start(cfg)
			r.awaitReady()
			away(w.proxy, true)
			w.produce(0, events(0, 100)...)
			w.eventually("it is fetched", func() (bool, string) { return w.fetches().offset >= 100, "" })
			began := time.Now()
			r.stop()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the stop took %v, with a ShutdownTimeout of 1 s", took)
			}
			if got := w.committed()[0]; got > 0 {
				t.Errorf("committed %d", got)
			}
			away(w.proxy, false)
			w.start(w.config())
			w.check()
		})
	}
}

// A sink that is stopped before it has found Kafka or ClickHouse returns at once.
func TestAStopAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{noTopic: true})
	r := w.start(w.config())
	r.awaitTrouble("topic: ")
	r.stop()

	w = newWorld(t, worldConfig{noSchema: true})
	r = w.start(w.config())
	r.awaitTrouble("schema: ")
	r.stop()
}

// The sink leaves the group: another takes over at once, and not after the session's time-out.
func TestAStopLeavesTheGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.SessionTimeout = 60 * time.Second
	first := w.start(cfg)
	first.awaitReady()
	first.stop()
	next := w.start(w.config())
	began := time.Now()
	w.produce(0, events(0, 10)...)
	w.check()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the next sink waited %v", took)
	}
	next.stop()
}
