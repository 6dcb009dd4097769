package backfill

import (
	"context"
	"fmt"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

const (
	// sweepsPerSettle: a row written by a sink with older columns is found within a sixth of SettleFor, 5 s by default,
	// at the price of one narrow scan of each table.
	sweepsPerSettle = 6

	// settleGiveUp times SettleFor without a quiet moment is not a sink that is about to reload: it never will. Another run
	// of backfill may write such rows as well; it takes about as long as this one's first sweep, which is added.
	settleGiveUp = 10
)

// settle sweeps until **no row typed with older columns has appeared for SettleFor**: a sink that has not reloaded yet, or
// holds a batch typed before it did, may still write some.
func (b *Backfill) settle(ctx context.Context, result *Result) error {
	changed, err := b.lastChange(ctx)
	if err != nil {
		return fmt.Errorf("read when the schema was changed: %w", err)
	}
	var (
		swept  time.Time // end of the first sweep
		giveUp time.Duration
	)
	for {
		began := time.Now()
		found, err := b.sweepThrough(ctx, result)
		if err != nil {
			return err
		}
		switch {
		case swept.IsZero(): // what it found was history
			swept = time.Now()
			giveUp = settleGiveUp*b.cfg.SettleFor + swept.Sub(began)
			if swept.Sub(changed) < b.cfg.SettleFor {
				b.print(fmt.Sprintf("Watching until no sink has written rows with older columns for %v.\n", b.cfg.SettleFor))
			}
		case found && time.Since(swept) > giveUp:
			return fmt.Errorf("rows typed with columns older than revision %d keep coming after %v: does a sink fail to reload the schema? Mend it and run backfill again",
				result.Revision, time.Since(swept).Round(time.Second))
		case found: // they came since the sweep before
			changed = began
		}
		if !found && began.Sub(changed) >= b.cfg.SettleFor {
			return nil
		}
		if err := pause(ctx, b.cfg.SettleFor/sweepsPerSettle); err != nil {
			return err
		}
	}
}

// sweepThrough sweeps again after faults that may pass, until one sweep has come to its end.
func (b *Backfill) sweepThrough(ctx context.Context, result *Result) (found bool, err error) {
	again := newRetry(b.backOff(), b.cfg.RetryFor)
	for {
		before := *result
		some, err := b.sweep(ctx, result)
		if found = found || some; err == nil {
			return found, nil
		}
		if *result != before {
			again.reset()
		}
		if err := again.after(ctx, err, b.cfg.Logger); err != nil {
			return false, err
		}
	}
}

// sweep does what there is to do, with the newest schema, and says whether there was anything.
func (b *Backfill) sweep(ctx context.Context, result *Result) (found bool, err error) {
	w, err := schema.Load(ctx, b.cfg.ClickHouse, b.cfg.Database)
	if err != nil {
		return false, err
	}
	result.Revision = w.Revision
	todo, err := b.look(ctx, w)
	if err != nil {
		return false, err
	}
	for _, t := range todo.stale {
		if err := b.fill(ctx, w, t, result); err != nil {
			return true, err
		}
	}
	for _, t := range todo.moves {
		if err := b.move(ctx, w, t, result); err != nil {
			return true, err
		}
	}
	return !todo.empty(), nil
}

// lastChange is when the newest columns or tables came, by our clock; zero when no sink can know older ones: nothing came
// before revision 1, without which a sink does not start. A run that finds nothing to do soon after another has applied
// something must watch as well: that one may have been killed.
func (b *Backfill) lastChange(ctx context.Context) (time.Time, error) {
	w, err := schema.Load(ctx, b.cfg.ClickHouse, b.cfg.Database)
	if err != nil {
		return time.Time{}, err
	}
	var newest uint32
	for _, t := range w.Tables {
		newest = max(newest, t.Revision)
	}
	if newest <= 1 {
		return time.Time{}, nil
	}
	var age int64 // ms, by ClickHouse's clock against the one of whoever made the change
	err = b.cfg.ClickHouse.QueryRow(ctx, "SELECT dateDiff('millisecond', max(changed_at), now64(3)) FROM "+b.name("schema_changes")+
		" WHERE revision = ?", newest).Scan(&age)
	return time.Now().Add(-time.Duration(max(age, 0)) * time.Millisecond), err
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
