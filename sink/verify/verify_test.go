package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/sink/verify"
)

func TestTheBooksOfAWarehouseThatLacksNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.finds(w.verify(), true) // nothing has ever come
	w.produce(0, leads(0, 50)...)
	w.produce(1, leads(40, 20)...) // ten of them again
	w.produce(1, "no event", lead("evt_000000", "other bytes"))
	w.drain()
	w.produce(0, leads(100, 7)...) // in flight
	r := w.verify()
	w.finds(r, true)
	want := verify.Sheet{Fetched: 72, Inserted: 60, Collapsed: 11, DeadLettered: 1, InFlight: 7}
	if r.Total != want {
		t.Errorf("total: got %+v, want %+v", r.Total, want)
	}
	// The view says the same.
	var view string
	if err := w.conn.QueryRow(t.Context(), fmt.Sprintf("SELECT toString(groupArray((fetched, inserted, collapsed, dead_lettered, erased))) FROM %s.delivery_balance", w.db)).Scan(&view); err != nil {
		t.Fatal(err)
	}
	var sheets []string
	for _, a := range r.Partitions {
		sheets = append(sheets, fmt.Sprintf("(%d,%d,%d,%d,%d)", a.Fetched, a.Inserted, a.Collapsed, a.DeadLettered, a.Erased))
	}
	if got := "[" + strings.Join(sheets, ",") + "]"; got != view {
		t.Errorf("verify says %s, delivery_balance %s", got, view)
	}
}

// Losses planted by hand, each by itself: verify names exactly those.
func TestEveryLossIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant    func(w *world)
		want     []string
		missing  uint64
		balanced bool
	}{
		"event rows deleted": {
			plant: func(w *world) {
				w.exec("DELETE FROM {db}.lead_events WHERE event_id IN ('evt_000003', 'evt_000004', 'evt_000012')")
			},
			want:    []string{"no_event_row 0:3-4 in Kafka evt_000003 evt_000004", "no_event_row 0:12-12 in Kafka evt_000012"},
			missing: 3,
		},
		"ledger entries deleted": {
			plant: func(w *world) {
				w.exec("DELETE FROM {db}.deliveries WHERE kafka_partition = 0 AND kafka_offset IN (0, 5, 6, 19)")
			},
			want:    []string{"unrecorded 0:0-0 in Kafka evt_000000+", "unrecorded 0:5-6 in Kafka evt_000005+ evt_000006+", "unrecorded 0:19-19 in Kafka evt_000019+", "unknown_event_row 0:0-0 in Kafka evt_000000+", "unknown_event_row 0:5-6 in Kafka evt_000005+ evt_000006+", "unknown_event_row 0:19-19 in Kafka evt_000019+"},
			missing: 4,
		},
		"a ledger that is empty": {
			plant: func(w *world) {
				w.exec("TRUNCATE TABLE {db}.deliveries")
				w.exec("TRUNCATE TABLE {db}.lead_events")
				w.retention(0, 18)
			},
			want:    []string{"unrecorded 0:18-19 in Kafka evt_000018 evt_000019", "unrecorded 1:0-1 in Kafka evt_000030 "},
			missing: 4,
		},
		"a dead letter deleted": {
			plant:   func(w *world) { w.exec("DELETE FROM {db}.dead_letters WHERE 1") },
			want:    []string{"no_dead_letter 1:1-1 in Kafka "},
			missing: 1,
		},
		"offsets committed ahead": {
			plant: func(w *world) {
				w.produce(1, leads(50, 3)...)
				w.commit(1, 4)
			},
			want:    []string{"unrecorded 1:2-3 in Kafka evt_000050 evt_000051"},
			missing: 2,
		},
		"offsets committed past the end": {
			plant: func(w *world) { w.commit(1, 100) },
			want:  []string{"committed_past_end 1:2-99"},
		},
		"other records at the ledger's offsets": {
			plant: func(w *world) {
				w.exec("ALTER TABLE {db}.deliveries UPDATE body_hash = body_hash + 1 WHERE kafka_partition = 0 AND kafka_offset IN (7, 8) SETTINGS mutations_sync = 1")
			},
			want: []string{"differs 0:7-8 in Kafka evt_000007+ evt_000008+"},
		},
		"no longer in Kafka": {
			plant: func(w *world) {
				w.exec("DELETE FROM {db}.lead_events WHERE event_id IN ('evt_000003', 'evt_000011')")
				w.exec("DELETE FROM {db}.deliveries WHERE kafka_partition = 0 AND kafka_offset BETWEEN 8 AND 12")
				w.retention(0, 10)
			},
			want: []string{
				"unrecorded 0:8-9", "unrecorded 0:10-12 in Kafka evt_000010+ evt_000011 evt_000012+", "no_event_row 0:3-3",
				"unknown_event_row 0:8-9", "unknown_event_row 0:10-10 in Kafka evt_000010+", "unknown_event_row 0:12-12 in Kafka evt_000012+",
			},
			missing: 6,
		},
		"a dead letter inserted by halves": {
			plant: func(w *world) {
				w.exec("INSERT INTO {db}.dead_letters SELECT * REPLACE (toInt64(0) AS kafka_offset) FROM {db}.dead_letters")
			},
			want:     []string{"superseded_dead_letter 1:0-0 in Kafka evt_000030+"},
			balanced: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			w.produce(0, leads(0, 20)...)
			w.produce(1, lead("evt_000030", "x"), "no event")
			w.drain()
			w.finds(w.verify(), true)
			c.plant(w)
			r := w.verify()
			w.finds(r, c.balanced, c.want...)
			if r.Total.Missing != c.missing {
				t.Errorf("missing: %d, want %d", r.Total.Missing, c.missing)
			}
		})
	}
}
