package erase

import (
	"context"
	"fmt"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

const (
	// sweepsPerSettle: what a sweep has blanked is looked for again after a sixth of SettleFor.
	sweepsPerSettle = 6

	// settleGiveUp times SettleFor without an empty sweep is not a sink that is about to read the tombstones: it never will.
	settleGiveUp = 10

	// groupLeads and groupBytes bound the leads that are looked for together: their IDs stand in the mutations' texts, which
	// ClickHouse keeps, on replicated tables in Keeper, whose limit is 1 MiB.
	groupLeads, groupBytes = 1000, 128 << 10
)

// run is what one Run knows.
type run struct {
	*Eraser
	warehouse *schema.Warehouse
	report    *Report
	groups    [][]string
	leads     map[string]*Lead
	tables    map[string]*Table
	first     bool // the first sweep

	decoder schema.Decoder
	emails  map[string]bool // the leads' addresses, in lower case
	events  map[string]bool // the IDs of their events
	places  map[place]bool  // where these lie in Kafka, as far as their rows know
	letters map[Position]bool
}

// Run does everything: it returns when nothing that is not blank is found about the leads, or with an error after which it
// may simply be run again.
func (e *Eraser) Run(ctx context.Context) (*Report, error) {
	r := &run{
		Eraser: e, report: &Report{DryRun: e.cfg.DryRun, Database: e.cfg.Database}, leads: map[string]*Lead{}, tables: map[string]*Table{}, first: true,
		emails: map[string]bool{}, events: map[string]bool{}, places: map[place]bool{}, letters: map[Position]bool{},
	}
	r.group()
	settled, err := r.tombstones(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.settle(ctx, settled); err != nil {
		return nil, err
	}
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	if err := r.reach(ctx); err != nil {
		return nil, err
	}
	r.finish()
	return r.report, nil
}

// group cuts the leads into groups.
func (r *run) group() {
	var group []string
	bytes := 0
	for _, lead := range r.cfg.Leads {
		if len(group) == groupLeads || bytes+len(lead) > groupBytes {
			r.groups, group, bytes = append(r.groups, group), nil, 0
		}
		group, bytes = append(group, lead), bytes+len(lead)
		r.leads[lead] = &Lead{ID: lead}
	}
	r.groups = append(r.groups, group)
}

// tombstones writes them, **before anything is blanked**, and says from when on every sink has read them.
func (r *run) tombstones(ctx context.Context) (settled time.Time, err error) {
	now := time.Now()
	for _, group := range r.groups {
		var all map[string]schema.Tombstone
		if r.cfg.DryRun {
			all, err = schema.ErasedOf(ctx, r.cfg.ClickHouse, r.cfg.Database, group)
		} else {
			all, err = schema.EraseAll(ctx, r.cfg.ClickHouse, r.cfg.Database, group, now)
		}
		if err != nil {
			return settled, fmt.Errorf("tombstones: %w", err)
		}
		for id, t := range all {
			erased := t.ErasedAt.UTC()
			r.leads[id].ErasedAt, r.leads[id].New = &erased, t.New
			at := erased
			if at.After(now) { // by another's clock: it cannot be long ago
				at = now
			}
			if at = at.Add(r.cfg.SettleFor); at.After(settled) {
				settled = at
			}
		}
	}
	return settled, nil
}

// settle sweeps at once, so that the data are gone quickly, and then **until a sweep that began when every sink had read the
// tombstones has found nothing**.
func (r *run) settle(ctx context.Context, settled time.Time) error {
	var giveUp time.Time
	for {
		began := time.Now()
		found, err := r.sweep(ctx)
		if err != nil {
			return err
		}
		r.first = false
		if giveUp.IsZero() { // a sweep may be long: what it found was history
			giveUp = later(time.Now(), settled).Add(settleGiveUp * r.cfg.SettleFor)
		}
		switch {
		case r.cfg.DryRun, found == 0 && !began.Before(settled):
			return nil
		case began.After(giveUp):
			return fmt.Errorf("rows about erased leads keep coming in unblanked, %d in the last sweep: does a sink run that fails to read the schema, or one of an older version? Mend it and run erase again", found)
		}
		wait := r.cfg.SettleFor / sweepsPerSettle
		if left := time.Until(settled); left > 0 {
			wait = left
			r.cfg.Logger.Info().Dur("wait", left).Uint64("blanked", found).Msg("waiting until every sink has read the tombstones, to look again")
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// refresh fills materialized views anew: they hold what the event tables held. Also where nothing was left to blank: the run
// before may have been killed here.
func (r *run) refresh(ctx context.Context) error {
	if r.cfg.DryRun {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.WaitFor) // clickhouse-go's own deadline is 5 minutes
	defer cancel()
	if err := schema.RefreshViews(ctx, r.cfg.ClickHouse, r.cfg.Database); err != nil {
		return fmt.Errorf("what is left in materialized views: %w", err)
	}
	return nil
}

// sweep looks through everything once, and blanks what it finds.
func (r *run) sweep(ctx context.Context) (found uint64, err error) {
	if r.warehouse, err = schema.Load(ctx, r.cfg.ClickHouse, r.cfg.Database); err != nil {
		return 0, err
	}
	for _, group := range r.groups {
		for _, t := range r.warehouse.Tables {
			n, err := r.sweepTable(ctx, t, group)
			if err != nil {
				return found, fmt.Errorf("erase from %s: %w", t.Name, err)
			}
			found += n
		}
		n, err := r.sweepLetters(ctx, group)
		if err != nil {
			return found, fmt.Errorf("erase from %s: %w", deadLetters, err)
		}
		found += n
	}
	return found, nil
}

// table is a table's line of the report.
func (r *run) table(name string) *Table {
	t := r.tables[name]
	if t == nil {
		t = &Table{Name: name}
		r.tables[name] = t
		r.report.Tables = append(r.report.Tables, t)
	}
	return t
}

// pause waits, unless the context ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
