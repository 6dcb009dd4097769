package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"
)

// insertsAtOnce bounds the concurrent inserts of a batch's tables. Measured on two cores with the server beside the sink:
// see the package documentation's table. More connections gain nothing once the server's cores are busy.
const insertsAtOnce = 2

// state is where a batch is on its way into the warehouse.
//
//	inserting ──▶ burying ──▶ recording ──▶ committing ──▶ finished
//	    ▲ │         ▲ │           ▲ │           ▲ │
//	    │ ▼         │ ▼           │ ▼           │ ▼
//	   (wait; types read anew after a schema error; refused blocks halved)
//
// From every state the way out without success is abandoning: the generation is over, or the shutdown's time is up.
type state int

const (
	inserting  state = iota // the event tables and dead_letters: any order, insertsAtOnce of them together
	burying                 // the rows that ClickHouse refused, into dead_letters: once it is known that they are few
	recording               // deliveries, after all of them: what the ledger says is in, is in
	committing              // Kafka is told, after the ledger
	finished
)

func (s state) String() string {
	return [...]string{"insert", "insert rejected rows", "insert deliveries", "commit", "finished"}[s]
}

// flusher takes batches from typed rows to a committed offset: one at a time is inserting, and one beyond that.
type flusher struct {
	conn     driver.Conn
	schemas  *schemas
	breaker  *breaker
	offsets  *offsets
	commit   func(map[int32]int64) error
	timeout  time.Duration // of one attempt at one insert
	retryMax time.Duration
	health   *health
	lag      *lag
	metrics  *metrics
}

// errAbandoned says that a batch was given up: it is not committed, and whoever owns its partitions next reads it again.
var errAbandoned = errors.New("abandoned")

// advance takes a batch from where it is up to a state, and tries for as long as ctx lasts; then it returns errAbandoned.
// **A batch is never dropped: it is committed, or its offsets are not.** owned ends with the generation, and with ctx: a
// batch that is being refused at that moment is given up at once, so that the group need not wait for it, while one that
// is on its way has until ctx ends.
func (f *flusher) advance(ctx, owned context.Context, b *batch, to state) error {
	if b.at == inserting {
		b.flushing = time.Now()
		f.metrics.flushes.begin(b, b.flushing)
	}
	for pause := newBackoff(f.retryMax); b.at != to; {
		name, err := b.at.String(), ctx.Err()
		if err == nil {
			err = f.attempt(ctx, b)
		}
		if err == nil {
			f.health.over(name)
			pause.Reset()
			b.at++
			continue
		}
		if owned.Err() == nil {
			f.health.trouble(name, cause(err), describe(err))
			f.metrics.retries.WithLabelValues(name, string(classify(err))).Inc()
			if crowded(err) {
				f.metrics.tooManyParts.Inc()
			}
		}
		if !wait(owned, pause.NextBackOff()) {
			f.health.drop(name)
			if b.at == inserting {
				f.metrics.breakersOpen.Set(0) // whoever reads the batch again will say
			}
			return errAbandoned
		}
	}
	if b.at == finished {
		f.metrics.flushed(b, time.Since(b.flushing))
	}
	return nil
}

// attempt does what the batch's state is for, once.
func (f *flusher) attempt(ctx context.Context, b *batch) error {
	switch b.at {
	case inserting:
		return f.insertRows(ctx, b)
	case burying:
		return f.bury(ctx, b)
	case recording:
		return f.insert(ctx, &b.deliveries)
	default:
		return f.commitOffsets(b)
	}
}

// insertRows inserts what is not in yet into the event tables and dead_letters, and judges the rows that are refused.
func (f *flusher) insertRows(ctx context.Context, b *batch) error {
	w, err := f.schemas.fresh(ctx)
	if err != nil {
		return err
	}
	if w != b.warehouse {
		if err := b.retype(w, time.Now()); err != nil {
			return err
		}
	}
	err = f.insertTables(ctx, b)
	f.metrics.breakersOpen.Set(float64(f.tripping(b)))
	if err != nil {
		if classify(err) == mistyped && !errors.Is(err, errStale) {
			f.schemas.expire(ctx) // the next attempt reads the schema first
		}
		return err
	}
	f.metrics.visible(b, time.Now())
	return f.settle(b)
}

// bury inserts the dead letters of refused rows: like rows, as a young reading's tombstones want them, however long they
// have waited.
func (f *flusher) bury(ctx context.Context, b *batch) error {
	if b.deadLetters.done || b.letters.Rows() == 0 {
		return nil
	}
	w, err := f.schemas.fresh(ctx)
	if err != nil {
		return err
	}
	if w.Erased != b.tombstones {
		b.tombstones = w.Erased
		b.buryCondemned(time.Now())
	}
	return f.insert(ctx, &b.deadLetters)
}

// insertTables is one attempt at every table that is not done. They do not depend on each other: one that fails does not
// keep the others out.
func (f *flusher) insertTables(ctx context.Context, b *batch) error {
	pending := b.pending()
	errs := make([]error, len(pending))
	var tables errgroup.Group
	tables.SetLimit(insertsAtOnce)
	for i, in := range pending {
		if in.hunt == nil {
			tables.Go(func() error {
				errs[i] = f.insertFresh(ctx, b, in)
				return nil
			})
		}
	}
	_ = tables.Wait()
	for i, in := range pending { // one after another: they look through the same records
		if v := classify(errs[i]); in.events != nil && in.hunt == nil && (v == poison || v == oversize) {
			f.hunt(b, in, errs[i])
		}
		if in.hunt != nil {
			errs[i] = f.bisect(ctx, b, in)
		}
	}
	return worst(errs)
}

// tripping is how many tables' breakers are open.
func (f *flusher) tripping(b *batch) (n int) {
	for _, in := range b.events {
		if in.hunt != nil && f.breaker.open(in.hunt.trial) {
			n++
		}
	}
	return n
}

// settle makes dead letters of the rows that are blamed, and the breaker's past of what was judged.
func (f *flusher) settle(b *batch) error {
	var rejected []blamed
	for _, in := range b.events {
		table := in.block.Table()
		if in.hunt == nil {
			f.breaker.settle(table, f.breaker.trial(table).add(in.block.Rows(), false))
			continue
		}
		f.breaker.settle(table, in.hunt.trial)
		rejected = append(rejected, in.hunt.blamed...)
		if n := len(in.hunt.blamed); n > 0 {
			f.health.log.Warn().Str("table", table).Int("rows", n).Str("detail", describe(in.hunt.last)).Msg("ClickHouse refuses rows: they become dead letters")
		}
	}
	if len(rejected) == 0 {
		return nil
	}
	return b.condemn(rejected, time.Now())
}

// insertFresh is insert for a table that may have waited for the tables before it longer than a reading is young.
func (f *flusher) insertFresh(ctx context.Context, b *batch, in *insertion) error {
	w, err := f.schemas.fresh(ctx)
	if err != nil {
		return err
	}
	if w != b.warehouse {
		return errStale
	}
	return f.insert(ctx, in)
}

// insert sends one block, unless it is in already. After an error the block keeps its rows and its token: if the rows
// were written and only the answer was lost, ClickHouse knows the token and writes nothing twice.
func (f *flusher) insert(ctx context.Context, in *insertion) error {
	if in.done || in.block.Rows() == 0 {
		return nil
	}
	if err := f.send(ctx, in); err != nil {
		return err
	}
	in.done = true
	return nil
}

// send is one INSERT.
func (f *flusher) send(ctx context.Context, in *insertion) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if err := in.block.Insert(ctx, f.conn, in.token.String()); err != nil {
		return err
	}
	f.metrics.rows.WithLabelValues(in.block.Table()).Add(float64(in.block.Rows()))
	return nil
}

// commitOffsets tells Kafka. **It is reached only when every table of the batch, and deliveries, has its rows**, and what
// it tells is the contiguous prefix of what batches before and this one have stored.
func (f *flusher) commitOffsets(b *batch) error {
	for _, s := range b.spans() {
		f.offsets.store(s)
	}
	due := f.offsets.due()
	if len(due) == 0 {
		return nil
	}
	if err := f.commit(due); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	f.offsets.commit(due)
	f.lag.committed(f.offsets.committed())
	return nil
}
