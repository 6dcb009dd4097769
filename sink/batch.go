package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/schema"
)

// block is rows on their way into one table: schema.EventBlock, DeliveryBlock or DeadLetterBlock. **This is the one seam
// through which rows reach ClickHouse.** Insert writes all of them as one block, or returns an error; then the outcome may
// be unknown, and the same call may be made again. It does not return before ctx ends unless ClickHouse has answered or
// the connection is gone.
type block interface {
	Table() string
	Rows() int
	Reset()
	Insert(ctx context.Context, conn driver.Conn, token string) error
}

// insertion is one table's share of a batch.
type insertion struct {
	block  block
	events *schema.EventBlock // block, where it is an event table's
	token  token
	done   bool  // ClickHouse has acknowledged it, except for the rows that the hunt blames
	hunt   *hunt // for the rows to blame, once ClickHouse has refused the block for its content
}

// begin makes it empty.
func (in *insertion) begin(salt, topic string, revision uint32) {
	in.block.Reset()
	in.token.begin(salt, topic, in.block.Table(), revision)
	in.done, in.hunt = false, nil
}

// batch is what is inserted and committed together: records of all partitions, typed into one block per table. One batch
// for all, because one per partition would make parts in ClickHouse by the dozen. It keeps its records until it is
// committed: blocks point into their bytes, and a schema change types them again.
type batch struct {
	salt, topic       string // for tokens
	maxRows, maxBytes int

	warehouse   *schema.Warehouse  // **all event rows are typed by it and marked with its revision**
	tombstones  *schema.Tombstones // **whose rows and dead letters are blanked: of the same reading**, or a later one
	decoder     schema.Decoder
	events      map[*schema.Table]*insertion
	deadLetters insertion
	deliveries  insertion
	letters     *schema.DeadLetterBlock // deadLetters' block
	ledger      *schema.DeliveryBlock   // deliveries' block

	fetched     []fetched
	epoch       uint32 // of the topic: a batch is of one generation, and a generation of one epoch
	rows, bytes int
	began       time.Time // when its first record could have been fetched
	at          state
	flushing    time.Time // when it left gather
	refusals    map[schema.Reason]int

	in, refused insertion // what record.in is once a hunt knows: these have no block
	condemned   []blamed  // the rows that are dead letters for ClickHouse's refusal
}

func newBatch(cfg *Config, salt string) *batch {
	b := &batch{
		salt: salt, topic: cfg.Topic, maxRows: cfg.BatchRows, maxBytes: cfg.BatchBytes,
		letters: schema.NewDeadLetterBlock(cfg.Database), ledger: schema.NewDeliveryBlock(cfg.Database),
		refusals: map[schema.Reason]int{},
	}
	b.deadLetters.block, b.deliveries.block = b.letters, b.ledger
	b.in.done = true
	return b
}

// reset empties the batch and keeps its memory, to be filled with rows typed by the given warehouse.
func (b *batch) reset(w *schema.Warehouse) {
	clear(b.fetched) // the records' bytes are free now
	b.fetched = b.fetched[:0]
	b.rows, b.bytes, b.began, b.at = 0, 0, time.Time{}, inserting
	clear(b.refusals)
	b.condemned = nil
	b.retable(w)
	for _, fixed := range []*insertion{&b.deadLetters, &b.deliveries} {
		fixed.begin(b.salt, b.topic, 0)
	}
}

// retable makes the event blocks fit a warehouse, empty.
func (b *batch) retable(w *schema.Warehouse) {
	if b.warehouse != w {
		b.warehouse, b.events = w, make(map[*schema.Table]*insertion, len(w.Tables))
	}
	b.tombstones = w.Erased
	for _, in := range b.events {
		in.begin(b.salt, b.topic, w.Revision)
	}
}

func (b *batch) empty() bool { return len(b.fetched) == 0 }
func (b *batch) full() bool  { return b.rows >= b.maxRows || b.bytes >= b.maxBytes }

// take adds what there is room for and returns the rest.
func (b *batch) take(f fetched, now time.Time) (rest fetched, more bool) {
	n := 0
	for n < len(f.records) && !b.full() {
		b.rows++
		b.bytes += f.records[n].size()
		n++
	}
	if n < len(f.records) {
		if n == 0 {
			return f, true
		}
		rest = fetched{span: span{f.partition, f.records[n].offset, f.next}, epoch: f.epoch, records: f.records[n:]}
		f.next, f.records, more = f.records[n].offset, f.records[:n], true
	}
	if b.empty() {
		b.began = now.Add(-f.rested)
	}
	b.epoch = f.epoch
	b.fetched = append(b.fetched, f)
	for i := range f.records {
		b.typeRecord(f.partition, &f.records[i], now)
	}
	return rest, more
}

// typeRecord gives a record its row and its entry in the ledger.
func (b *batch) typeRecord(partition int32, r *record, now time.Time) {
	at := b.place(partition, r, now)
	event, err := b.decoder.Decode(r.value)
	if err != nil {
		why := refusal(err)
		b.bury(partition, r, why, at)
		b.refusals[why.Reason]++
		b.enter(partition, r, "", at, schema.DeadLettered)
		return
	}
	b.typeEvent(partition, r, event, at)
	b.enter(partition, r, event.ID, at, r.outcome())
}

// place is where a record lies and when its row is written.
func (b *batch) place(partition int32, r *record, now time.Time) schema.Record {
	return schema.Record{Epoch: b.epoch, Partition: partition, Offset: r.offset, ReceivedAt: r.receivedAt(), LoadedAt: now}
}

// enter writes a record's outcome into the ledger: once for each record that is fetched.
func (b *batch) enter(partition int32, r *record, eventID string, at schema.Record, outcome schema.Outcome) {
	b.ledger.Append(eventID, r.value, at, outcome)
	b.deliveries.token.row(at.Epoch, partition, r, eventID)
}

// typeEvent adds the event's row to the block of its table.
func (b *batch) typeEvent(partition int32, r *record, event *schema.Event, at schema.Record) {
	table := b.warehouse.TableFor(event.Type)
	in := b.events[table]
	if in == nil {
		events := schema.NewEventBlock(b.warehouse, table)
		in = &insertion{block: events, events: events}
		in.token.begin(b.salt, b.topic, table.Name, b.warehouse.Revision)
		b.events[table] = in
	}
	r.in, r.erased = in, b.tombstones.Covers(event)
	in.append(partition, r, event, at)
}

// append adds the row of a record that typeEvent has looked at: **a covered one without what is personal.**
func (in *insertion) append(partition int32, r *record, event *schema.Event, at schema.Record) {
	if r.erased {
		in.events.AppendErased(event, at)
	} else {
		in.events.Append(event, r.value, at)
	}
	in.token.row(at.Epoch, partition, r, event.ID)
}

// outcome is the ledger's of a record whose row is in, or on its way.
func (r *record) outcome() schema.Outcome {
	if r.erased {
		return schema.Erased
	}
	return schema.Inserted
}

// bury makes a dead letter of a record: **with its bytes, key, headers and the reason**, unless it is about an erased lead.
func (b *batch) bury(partition int32, r *record, why *schema.Refusal, at schema.Record) {
	key, headers := r.unpack()
	r.erased = b.tombstones.CoversLetter(&b.decoder, key, r.value)
	if r.erased {
		b.letters.AppendErased(key, headers, why.Reason, at)
	} else {
		b.letters.Append(key, r.value, headers, why.Reason, why.Detail, at)
	}
	b.deadLetters.token.row(at.Epoch, partition, r, "")
}

// retype types the events that are not in ClickHouse yet again, with the columns and tombstones of another warehouse. Rows
// that are in stay what they are: their block is done, and backfill re-types them, or an erasure blanks them, like any other
// old row. Rows that were refused are judged anew.
func (b *batch) retype(w *schema.Warehouse, now time.Time) error {
	b.warehouse = nil // new blocks: the records still point at the old ones, to know which are done
	b.retable(w)
	changed := false
	for _, f := range b.fetched {
		for i := range f.records {
			r := &f.records[i]
			if r.in == nil || r.in.done {
				continue
			}
			event, err := b.decodeAgain(located{r, f.partition})
			if err != nil {
				b.warehouse = nil
				return err
			}
			before := r.erased
			b.typeEvent(f.partition, r, event, b.place(f.partition, r, now))
			changed = changed || r.erased != before
		}
	}
	if !b.deadLetters.done {
		b.rebury(now)
	}
	if changed {
		return b.reenter(now)
	}
	return nil
}

// rebury writes the dead letters of records that are no events anew, as the tombstones want them now.
func (b *batch) rebury(now time.Time) {
	if b.letters.Rows() == 0 {
		return
	}
	b.deadLetters.begin(b.salt, b.topic, 0)
	for _, f := range b.fetched {
		for i := range f.records {
			r := &f.records[i]
			if r.in != nil {
				continue
			}
			if _, err := b.decoder.Decode(r.value); err != nil {
				b.bury(f.partition, r, refusal(err), b.place(f.partition, r, now))
			}
		}
	}
}

// decodeAgain decodes what was an event the first time: decoding knows no schema.
func (b *batch) decodeAgain(r located) (*schema.Event, error) {
	event, err := b.decoder.Decode(r.value)
	if err != nil {
		return nil, fmt.Errorf("type partition %d offset %d again: %w", r.partition, r.offset, err)
	}
	return event, nil
}

// pending are the insertions that deliveries must wait for.
func (b *batch) pending() []*insertion {
	pending := make([]*insertion, 0, len(b.events)+1)
	for _, in := range b.events {
		pending = append(pending, in)
	}
	return append(pending, &b.deadLetters)
}

// spans of offsets that are safe to commit once every block is done.
func (b *batch) spans() []span {
	spans := make([]span, len(b.fetched))
	for i, f := range b.fetched {
		spans[i] = f.span
	}
	return spans
}

// refusal reads Decode's error, which is documented to be a *Refusal and nothing else.
func refusal(err error) *schema.Refusal {
	if why, ok := errors.AsType[*schema.Refusal](err); ok {
		return why
	}
	return &schema.Refusal{Reason: schema.BadEnvelope, Detail: err.Error()}
}
