package deadletters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
)

// Result is what a Replay did; with DryRun, what it would try.
type Result struct {
	Replayed map[string]uint64        // letters whose event is in its table now, by table
	Stayed   map[schema.Reason]uint64 // letters that are what they were, by why they are no row (today's reason)
	Settled  uint64                   // letters whose record sink, or a replay that was killed, had inserted
	Blanked  uint64                   // of Replayed: whose lead has been erased, so that the row has nothing personal
	Erased   uint64                   // letters left alone: their bytes are gone, or the ledger says that their event was erased
}

// Replays and Stays are the sums.
func (r Result) Replays() (n uint64) { return sum(r.Replayed) }

// Stays is how many letters are what they were.
func (r Result) Stays() (n uint64) { return sum(r.Stayed) }

func sum[K comparable](counts map[K]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// replay is one run.
type replay struct {
	*Table
	dry       bool
	warehouse *schema.Warehouse
	decoder   schema.Decoder
	result    Result
}

// pending is a letter on its way.
type pending struct {
	*Letter
	eventID, eventType string
	table              string          // that its event is in, once it is
	erased             bool            // a tombstone covers it: its row is blanked
	refusal            *schema.Refusal // why it is no row
}

// Replay decodes every letter of the selection again and inserts what is an event now. What still is none, and what
// ClickHouse still refuses, stays as it is, with the reason and detail of today; the Result counts it. An error is about
// the whole: what is done stays done, and the next Replay goes on. With dry nothing is written: letters are decoded only.
func (t *Table) Replay(ctx context.Context, s *Selection, dry bool) (Result, error) {
	r := &replay{Table: t, dry: dry, result: Result{Replayed: map[string]uint64{}, Stayed: map[schema.Reason]uint64{}}}
	if err := r.load(ctx); err != nil {
		return r.result, err
	}
	if !dry {
		if err := r.settleDiscarded(ctx); err != nil {
			return r.result, err
		}
	}
	t.cfg.Progress.Start("replay dead letters", s.Letters())
	defer t.cfg.Progress.Done()
	err := t.chunks(ctx, s, func(chunk []*Letter) error {
		if err := r.chunk(ctx, chunk); err != nil {
			return err
		}
		t.cfg.Progress.Add(len(chunk))
		return nil
	})
	return r.result, err
}

func (r *replay) load(ctx context.Context) (err error) {
	r.warehouse, err = schema.Load(ctx, r.cfg.ClickHouse, r.cfg.Database)
	return err
}

// settleDiscarded finishes what a replay left that was killed after the ledger, while somebody discarded the letter.
func (r *replay) settleDiscarded(ctx context.Context) error {
	s, err := try(ctx, r.Table, func(ctx context.Context) (*Selection, error) {
		return r.Select(ctx, Filter{Statuses: []schema.Status{schema.Discarded}})
	})
	if err != nil {
		return err
	}
	return r.chunks(ctx, s, func(chunk []*Letter) error {
		inserted, err := r.inserted(ctx, chunk)
		r.result.Settled += uint64(len(inserted))
		return err
	})
}

// chunk takes letters through: decode, insert, ledger, status.
func (r *replay) chunk(ctx context.Context, chunk []*Letter) error {
	outcomes, err := try(ctx, r.Table, func(ctx context.Context) (map[Position]schema.Outcome, error) { return r.outcomes(ctx, chunk) })
	if err != nil {
		return err
	}
	var all, events []*pending
	var gone []*Letter
	for _, l := range chunk {
		if l.Erased() {
			gone = append(gone, l)
			continue
		}
		p := &pending{Letter: l}
		if r.decode(p); outcomes[l.Position] == schema.Erased && !p.erased { // its lead was erased: it must not come back
			r.result.Erased++
			continue
		}
		all = append(all, p)
		if p.refusal == nil {
			events = append(events, p)
		}
	}
	if err := r.bury(ctx, gone, outcomes); err != nil {
		return err
	}
	if r.dry {
		for _, p := range events {
			p.table = r.warehouse.TableFor(p.eventType).Name
		}
		r.count(all)
		return nil
	}
	for _, of := range r.byTable(events) {
		if err := r.insert(ctx, of); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
	}
	if err := r.pardon(ctx, events); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if err := r.record(ctx, all, outcomes); err != nil {
		return err
	}
	r.count(all)
	return nil
}

// bury leaves letters without bytes alone, except that those whose event is in its table are replayed.
func (r *replay) bury(ctx context.Context, gone []*Letter, outcomes map[Position]schema.Outcome) error {
	var settled []*Letter
	for _, l := range gone {
		if isIn(outcomes[l.Position]) && l.Status != schema.Replayed {
			settled = append(settled, l)
		}
	}
	r.result.Settled += uint64(len(settled))
	r.result.Erased += uint64(len(gone) - len(settled))
	if r.dry {
		return nil
	}
	return r.settle(ctx, settled)
}

func (r *replay) decode(p *pending) {
	e, err := r.decoder.Decode(p.Payload)
	if err != nil {
		refusal, ok := errors.AsType[*schema.Refusal](err)
		if !ok { // it is documented to be one
			refusal = &schema.Refusal{Reason: schema.BadEnvelope, Detail: err.Error()}
		}
		p.refusal = refusal
		return
	}
	p.eventID, p.eventType = e.ID, e.Type
	p.erased = r.warehouse.Erased.Covers(e)
}

// byTable keeps a table's rows together, so that a table that refuses some leaves the others' alone.
func (r *replay) byTable(events []*pending) (groups [][]*pending) {
	at := map[*schema.Table]int{}
	for _, p := range events {
		t := r.warehouse.TableFor(p.eventType)
		i, known := at[t]
		if !known {
			i = len(groups)
			at[t] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], p)
	}
	return groups
}

// insert writes events as rows. A block that ClickHouse refuses for its content is halved until **the rows to blame are
// alone**. There are no tokens: what goes in twice collapses, while tokens of ours would push the sinks' own out of the
// table's window.
func (r *replay) insert(ctx context.Context, events []*pending) error {
	err := r.do(ctx, func(ctx context.Context) error { return r.attempt(ctx, events) })
	switch v := sink.Judge(err); {
	case err == nil:
		return nil
	case v != sink.Poison && v != sink.Oversize:
		return err
	case len(events) == 1:
		events[0].refusal = &schema.Refusal{Reason: schema.Rejected, Detail: sink.Verbatim(err)}
		return nil
	}
	middle := len(events) / 2
	if err := r.insert(ctx, events[:middle]); err != nil {
		return err
	}
	return r.insert(ctx, events[middle:])
}

// attempt types events with the columns of now and sends them, a block a table: they were of one, but the schema may have
// been read anew since. **It reads the tombstones first**, however long the replay has been running or waiting.
func (r *replay) attempt(ctx context.Context, events []*pending) error {
	stones, err := r.warehouse.Erased.Reload(ctx, r.cfg.ClickHouse, r.cfg.Database)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, of := range r.byTable(events) {
		table := r.warehouse.TableFor(of[0].eventType)
		block := schema.NewEventBlock(r.warehouse, table)
		for _, p := range of {
			e, err := r.decoder.Decode(p.Payload)
			if err != nil { // it was an event just now
				return fmt.Errorf("decode %s again: %w", p.Position, err)
			}
			if p.erased = stones.Covers(e); p.erased {
				block.AppendErased(e, p.record(now))
			} else {
				block.Append(e, p.Payload, p.record(now))
			}
		}
		if err := block.Insert(ctx, r.cfg.ClickHouse, ""); err != nil {
			if sink.Judge(err) == sink.Mistyped {
				err = errors.Join(err, r.load(ctx)) // the next attempt has today's columns
			}
			return err
		}
		for _, p := range of {
			p.table = table.Name
		}
	}
	return nil
}

// pardon clears those that ClickHouse refuses today and whose event is in its table all the same, from another time.
func (r *replay) pardon(ctx context.Context, events []*pending) error {
	refused := slices.DeleteFunc(slices.Clone(events), func(p *pending) bool { return p.refusal == nil })
	for _, of := range r.byTable(refused) {
		found, err := try(ctx, r.Table, func(ctx context.Context) (map[string]bool, error) { return r.eventIDs(ctx, of) })
		if err != nil {
			return err
		}
		for _, p := range of {
			if found[p.eventID] {
				p.refusal = nil
			}
		}
	}
	return nil
}

// record writes what has become of the letters: **first the ledger, of those whose row is in, then the statuses.**
func (r *replay) record(ctx context.Context, all []*pending, outcomes map[Position]schema.Outcome) error {
	var in []*pending
	var replayed, settled []*Letter
	for _, p := range all {
		switch {
		case p.refusal == nil:
			in, replayed = append(in, p), append(replayed, p.Letter)
		case isIn(outcomes[p.Position]) && p.Status != schema.Replayed: // its row is there, from before
			settled = append(settled, p.Letter)
			p.refusal = nil
		}
	}
	if err := r.enter(ctx, in); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if err := r.become(ctx, schema.Replayed, replayed); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if err := r.settle(ctx, settled); err != nil {
		return err
	}
	return r.stay(ctx, all)
}

// stay writes what is known of the others today.
func (r *replay) stay(ctx context.Context, all []*pending) error {
	for _, status := range []schema.Status{schema.Open, schema.Discarded} {
		var changed []*Letter
		for _, p := range all {
			if p.refusal != nil && p.Status == status && (p.Reason != p.refusal.Reason || p.Detail != p.refusal.Detail) {
				p.Reason, p.Detail = p.refusal.Reason, p.refusal.Detail
				changed = append(changed, p.Letter)
			}
		}
		if err := r.become(ctx, status, changed); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
	}
	return nil
}

func (r *replay) count(all []*pending) {
	for _, p := range all {
		switch {
		case p.refusal != nil:
			r.result.Stayed[p.refusal.Reason]++
		case p.table == "":
			r.result.Settled++
		default:
			r.result.Replayed[p.table]++
			if p.erased {
				r.result.Blanked++
			}
		}
	}
}

// Tables are those of the Result in order.
func (r Result) Tables() []string {
	var names []string
	for name := range r.Replayed {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
