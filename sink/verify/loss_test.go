package verify_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadhouse/leadhouse/sink"
	"github.com/leadhouse/leadhouse/sink/verify"
)

// A gap is red until it is acknowledged, in one piece or in several, and listed ever after.
func TestWhatRetentionTookIsRedUntilItIsAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.produce(0, leads(0, 50)...)
	w.produce(1, leads(100, 50)...)
	w.commit(0, 10)
	w.retention(0, 30)
	w.retention(1, 5) // before anybody has read: nothing was owed
	w.drain()
	r := w.verify()
	w.finds(r, false, "open_gap 0:10-29")
	if r.Total.LostOpen != 20 || r.Total.Missing != 0 || r.Total.Fetched != 65 {
		t.Errorf("total: %+v", r.Total)
	}
	for what, want := range map[string]string{
		"0:0-9":   "nothing is lost there",
		"0:25-30": "the log begins at 30",
		"0:40-45": "the log begins at 30",
		"7:0-1":   "neither Kafka nor the ledger has this partition",
	} {
		if _, err := w.tryVerify(acknowledge("0:10-12", what)); err == nil || !strings.Contains(err.Error(), "acknowledge "+what+": "+want) {
			t.Errorf("acknowledge %s: %v", what, err)
		}
	}
	w.finds(w.verify(), false, "open_gap 0:10-29") // a refusal records nothing, not even what was right
	w.finds(w.verify(acknowledge("0:10-12")), false, "open_gap 0:13-29", "acknowledged_gap 0:10-12")
	r = w.verify(acknowledge("0:5-29", "0:10-12"))
	w.finds(r, true, "acknowledged_gap 0:10-12", "acknowledged_gap 0:13-29")
	if r.Total.LostOpen != 0 || r.Total.LostAcknowledged != 20 {
		t.Errorf("total: %+v", r.Total)
	}
	w.finds(w.verify(), true, "acknowledged_gap 0:10-12", "acknowledged_gap 0:13-29")
}

// What is missing and gone from Kafka can be acknowledged too, whichever way it is missing; what Kafka has cannot.
func TestWhatIsMissingForGoodCanBeAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, leads(0, 10)...)
	w.produce(0, "no event")
	w.produce(0, leads(11, 10)...)
	w.drain()
	w.exec("DELETE FROM {db}.lead_events WHERE event_id = 'evt_000002'")
	w.exec("DELETE FROM {db}.lead_events WHERE event_id = 'evt_000005'")
	w.exec("DELETE FROM {db}.deliveries WHERE kafka_offset = 5")
	w.exec("DELETE FROM {db}.dead_letters WHERE 1")
	if _, err := w.tryVerify(acknowledge("0:2-2")); err == nil {
		t.Error("an offset that Kafka still has was accepted as lost")
	}
	w.retention(0, 15)
	w.finds(w.verify(), false, "unrecorded 0:5-5", "no_event_row 0:2-2", "no_dead_letter 0:10-10")
	r := w.verify(acknowledge("0:2-14"))
	w.finds(r, true, "acknowledged_gap 0:2-2", "acknowledged_gap 0:5-5", "acknowledged_gap 0:10-10")
	if r.Total.LostAcknowledged != 3 || r.Total.Missing != 0 {
		t.Errorf("total: %+v", r.Total)
	}
	// Only what was lost is accepted: what is lost later within the range is not.
	w.exec("DELETE FROM {db}.lead_events WHERE event_id = 'evt_000003'")
	w.finds(w.verify(), false, "no_event_row 0:3-3", "acknowledged_gap 0:2-2", "acknowledged_gap 0:5-5", "acknowledged_gap 0:10-10")
}

// Retention that no sink has seen yet is told of all the same.
func TestRetentionThatNoSinkHasSeenIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, leads(0, 10)...)
	w.drain()
	w.produce(0, leads(10, 10)...)
	w.retention(0, 15)
	r := w.verify()
	w.finds(r, false, "unrecorded 0:10-14")
	if r.Total.InFlight != 5 {
		t.Errorf("in flight: %d, want 5", r.Total.InFlight)
	}
	w.drain() // a sink records the gap
	w.finds(w.verify(), false, "open_gap 0:10-14")
}

// Offsets without a record are no loss, however many: transactions leave a marker each, and an aborted one its records.
func TestControlRecordsAreNoLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID("t"), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for i, body := range leads(0, 40) {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Value: []byte(body)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
		w.sent[0] = int64(2*i + 2)
	}
	w.drain()
	r := w.verify()
	w.finds(r, true)
	if r.Total.Fetched != 40 || r.Total.Recordless != 40 {
		t.Errorf("total: %+v", r.Total)
	}
	// A loss among them is found.
	w.exec("DELETE FROM {db}.deliveries WHERE kafka_offset IN (10, 12, 20)")
	r = w.verify()
	want := []string{"unrecorded 0:10-12 in Kafka evt_000005+ evt_000006+", "unrecorded 0:20-20 in Kafka evt_000010+"}
	if got := found(r)[:2]; fmt.Sprint(got) != fmt.Sprint(want) || r.Total.Unrecorded != 3 {
		t.Errorf("found %v (%d), want %v", got, r.Total.Unrecorded, want)
	}
}

// A topic that is recreated and accepted: both epochs balance, and each event is counted once, where it came first.
func TestARecreatedTopicHasBooksOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.produce(0, leads(0, 30)...)
	w.drain()
	if err := w.kafka.Cluster().DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	if err := w.kafka.CreateTopic(topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	w.client.Transport.(*kafka.Transport).CloseIdleConnections()
	w.eventually("the test's own producer knows", func() (bool, string) {
		err := w.tryProduce(t.Context(), 0, time.Now(), leads(20, 40)...)
		return err == nil, fmt.Sprint(err)
	})
	w.commit(0, 30) // as if the group's offset had outlived the topic
	w.finds(w.verify(), false, "differs 0:0-29 in Kafka "+strings.Join(ids(20, 30), " "))
	w.commit(0, 35)
	r := w.verify() // and what it never read of the new topic
	if r.Balanced || r.Total.Unrecorded != 5 {
		t.Errorf("of a recreated topic: %v %+v", found(r), r.Total)
	}
	w.drain(func(cfg *sink.Config) { cfg.AcceptNewTopic = true })
	r = w.verify()
	w.finds(r, true)
	want := verify.Sheet{Fetched: 70, Inserted: 60, Collapsed: 10}
	if r.Total != want || len(r.Partitions) != 2 || r.Partitions[1].Inserted != 30 || r.Epoch != 1 {
		t.Errorf("got %+v, want the total %+v", r, want)
	}
	w.exec("DELETE FROM {db}.deliveries WHERE topic_epoch = 0 AND kafka_offset = 7")
	w.finds(w.verify(), false, "unrecorded 0:7-7", "unknown_event_row 1/0:7-7") // rows do not know their epoch
	w.finds(w.verify(acknowledge("0:7-7")), true, "acknowledged_gap 0:7-7", "unknown_event_row 1/0:7-7")
}

func ids(first, n int) (list []string) {
	for i := range n {
		id := fmt.Sprintf("evt_%06d", first+i)
		if first+i < 30 {
			id += "+"
		}
		list = append(list, id)
	}
	return list
}

// --since leaves out what came before, by the records' time.
func TestSinceLooksNoFurtherBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	old, recent := time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
	for i, at := range []time.Time{old, recent} {
		if err := w.tryProduce(t.Context(), 0, at, leads(10*i, 10)...); err != nil {
			t.Fatal(err)
		}
	}
	w.drain()
	w.exec("DELETE FROM {db}.lead_events WHERE event_id IN ('evt_000003', 'evt_000013')")
	w.exec("DELETE FROM {db}.deliveries WHERE kafka_offset IN (4, 9, 10, 14)")
	since := func(cfg *verify.Config) { cfg.Since = time.Now().Add(-24 * time.Hour) }
	r := w.verify(since)
	want := []string{
		"unrecorded 0:10-10 in Kafka evt_000010+", "unrecorded 0:14-14 in Kafka evt_000014+", "no_event_row 0:13-13 in Kafka evt_000013",
		"unknown_event_row 0:10-10 in Kafka evt_000010+", "unknown_event_row 0:14-14 in Kafka evt_000014+",
	}
	w.finds(r, false, want...)
	if r.Total.Fetched != 8 || r.Partitions[0].First != 10 {
		t.Errorf("%+v", r.Partitions)
	}
}

// A dead letter that its table's TTL has removed is not missing; one that is younger is.
func TestADeadLetterPastItsTTLIsNotMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	for _, ago := range []time.Duration{72 * time.Hour, time.Hour} {
		if err := w.tryProduce(t.Context(), 0, time.Now().Add(-ago), "no event"); err != nil {
			t.Fatal(err)
		}
	}
	w.drain()
	w.exec("ALTER TABLE {db}.dead_letters MODIFY TTL toDateTime(received_at) + INTERVAL 2 DAY SETTINGS materialize_ttl_after_modify = 0")
	w.exec("DELETE FROM {db}.dead_letters WHERE kafka_offset = 0") // as the TTL does, sooner or later
	w.finds(w.verify(), true)
	w.exec("DELETE FROM {db}.dead_letters WHERE kafka_offset = 1")
	w.finds(w.verify(), false, "no_dead_letter 0:1-1 in Kafka ")
}

// Beside sinks that insert, rebalance, and end one after another, while duplicates and dead letters come: no false alarm.
func TestLiveTrafficGivesNoFalseAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	ctx, end := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	t.Cleanup(func() { end(); wait.Wait() })
	wait.Go(func() {
		pace := time.NewTicker(20 * time.Millisecond) // 1,500 records a second: a sink on a busy machine keeps up
		defer pace.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			<-pace.C
			bodies := append(leads(i*20, 30), "no event") // a third comes again
			if err := w.tryProduce(ctx, i%3, time.Now(), bodies...); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	w.sink()
	wait.Go(func() { // another comes and goes: rebalances
		for ctx.Err() == nil {
			stop := w.sink()
			select {
			case <-time.After(400 * time.Millisecond): // any length of stay will do
			case <-ctx.Done():
			}
			stop()
		}
	})
	for i := range 6 {
		if r := w.verify(); !r.Balanced || len(r.Findings) > 0 {
			t.Fatalf("look %d: %.1000s %+v", i, fmt.Sprint(found(r)), r.Total)
		}
	}
	end()
	wait.Wait()
	w.awaitCommitted()
	r := w.verify()
	w.finds(r, true)
	if r.Total.InFlight != 0 || r.Total.Fetched < 100 {
		t.Errorf("total: %+v", r.Total)
	}
}

func TestRangesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2:100-149": "2:100-149", "1/2:100-149": "1/2:100-149", "0/2:5": "2:5-5", "2:7-7": "2:7-7",
		"": "", "2": "", "2:9-3": "", "x:1-2": "", "-1:1-2": "", "1/2/3:4-5": "", "2:1-": "", "2:-5": "", "2:1-2-3": "", "4294967296/1:1-2": "",
	} {
		r, err := verify.ParseRange(text)
		if (err == nil) != (want != "") || err == nil && r.String() != want {
			t.Errorf("%q: got %v, %v, want %q", text, r, err, want)
		}
	}
}
