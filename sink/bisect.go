package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// A table's block that ClickHouse refuses for its content is halved, and the halves are halved, until the rows to blame
// are alone; these become dead letters, all others go in. The rules:
//
//   - Every part is sent under a token of its own, a hash over its rows. **It is sent again until its outcome is known, as
//     it is, before anything else of the table is**: a part that was cut again or joined with others after a lost answer
//     would go in twice (and collapse on the event ID).
//   - **Only a row that was refused alone is blamed**, with what ClickHouse said of it.
//   - Whatever else goes wrong on the way is waited for, and the search goes on where it was. Only a change of the table's
//     columns begins it anew, because it may change the verdicts.
//   - Blamed rows become dead letters when every table's rows are in or blamed, and no breaker is open.
//
// One row to blame among n costs 2·log2(n)+1 inserts at most and three quarters of that as a rule, because a half whose
// twin went in holds the row and is halved unsent; k rows cost less than k times as many, and all of the inserts together
// send each row log2(n) times at most. Rows are shuffled before they are halved for their content, so that what has been judged is
// a fair sample of the block, for the breaker, also where bad rows came in a bunch. For their number they are halved in
// order, because what comes together lies in few partitions.

// errStale ends an attempt, or a search's step, where the schema has changed meanwhile: the rows must be typed anew first.
var errStale = errors.New("the schema has changed since the batch's rows were typed")

// located is a record with the partition that it lies in.
type located struct {
	*record
	partition int32
}

// hunt is the search for the rows to blame in one table's share of a batch.
type hunt struct {
	parts  []part // what has no answer yet, the next one last
	blamed []blamed
	trial  *window // the breaker's, with this batch's rows
	probe  int     // index of the blamed row to be tried next while the breaker is open
	last   error   // the last refusal
}

// part is rows that are sent as one block.
type part struct {
	rows     []located
	shuffled bool
	first    bool // half of a refused part, with its twin next: if this goes in, the twin is guilty
	guilty   bool // it holds a row to blame: halved unsent, unless it is that row
}

// blamed is a row that ClickHouse refused when it was alone.
type blamed struct {
	located
	detail string
}

// rowsOf are the rows of a block, in order.
func (b *batch) rowsOf(in *insertion) []located {
	rows := make([]located, 0, in.block.Rows())
	for _, f := range b.fetched {
		for i := range f.records {
			if f.records[i].in == in {
				rows = append(rows, located{&f.records[i], f.partition})
			}
		}
	}
	return rows
}

// bisect inserts what the search for the rows to blame has left, up to its end or to an error that is not about rows.
func (f *flusher) bisect(ctx context.Context, b *batch, in *insertion) error {
	for len(in.hunt.parts) > 0 || f.breaker.open(in.hunt.trial) {
		w, err := f.schemas.fresh(ctx)
		if err != nil {
			return err
		}
		if w != b.warehouse {
			return errStale
		}
		if f.breaker.open(in.hunt.trial) {
			err = f.try(ctx, b, in)
		} else {
			err = f.step(ctx, b, in)
		}
		if err != nil {
			return err
		}
	}
	in.done = true
	return nil
}

// hunt begins the search after a block was refused.
func (f *flusher) hunt(b *batch, in *insertion, refusal error) {
	in.hunt = &hunt{
		parts: []part{{rows: b.rowsOf(in)}},
		trial: f.breaker.trial(in.block.Table()),
	}
	f.refused(b, in, refusal)
}

// step deals with the next part.
func (f *flusher) step(ctx context.Context, b *batch, in *insertion) error {
	h := in.hunt
	next := h.parts[len(h.parts)-1]
	if next.guilty && len(next.rows) > 1 {
		h.halve(poison)
		return nil
	}
	err := f.insertPart(ctx, b, in, next.rows)
	if v := classify(err); v == poison || v == oversize {
		f.refused(b, in, err)
		return nil
	}
	if err != nil {
		return err
	}
	h.parts = h.parts[:len(h.parts)-1]
	if next.first {
		h.parts[len(h.parts)-1].guilty = true
	}
	b.goneIn(next.rows)
	h.trial.add(len(next.rows), false)
	return nil
}

// refused halves the next part, or blames its only row.
func (f *flusher) refused(b *batch, in *insertion, refusal error) {
	f.metrics.refusedBlocks.WithLabelValues(in.block.Table()).Inc()
	h := in.hunt
	h.last = refusal
	next := h.parts[len(h.parts)-1]
	if len(next.rows) > 1 {
		h.halve(classify(refusal))
		return
	}
	h.parts = h.parts[:len(h.parts)-1]
	h.blamed = append(h.blamed, blamed{next.rows[0], verbatim(refusal)})
	next.rows[0].in = &b.refused
	h.trial.add(1, true)
}

// halve cuts the next part in two.
func (h *hunt) halve(why verdict) {
	next := h.parts[len(h.parts)-1]
	content := why == poison
	if content && !next.shuffled {
		seed := uint64(next.rows[0].offset)                                        // any will do
		rand.New(rand.NewPCG(seed, seed)).Shuffle(len(next.rows), func(i, j int) { //nolint:gosec // G404: no secret
			next.rows[i], next.rows[j] = next.rows[j], next.rows[i]
		})
		next.shuffled = true
	}
	middle := len(next.rows) / 2
	h.parts[len(h.parts)-1] = part{rows: next.rows[middle:], shuffled: next.shuffled}
	h.parts = append(h.parts, part{rows: next.rows[:middle], shuffled: next.shuffled, first: content})
}

// try is a step while the breaker is open: it sends one of the blamed rows again, a different one each time. If it goes in,
// the cause has gone: all others are judged again, and the breaker is closed.
func (f *flusher) try(ctx context.Context, b *batch, in *insertion) error {
	h := in.hunt
	h.probe %= len(h.blamed)
	row := h.blamed[h.probe].located
	err := f.insertPart(ctx, b, in, []located{row})
	if v := classify(err); v == poison || v == oversize {
		h.probe++
		h.last = err
		return f.tripped(in)
	}
	if err != nil {
		return err
	}
	b.goneIn([]located{row})
	again := part{}
	for i, other := range h.blamed {
		if i != h.probe {
			other.in = in
			again.rows = append(again.rows, other.located)
		}
	}
	h.blamed, h.probe = nil, 0
	if len(again.rows) > 0 {
		h.parts = append(h.parts, again)
	}
	h.trial = f.breaker.trial(in.block.Table()).add(1, false)
	return nil
}

func (f *flusher) tripped(in *insertion) error {
	h := in.hunt
	return &trippedError{table: in.block.Table(), refused: h.trial.refused, of: h.trial.size, reason: describe(h.last)}
}

// insertPart sends some of a table's rows as one block, typed again into the block of all of them.
func (f *flusher) insertPart(ctx context.Context, b *batch, in *insertion, rows []located) error {
	in.block.Reset()
	in.token.begin(b.salt, b.topic, in.block.Table(), b.warehouse.Revision)
	for _, r := range rows {
		event, err := b.decodeAgain(r)
		if err != nil {
			return err
		}
		in.append(r.partition, r.record, event, b.place(r.partition, r.record, time.Now()))
	}
	return f.send(ctx, in)
}

// goneIn notes that rows are in.
func (b *batch) goneIn(rows []located) {
	for _, r := range rows {
		r.in = &b.in
	}
}

// condemn makes dead letters of the rows that are blamed, and writes the ledger's entries anew. Everything else of the
// batch is in, the records that are no events included, and the ledger has not been sent.
func (b *batch) condemn(rejected []blamed, now time.Time) error {
	b.condemned = rejected
	b.refusals[schema.Rejected] += len(rejected)
	b.buryCondemned(now)
	return b.reenter(now)
}

// buryCondemned writes their dead letters.
func (b *batch) buryCondemned(now time.Time) {
	b.deadLetters.begin(b.salt, b.topic, 0)
	for _, r := range b.condemned {
		b.bury(r.partition, r.record, &schema.Refusal{Reason: schema.Rejected, Detail: r.detail}, b.place(r.partition, r.record, now))
	}
}

// reenter writes the ledger's entries anew, now that it is known what has become of every record.
func (b *batch) reenter(now time.Time) error {
	b.deliveries.begin(b.salt, b.topic, 0)
	for _, f := range b.fetched {
		for i := range f.records {
			r := &f.records[i]
			at := b.place(f.partition, r, now)
			if r.in == nil || r.in == &b.refused {
				b.enter(f.partition, r, "", at, schema.DeadLettered)
				continue
			}
			event, err := b.decodeAgain(located{r, f.partition})
			if err != nil {
				return err
			}
			b.enter(f.partition, r, event.ID, at, r.outcome())
		}
	}
	return nil
}
