package backfill

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/schema"
)

// seekRows is up to how many stale rows are looked up by their IDs. With more, the whole table is read in one stream:
// payloads are then read of all its rows, since FINAL must choose before WHERE may. 100,000 IDs are a set of some 6 MB in ClickHouse.
const seekRows = 100_000

// fill types a table's stale rows again: one query streams them, one goroutine types them, another inserts them, so that
// reading goes on during an insert. **A chunk is one block, which ClickHouse takes whole or not at all, and there is one
// insert at a time: a run that is killed has at most one chunk written that it does not know of.**
func (b *Backfill) fill(ctx context.Context, w *schema.Warehouse, todo tableRows, result *Result) error {
	t := todo.table
	b.cfg.Progress.Start("type "+t.Name+" again", todo.rows)
	defer b.cfg.Progress.Done()

	free, full := make(chan *chunk, 2), make(chan *chunk)
	free <- newChunk(w, t, t)
	free <- newChunk(w, t, t)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(full)
		return b.readStale(ctx, todo, free, full)
	})
	g.Go(func() error {
		for c := range full {
			if err := c.write(ctx, b); err != nil {
				return err
			}
			result.Retyped += uint64(len(c.rows))
			result.Carried += uint64(len(c.odd))
			result.Erased += c.covered
			b.cfg.Progress.Add(len(c.rows))
			c.reset()
			free <- c // room for both
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("type %s again: %w", t.Name, err)
	}
	return nil
}

// readStale streams the rows into chunks.
func (b *Backfill) readStale(ctx context.Context, todo tableRows, free <-chan *chunk, full chan<- *chunk) error {
	t := todo.table
	from := b.name(t.Name) + " FINAL WHERE _schema < ?"
	query, args := "SELECT "+storedColumns+" FROM "+from, []any{t.Revision}
	if todo.rows <= seekRows {
		query, args = query+" AND event_id IN (SELECT event_id FROM "+from+")", append(args, t.Revision)
	}
	c := <-free
	err := b.stream(ctx, query, args, func(s stored) error {
		c.add(s)
		if !c.full(b.cfg.ChunkRows, b.cfg.ChunkBytes) {
			return nil
		}
		select {
		case full <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case c = <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil || len(c.rows) == 0 {
		return err
	}
	select {
	case full <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
