package sink_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
)

func TestEventsGoToTheirTablesAndTheBooksBalance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 3})
	w.spread(3, events(0, 2000)...)
	r := w.start(w.config())
	w.check()
	r.awaitReady()
	w.spread(3, events(2000, 500)...) // at the end of the log, too
	w.check()
	r.stop()
	w.check()
	if got := r.metric(`leadhouse_sink_rows_total{table="lead_events"}`); got < 357 {
		t.Errorf("rows_total of lead_events: %v, want at least 357", got)
	}
	if got := r.metric(`leadhouse_sink_receipt_to_visible_seconds_count`); got < 2500 {
		t.Errorf("receipt_to_visible_seconds_count: %v, want at least 2500", got)
	}
}

func TestWhatIsNoEventBecomesADeadLetterWithItsBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	long := `{"id":"` + strings.Repeat("x", 129) + `","type":"lead.created","createdAt":"2026-05-27T23:34:12Z","data":{}}`
	keyed := bad(`{"id":null,"type":"lead.created","createdAt":"2026-05-27T23:34:12Z","data":{}}`, schema.BadEnvelope)
	keyed.key = "ld_1"
	w.produce(0,
		bad("not json", schema.InvalidJSON),
		bad("", schema.InvalidJSON),
		bad("\xff\xfe\x00", schema.InvalidUTF8),
		bad("null", schema.BadEnvelope),
		bad(`{"id":"a","id":"b","type":"lead.created","createdAt":"2026-05-27T23:34:12Z","data":{}}`, schema.DuplicateKey),
		bad(long, schema.BadEnvelope),
		keyed,
		bad("\x00\x00\x00\x00\x00\x00", schema.InvalidJSON), // without a key it is no control record
	)
	w.produce(0, events(0, 50)...)
	r := w.start(w.config())
	w.check()
	if got := r.metric(`leadhouse_sink_dead_letters_total{reason="bad_envelope"}`); got != 3 {
		t.Errorf("dead_letters_total of bad_envelope: %v, want 3", got)
	}
	// Read again by another member, they are the same dead letters.
	r.stop()
	w.rewind()
	w.start(w.config())
	w.check()
}

func TestOddEventsAreEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	unkeyed := event("evt_unkeyed", "lead.created", `{"leadId":"ld_9"}`)
	unkeyed.key, unkeyed.headers = "", nil
	w.produce(0,
		event("evt_unknown_verb", "lead.converted", `{"leadId":"ld_1","unheard_of":{"a":[1]}}`), // goes to lead_events
		event("evt_unknown_entity", "invoice.sent", `{}`),
		event("evt_no_dot", "ping", `{}`),
		event("evt_no_verb", "lead.", `{}`).in("other_events"),
		event("evt_big_number", "opportunity.created", `{"value":1e400,"stage":"\ud800"}`), // NULLs, and in _invalid_fields
		unkeyed,
	)
	w.start(w.config())
	w.check()
	invalid := scan[struct {
		Fields []string `ch:"_invalid_fields"`
	}](w, `SELECT _invalid_fields FROM {db}.opportunity_events WHERE event_id = 'evt_big_number'`)
	if got, want := fmt.Sprint(invalid), "[{[value stage]}]"; got != want {
		t.Errorf("_invalid_fields: %s, want %s", got, want)
	}
}

func TestDuplicatesAndReorderingCollapse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 3})
	made := events(0, 300)
	again := append(append(append([]delivery{}, made...), made...), made[:100]...)
	other := event(made[0].id, "lead.created", `{"leadId":"ld_0","email":"another@acme.com"}`) // one ID, other bytes
	again = append(again, other)
	rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	w.spread(3, again...)
	cfg := w.config()
	cfg.BatchRows = 70 // so that duplicates meet within a batch, and across batches
	w.start(cfg)
	w.check()
}

func TestABatchEndsByRowsBytesOrAge(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*sink.Config){
		"rows":  func(c *sink.Config) { c.BatchRows, c.BatchAge = 7, time.Hour },
		"bytes": func(c *sink.Config) { c.BatchBytes, c.BatchAge = 2000, time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{partitions: 2})
			w.spread(2, events(0, 7*40)...)
			cfg := w.config()
			set(&cfg)
			r := w.start(cfg)
			w.eventually("a batch was flushed", func() (bool, string) {
				return r.metric(`leadhouse_sink_batch_rows_count`) > 20, ""
			})
			r.stop()
			w.prefix()
			if name == "rows" {
				if got := r.metric(`leadhouse_sink_batch_rows_bucket{le="16"}`); got != r.metric(`leadhouse_sink_batch_rows_count`) {
					t.Errorf("a batch of more than 7 rows: %v of %v are within 16", got, r.metric(`leadhouse_sink_batch_rows_count`))
				}
			}
			if got := r.metric(`leadhouse_sink_batch_bytes_bucket{le="4096"}`); got != r.metric(`leadhouse_sink_batch_bytes_count`) {
				t.Errorf("a batch of more than 2000 bytes and a record: %v of %v are within 4096", got, r.metric(`leadhouse_sink_batch_bytes_count`))
			}
			w.start(w.config())
			w.check()
		})
	}
}

func TestAnIdleTopicsFewEventsDoNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	r := w.start(w.config())
	r.awaitReady()
	for i := range 5 {
		w.produce(0, events(i, 1)...)
		w.awaitCommitted() // BatchAge is 50 ms: nothing else comes that would end the batch
	}
	w.check()
}
