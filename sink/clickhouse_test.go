package sink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/sink"
)

// Each INSERT of a batch, broken in each way: whichever it is, everything is there once, and no token lets rows in twice.
func TestAnInsertThatFailsIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"before the write": cutBefore, "answer lost after the write": loseAnswer, "no answer": silence} {
		for _, table := range []string{"lead_events", "other_events", "dead_letters", "deliveries"} {
			t.Run(name+"/"+table, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, worldConfig{})
				w.produce(0, events(0, 70)...)
				w.produce(0, bad("{", "invalid_json"))
				w.proxy.arm(table, f)
				cfg := w.config()
				if f == silence {
					cfg.InsertTimeout = 500 * time.Millisecond // the only way to notice
				}
				r := w.start(cfg)
				w.check()
				if got := w.proxy.struck(); got != 1 {
					t.Errorf("the proxy broke %d inserts, want 1", got)
				}
				// Without FINAL, too: the rows of an insert whose answer was lost are not written a second time.
				for _, got := range scan[struct {
					N uint64 `ch:"n"`
				}](w, `SELECT count() AS n FROM {db}.`+table) {
					if want := uint64(len(w.rowsOf(table))); got.N != want {
						t.Errorf("%s holds %d rows, want %d", table, got.N, want)
					}
				}
				r.awaitReady()
			})
		}
	}
}

// rowsOf are the journaled records that have a row in the table.
func (w *world) rowsOf(table string) (rows []sent) {
	for _, s := range w.journal {
		if table == "deliveries" || s.table == table || s.id == "" && table == "dead_letters" {
			rows = append(rows, s)
		}
	}
	return rows
}

func TestClickHouseMayBeAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(*proxy, bool){"unreachable": (*proxy).setAway, "silent": (*proxy).freeze} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{partitions: 2})
			cfg := w.config()
			cfg.BatchRows = 300
			cfg.InsertTimeout = 2 * time.Second
			var log buffer
			cfg.Logger = zerolog.New(&log)
			r := w.start(cfg)
			w.spread(2, events(0, 300)...)
			w.check()
			r.awaitReady()

			away(w.proxy, true)
			before := w.committed()
			w.spread(2, events(300, 1500)...)
			r.awaitTrouble("insert: retryable")
			r.awaitTrouble("clickhouse: no answer")
			retries := func() float64 { return r.metric(`leadhouse_sink_retries_total{state="insert",verdict="retryable"}`) }
			from := retries()
			w.eventually("more attempts are made", func() (bool, string) { return retries() > from+1, fmt.Sprint(retries()) })
			if got := fmt.Sprint(w.committed()); got != fmt.Sprint(before) {
				t.Errorf("committed while ClickHouse was away: %s, was %v", got, before)
			}
			// Lag is measured though nothing is fetched.
			w.eventually("the lag is seen", func() (bool, string) {
				lag := r.metric(`leadhouse_sink_lag{partition="0"}`) + r.metric(`leadhouse_sink_lag{partition="1"}`)
				return lag == 1500, fmt.Sprint(lag)
			})
			// Heartbeats went on: it is still the first generation.
			if got := r.metric("leadhouse_sink_rebalances_total"); got != 1 {
				t.Errorf("rebalances_total: %v, want 1", got)
			}
			if name == "unreachable" { // with a frozen line each attempt takes its time
				if n := strings.Count(log.String(), `"part":"insert"`); n != 1 {
					t.Errorf("%d log lines for %v failed attempts, want 1:\n%s", n, retries(), log.String())
				}
			}

			away(w.proxy, false)
			w.check()
			r.awaitReady()
			if !strings.Contains(log.String(), "trouble is over") {
				t.Errorf("the log does not say that it is over:\n%s", log.String())
			}
			r.stop()
			if _, body := r.get("/metrics"); strings.Contains(body, `{partition="`) {
				t.Errorf("series of partitions that were given back:\n%s", body)
			}
		})
	}
}

// With ClickHouse away the sink holds two batches and a fetch per partition, and no more, however much there is to read.
func TestMemoryIsBoundedWhileClickHouseIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.BatchBytes = 64 << 10
	r := w.start(cfg)
	r.awaitReady()
	w.proxy.setAway(true)
	padding := strings.Repeat("x", 1000)
	for i := range 40 { // 4 MB
		made := make([]delivery, 100)
		for j := range made {
			made[j] = event(fmt.Sprintf("evt_%d_%d", i, j), "lead.created", `{"padding":"`+padding+`"}`)
		}
		w.produce(0, made...)
	}
	r.awaitTrouble("insert: retryable")
	// What was fetched shows in what Kafka was asked for: the fetch offset stands still far below the end.
	reads := w.fetches()
	w.eventually("fetching stands still", func() (bool, string) {
		now := w.fetches()
		same := now == reads
		reads = now
		return same && r.metric(`leadhouse_sink_retries_total{state="insert",verdict="retryable"}`) > 3, fmt.Sprint(now)
	})
	if reads.offset > 1000 {
		t.Errorf("fetched up to offset %d with two batches of 64 KiB and records of 1 KiB", reads.offset)
	}
	w.proxy.setAway(false)
	w.check()
}

// Too many parts is ClickHouse's way to say: later.
func TestTooManyPartsIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(`ALTER TABLE {db}.lead_events MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 0`)
	r := w.start(w.config())
	w.produce(0, events(0, 20)...)
	w.awaitCommitted()
	w.produce(0, events(20, 20)...)
	r.awaitTrouble("insert: retryable: ClickHouse code 252")
	w.exec(`ALTER TABLE {db}.lead_events MODIFY SETTING parts_to_throw_insert = 3000`)
	w.check()
}

// At the start, before the group has been disturbed, what only a human can mend ends the sink.
func TestAtTheStartARefusedAccountIsAnError(t *testing.T) {
	t.Parallel()
	// A server of its own: the embedded one aborts, and is started again, after it has refused a native client.
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.ClickHouse = openAs(t, ch.Addr(), "nobody", "wrong")
	err = w.start(cfg).fails()
	if err == nil || !strings.Contains(err.Error(), "516") {
		t.Errorf("Run: %v, want ClickHouse's code 516", err)
	}
}

func TestAtTheStartAMissingSchemaIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{noSchema: true})
	w.produce(0, events(0, 20)...)
	var log buffer
	cfg := w.config()
	cfg.Logger = zerolog.New(&log)
	r := w.start(cfg)
	r.awaitTrouble("schema: ")
	if !strings.Contains(log.String(), "leadhouse backfill") {
		t.Errorf("the log does not say what to do:\n%s", log.String())
	}
	w.builtin()
	w.check()
}

func TestConfigNamesEveryWrongFieldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := sink.New(sink.Config{BatchRows: -1, HeartbeatInterval: 5 * time.Second, HandoverTimeout: -1})
	if err == nil {
		t.Fatal("New took it")
	}
	for _, field := range []string{"Brokers", "ClickHouse", "BatchRows", "HeartbeatInterval", "HandoverTimeout"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%q does not name %s", err, field)
		}
	}
}
