package sink_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A batch's ledger entries are refused while the next batch, whose entries would be taken, is inserted already: when the
// first is given up, the second is not committed either.
func TestWhatFollowsAnAbandonedBatchIsNotCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(`ALTER TABLE {db}.deliveries ADD CONSTRAINT not_the_first CHECK kafka_offset >= 10`)
	w.produce(0, leads(0, 20)...)
	cfg := w.config()
	cfg.BatchRows, cfg.BatchAge = 10, time.Hour
	r := w.start(cfg)
	r.awaitTrouble("insert deliveries: poison: ClickHouse code 469")
	w.eventually("the second batch's rows are in", func() (bool, string) { n := w.raw("lead_events"); return n == 20, fmt.Sprint(n) })

	w.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.RebalanceInProgress, TopLevel: true, Count: 1})
	w.eventually("both are given up, and tried again", func() (bool, string) {
		given, again := r.metric("leadhouse_sink_abandoned_batches_total"), r.metric(`leadhouse_sink_rows_total{table="lead_events"}`)
		return given == 2 && again == 40, fmt.Sprint(given, again)
	})
	r.awaitTrouble("insert deliveries: poison: ClickHouse code 469")
	if got := w.committed()[0]; got > 0 {
		t.Errorf("committed %d, above a batch that was given up", got)
	}
	if got := len(w.ledger()); got != 0 {
		t.Errorf("the ledger has %d entries of what follows it", got)
	}
	w.exec(`ALTER TABLE {db}.deliveries DROP CONSTRAINT not_the_first`)
	w.check()
	r.awaitReady()
}

// At the log's end, where records come one by one, a fetcher rests before it asks again: at 1,000 records a second Kafka
// would be asked 1,000 times.
func TestAFetcherAtTheLogsEndRests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.BatchAge = time.Second // a fetcher rests for 50 ms, of which BatchAge/5 may not be less
	w.start(cfg).awaitReady()
	asked := w.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Observe: true, Count: -1})
	defer asked.Remove()
	began := time.Now()
	const records = 300
	for i := range records {
		w.produce(0, leads(i, 1)...)
	}
	took := time.Since(began)
	if got, most := asked.Hits(), int(took/(50*time.Millisecond))+5; got > most {
		t.Errorf("%d fetches for %d records in %v, want %d at most", got, records, took, most)
	}
	w.check()
}
