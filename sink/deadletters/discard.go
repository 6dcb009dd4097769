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
	Settled uint64 // found inserted by the ledger, and replayed therefore
}

// errNotOpen is of a selection that a discard could undo something with.
var errNotOpen = errors.New("only open dead letters can be discarded")

// Discard says of every letter of the selection that nothing will be done about it. **Row, bytes and the ledger's entry stay
// as they are.** The selection's filter must mean open letters alone.
func (t *Table) Discard(ctx context.Context, s *Selection) (done Discarded, err error) {
	if !slices.Equal(s.filter.Statuses, []schema.Status{schema.Open}) {
		return done, errNotOpen
	}
	t.cfg.Progress.Start("discard dead letters", s.Letters())
	defer t.cfg.Progress.Done()
	err = t.chunks(ctx, s, func(chunk []*Letter) error {
		if err := t.become(ctx, schema.Discarded, chunk); err != nil {
			return fmt.Errorf("discard: %w", err)
		}
		// After, and not before: a replay that writes the ledger from now on will write its status too, which wins.
		inserted, err := t.inserted(ctx, chunk)
		if err != nil {
			return err
		}
		done.Letters += uint64(len(chunk) - len(inserted))
		done.Settled += uint64(len(inserted))
		t.cfg.Progress.Add(len(chunk))
		return nil
	})
	return done, err
}

// inserted settles those of the letters that the ledger calls inserted, and returns them.
func (t *Table) inserted(ctx context.Context, letters []*Letter) ([]*Letter, error) {
	outcomes, err := try(ctx, t, func(ctx context.Context) (map[Position]schema.Outcome, error) { return t.outcomes(ctx, letters) })
	if err != nil {
		return nil, err
	}
	inserted := slices.DeleteFunc(slices.Clone(letters), func(l *Letter) bool { return outcomes[l.Position] != schema.Inserted })
	return inserted, t.settle(ctx, inserted)
}
