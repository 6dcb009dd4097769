package backfill

import (
	"context"
	"fmt"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
)

// refresh leaves no view that shows what the rows were before this run: those that are tables are filled anew when rows
// were typed again or moved. **A refresh that has failed is the run's error**, whenever it was: the next one fails as well.
func (b *Backfill) refresh(ctx context.Context, r Result) error {
	if r.Retyped+r.Moved > 0 {
		if err := schema.RefreshViews(ctx, b.cfg.ClickHouse, b.cfg.Database); err != nil {
			return err
		}
	}
	return schema.CheckRefreshes(ctx, b.cfg.ClickHouse, b.cfg.Database)
}

// fills reports the progress of a plan's steps that fill tables.
type fills struct {
	b *Backfill

	mu    sync.Mutex // a query that is given up may still tell how far it is
	under bool       // a fill is under way
}

// watch is a context whose queries tell how many rows they have read.
func (f *fills) watch(ctx context.Context) context.Context {
	return clickhouse.Context(ctx, clickhouse.WithProgress(func(p *clickhouse.Progress) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.under {
			f.b.cfg.Progress.Add(int(p.Rows))
		}
	}))
}

// step ends the fill before, and begins one if the step is one.
func (f *fills) step(ctx context.Context, s schema.Step) {
	f.end()
	if len(s.Fills) == 0 {
		return
	}
	var rows uint64 // an estimate, and 0 if it cannot be had: the fill itself will say why
	_ = f.b.cfg.ClickHouse.QueryRow(ctx, "SELECT ifNull(sum(total_rows), 0) FROM system.tables WHERE database = ? AND name IN ?",
		f.b.cfg.Database, s.Fills).Scan(&rows)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.b.cfg.Progress.Start(fmt.Sprintf("fill %s", s.View), rows)
	f.under = true
}

func (f *fills) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.under {
		f.under = false
		f.b.cfg.Progress.Done()
	}
}
