package deadletters

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leadhouse/leadhouse/schema"
)

// Discarded is what a Discard did.
type Discarded struct {
	Letters uint64 // now discarded
	Settled uint64 // found to be in the warehouse already, and replayed therefore
}

// errNotOpen is of a selection that a discard could undo something with.
var errNotOpen = errors.New("only open dead letters can be discarded")

// Discard says of every letter of the selection that nothing will be done about it. **Row, bytes and the ledger's entry stay
// as they are.** The selection's filter must mean open letters alone.
func (t *Table) Discard(ctx context.Context, s *Selection) (done Discarded, err error) {
	if !slices.Equal(s.filter.Statuses, []schema.Status{schema.Open}) {
		return done, errNotOpen
	}
	r := &replay{Table: t}
	if err := r.load(ctx); err != nil {
		return done, err
	}
	t.cfg.Progress.Start("discard dead letters", s.Letters())
	defer t.cfg.Progress.Done()
	err = t.chunks(ctx, s, func(chunk []*Letter) error {
		settled, err := r.discard(ctx, chunk)
		if err != nil {
			return fmt.Errorf("discard: %w", err)
		}
		done.Letters += uint64(len(chunk) - settled)
		done.Settled += uint64(settled)
		t.cfg.Progress.Add(len(chunk))
		return nil
	})
	return done, err
}

// discard returns how many of the letters are replayed instead.
func (r *replay) discard(ctx context.Context, chunk []*Letter) (settled int, err error) {
	here, others, err := r.present(ctx, chunk)
	if err != nil {
		return 0, err
	}
	if err := r.record(ctx, here, nil); err != nil {
		return 0, err
	}
	if err := r.become(ctx, schema.Discarded, others); err != nil {
		return 0, err
	}
	// After, and not before: a replay that writes the ledger from now on will write its status too, which wins.
	inserted, err := r.inserted(ctx, others)
	return len(here) + len(inserted), err
}

// present tells the letters apart whose event is in its table: the row of a replay that was killed before the ledger, or
// of another delivery. It is there, so the ledger has to say so.
func (r *replay) present(ctx context.Context, chunk []*Letter) (here []*pending, others []*Letter, err error) {
	var events []*pending
	for _, l := range chunk {
		p := &pending{Letter: l}
		if r.decode(p); p.refusal == nil {
			events = append(events, p)
		} else {
			others = append(others, l)
		}
	}
	for _, of := range r.byTable(events) {
		found, err := try(ctx, r.Table, func(ctx context.Context) (map[string]bool, error) { return r.eventIDs(ctx, of) })
		if err != nil {
			return nil, nil, err
		}
		for _, p := range of {
			if found[p.eventID] {
				here = append(here, p)
			} else {
				others = append(others, p.Letter)
			}
		}
	}
	return here, others, nil
}

// eventIDs are those of some events of one table that it has a row of.
func (r *replay) eventIDs(ctx context.Context, of []*pending) (map[string]bool, error) {
	ids := make([]string, len(of))
	for i, p := range of {
		ids[i] = p.eventID
	}
	table := r.warehouse.TableFor(of[0].eventType).Name
	rows, err := r.cfg.ClickHouse.Query(ctx, "SELECT DISTINCT event_id FROM "+r.name(table)+" WHERE event_id IN (SELECT arrayJoin(?))", ids)
	if err != nil {
		return nil, fmt.Errorf("look for events in %s: %w", table, err)
	}
	defer rows.Close()
	found := map[string]bool{}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("look for events in %s: %w", table, err)
		}
		found[id] = true
	}
	return found, rows.Err()
}

// isIn says of an outcome that the record's event is in its table.
func isIn(o schema.Outcome) bool { return o == schema.Inserted || o == schema.Erased }

// inserted settles those of the letters that the ledger calls inserted or erased, and returns them.
func (t *Table) inserted(ctx context.Context, letters []*Letter) ([]*Letter, error) {
	outcomes, err := try(ctx, t, func(ctx context.Context) (map[Position]schema.Outcome, error) { return t.outcomes(ctx, letters) })
	if err != nil {
		return nil, err
	}
	inserted := slices.DeleteFunc(slices.Clone(letters), func(l *Letter) bool { return !isIn(outcomes[l.Position]) })
	return inserted, t.settle(ctx, inserted)
}
