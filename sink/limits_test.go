package sink_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A record that is larger than a batch and than what is asked for in one fetch, from a producer other than ingest, is
// read and stored like any other: Kafka answers with one whole record batch at least, and a batch takes one record at
// least.
func TestARecordLargerThanEveryLimitIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{noTopic: true})
	if err := w.kafka.CreateTopic(topic, 1, map[string]string{"max.message.bytes": "20000000"}); err != nil {
		t.Fatal(err)
	}
	w.passLargeRecords()
}

func (w *world) passLargeRecords() {
	w.Helper()
	cfg := w.config()
	cfg.BatchBytes = 64 << 10 // least: also what one fetch asks for, and keeps
	r := w.start(cfg)
	for i, size := range []int{8 << 20, 3 << 20, 100 << 10} {
		w.produce(0, events(100*i, 20)...)
		// Random, so that it is as large compressed, which is what Kafka counts.
		random := make([]byte, size/2)
		for j := range random {
			random[j] = byte(rand.Uint32())
		}
		w.produce(0, event(fmt.Sprintf("evt_large_%d", i), "lead.created", fmt.Sprintf(`{"leadId":"ld_0","note":"%x"}`, random)))
		w.produce(0, bad(strings.Repeat("x", size), "invalid_json"))
		w.produce(0, events(100*i+20, 20)...)
	}
	w.check()
	r.awaitReady()
}

// ClickHouse says that its disk is full (code 243) for as long as it is. Nothing is committed, no row is blamed.
func TestADiskThatIsFullIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	r := w.start(w.config())
	w.produce(0, events(0, 20)...)
	w.check()
	for _, table := range []string{"lead_events", "dead_letters", "deliveries"} {
		w.exec(`ALTER TABLE {db}.` + table + ` MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000`)
		before := w.committed()[0]
		w.produce(0, events(int(before)*100, 20)...)
		w.produce(0, bad("{", "invalid_json"))
		r.awaitTrouble("retryable: ClickHouse code 243")
		if got := w.committed()[0]; got != before {
			t.Errorf("%s: committed %d while its disk was full, and %d before", table, got, before)
		}
		w.exec(`ALTER TABLE {db}.` + table + ` RESET SETTING min_free_disk_bytes_to_perform_insert`)
		w.check()
	}
	r.awaitReady()
}

// Record times that go back an hour, as when the clock of one ingest is set, or two disagree: order is the offsets', and
// which of two deliveries of an event stays is decided by the record times alone, never by when a sink wrote them.
func TestAClockThatGoesBackAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	now := time.Now().Truncate(time.Millisecond)
	hourAgo := now.Add(-time.Hour)
	again := func(word string) delivery {
		return event("evt_twice", "lead.created", `{"leadId":"ld_0","source":"`+word+`"}`)
	}
	w.produce(0, at(now, append(events(0, 50), again("later"))...)...)
	w.produce(0, at(hourAgo, append(events(50, 50), again("earlier"))...)...)
	first := w.start(w.config())
	w.check()
	wantSource := func(when string) {
		t.Helper()
		got := scan[struct {
			Source   *string   `ch:"source"`
			Received time.Time `ch:"_received_at"`
		}](w, `SELECT source, _received_at FROM {db}.lead_events FINAL WHERE event_id = 'evt_twice'`)
		if len(got) != 1 || got[0].Source == nil || *got[0].Source != "later" || !got[0].Received.Equal(now) {
			t.Errorf("%s: %+v, want the delivery of %v", when, got, now)
		}
	}
	wantSource("together")
	// Apart: the row with the earlier time is the last to be written, now and after everything is read again.
	w.produce(0, at(hourAgo.Add(time.Minute), again("earlier still"))...)
	w.check()
	wantSource("written later")
	first.stop()
	w.rewind()
	w.start(w.config())
	w.check()
	wantSource("read again")
}

// at gives the deliveries a record time of one's own.
func at(t time.Time, deliveries ...delivery) []delivery {
	for i := range deliveries {
		deliveries[i].at = t
	}
	return deliveries
}
