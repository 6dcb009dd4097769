package sink_test

import (
	"fmt"

	"github.com/leadhouse/leadhouse/schema"
)

type (
	eventRow struct {
		Table   string `ch:"tbl"`
		ID      string `ch:"event_id"`
		Payload string `ch:"payload"`
	}
	ledgerRow struct {
		Partition int32  `ch:"kafka_partition"`
		Offset    int64  `ch:"kafka_offset"`
		Outcome   string `ch:"outcome"`
		Epoch     uint32 `ch:"topic_epoch"`
	}
	deadRow struct {
		Partition int32    `ch:"kafka_partition"`
		Offset    int64    `ch:"kafka_offset"`
		Key       string   `ch:"record_key"`
		Payload   string   `ch:"payload"`
		Reason    string   `ch:"reason"`
		Detail    string   `ch:"detail"`
		Headers   []string `ch:"header_list"`
		Epoch     uint32   `ch:"topic_epoch"`
	}
	position struct {
		partition int32
		offset    int64
		epoch     uint32
	}
)

func (w *world) eventRows() []eventRow {
	w.Helper()
	return scan[eventRow](w, `SELECT _table AS tbl, event_id, payload FROM merge('{db}', '^[a-z]+_events$') SETTINGS final = 1`)
}

func (w *world) ledger() map[position]string {
	w.Helper()
	outcomes := map[position]string{}
	for _, r := range scan[ledgerRow](w, `SELECT topic_epoch, kafka_partition, kafka_offset, outcome FROM {db}.deliveries FINAL`) {
		outcomes[position{r.Partition, r.Offset, r.Epoch}] = r.Outcome
	}
	return outcomes
}

// check asserts every promise about what was produced, once everything is committed:
//
//  1. each event ID is exactly once in the database under FINAL, in its table, with bytes that were sent under it;
//  2. the books balance: the ledger has exactly one entry for each record, with the right outcome, and no others;
//  3. each dead letter is there once, with its bytes, key, headers and reason;
//  4. what is about an erased lead has no bytes there, and is as complete as the rest;
//  5. the committed offset is the end of what was produced, and no further.
func (w *world) check() {
	w.Helper()
	w.awaitCommitted()
	w.checkEvents()
	w.checkLedger()
	w.checkDeadLetters()
	for partition, end := range w.ends() {
		if got := w.committed()[partition]; got != end {
			w.Errorf("partition %d: committed %d, want %d", partition, got, end)
		}
	}
}

func (w *world) checkEvents() {
	w.Helper()
	tables, bodies := map[string]string{}, map[string]map[string]bool{}
	for _, s := range w.journal {
		if s.id == "" {
			continue
		}
		tables[s.id] = s.table
		if bodies[s.id] == nil {
			bodies[s.id] = map[string]bool{}
		}
		if s.erased {
			bodies[s.id][""] = true
		} else {
			bodies[s.id][s.body] = true
		}
	}
	seen := map[string]int{}
	for _, r := range w.eventRows() {
		seen[r.ID]++
		if want := tables[r.ID]; r.Table != want {
			w.Errorf("event %s: in %s, want %s", r.ID, r.Table, want)
		}
		if !bodies[r.ID][r.Payload] {
			w.Errorf("event %s: payload %s was never sent", r.ID, r.Payload)
		}
	}
	for id := range tables {
		if seen[id] != 1 {
			w.Errorf("event %s: %d rows, want 1", id, seen[id])
		}
	}
}

func (w *world) checkLedger() {
	w.Helper()
	ledger := w.ledger()
	for _, s := range w.journal {
		want := "inserted"
		if s.id == "" {
			want = "dead_lettered"
		} else if s.erased {
			want = "erased"
		}
		at := position{int32(s.partition), s.offset, s.epoch}
		if got := ledger[at]; got != want {
			w.Errorf("ledger at %v: %q, want %q", at, got, want)
		}
		delete(ledger, at)
	}
	for at, outcome := range ledger {
		w.Errorf("ledger at %v: %q, but nothing was produced there", at, outcome)
	}
}

func (w *world) checkDeadLetters() {
	w.Helper()
	dead := map[position]deadRow{}
	for _, r := range scan[deadRow](w, `SELECT topic_epoch, kafka_partition, kafka_offset, record_key, payload, reason, detail, arrayMap(h -> concat(h.1, '=', h.2), headers) AS header_list FROM {db}.dead_letters FINAL`) {
		dead[position{r.Partition, r.Offset, r.Epoch}] = r
	}
	for _, s := range w.journal {
		if s.id != "" {
			continue
		}
		at := position{int32(s.partition), s.offset, s.epoch}
		r, found := dead[at]
		delete(dead, at)
		var headers []string
		for _, h := range s.headers {
			headers = append(headers, h.Key+"="+string(h.Value))
		}
		if s.erased {
			s.body = ""
			if r.Detail != schema.ErasedDetail {
				w.Errorf("dead letter at %v: %+v, want it to be marked as erased", at, r)
			}
		}
		if !found || r.Payload != s.body || r.Key != s.key || r.Reason != string(s.reason) || r.Detail == "" || fmt.Sprint(r.Headers) != fmt.Sprint(headers) {
			w.Errorf("dead letter at %v: %+v, want %+v", at, r, s.delivery)
		}
	}
	for at, r := range dead {
		w.Errorf("dead letter at %v: %+v, but nothing such was produced there", at, r)
	}
}

// prefix asserts, in the middle of things, that what is committed is in ClickHouse: each record below it has its entry in
// the ledger, and its row or its dead letter.
func (w *world) prefix() {
	w.Helper()
	committed := w.committed() // first: what is inserted meanwhile only adds
	ledger := w.ledger()
	rows := map[string]bool{}
	for _, r := range w.eventRows() {
		rows[r.ID] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.journal {
		if s.epoch == w.epoch && s.offset >= committed[s.partition] {
			continue
		}
		at := position{int32(s.partition), s.offset, s.epoch}
		if ledger[at] == "" {
			w.Errorf("committed %v, but the ledger lacks %v", committed, at)
		}
		if s.id != "" && !rows[s.id] {
			w.Errorf("committed %v, but event %s of %v has no row", committed, s.id, at)
		}
	}
}
