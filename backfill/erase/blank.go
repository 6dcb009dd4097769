package erase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
)

// Blanking is done by ALTER TABLE … UPDATE, a mutation: ClickHouse writes the columns of every part that holds such a row anew,
// and drops the old part. An UPDATE … SET would be quicker, and lay a patch over bytes that stay on the disk until a merge.

// rowsAtOnce bounds the rows that one mutation names: its text goes to Keeper, whose limit is 1 MiB.
const rowsAtOnce = 2000

// sweepTable blanks what it finds in a table.
func (r *run) sweepTable(ctx context.Context, t *schema.Table, group []string) (uint64, error) {
	unblanked, err := r.warehouse.Unblanked(ctx, r.cfg.ClickHouse, t)
	if err != nil {
		return 0, err
	}
	line := r.table(t.Name)
	f, err := r.find(ctx, t, group, unblanked)
	line.already(r.first, f.blank)
	todo := f.typed + uint64(len(f.others)) + f.masked
	if err != nil || todo == 0 || r.cfg.DryRun {
		line.Blanked += todo
		return todo, err
	}
	blanking, err := r.warehouse.Blanking(ctx, r.cfg.ClickHouse, t)
	if err != nil {
		return 0, err
	}
	if f.typed > 0 {
		err := r.mutate(ctx, t.Name, f.typed, "UPDATE "+blanking+" WHERE ifNull(`"+t.LeadColumn()+"` IN ?, false) AND "+unblanked, group)
		if err != nil {
			return 0, err
		}
		line.Blanked += f.typed
	}
	for some := range slices.Chunk(f.others, rowsAtOnce) {
		var keys []clickhouse.GroupSet
		for _, one := range some {
			keys = append(keys, clickhouse.GroupSet{Value: []any{one.eventID, one.version, one.at.partition, one.at.offset}})
		}
		err := r.mutate(ctx, t.Name, uint64(len(some)), "UPDATE "+blanking+" WHERE (event_id, _version, _partition, _offset) IN (?) AND "+unblanked, keys)
		if err != nil {
			return 0, err
		}
		line.Blanked += uint64(len(some))
	}
	return todo, r.removeMasked(ctx, line, f.masked)
}

// sweepLetters blanks what it finds in dead_letters.
func (r *run) sweepLetters(ctx context.Context, group []string) (uint64, error) {
	line := r.table(deadLetters)
	letters, masked, blank, err := r.findLetters(ctx, group)
	line.already(r.first, blank)
	todo := uint64(len(letters)) + masked
	if err != nil || todo == 0 || r.cfg.DryRun {
		line.Blanked += todo
		return todo, err
	}
	for some := range slices.Chunk(letters, rowsAtOnce) {
		var keys []clickhouse.GroupSet
		for _, l := range some {
			keys = append(keys, clickhouse.GroupSet{Value: []any{l.Epoch, l.Partition, l.Offset}})
		}
		err := r.mutate(ctx, deadLetters, uint64(len(some)), "UPDATE "+schema.BlankingLetters()+
			" WHERE (topic_epoch, kafka_partition, kafka_offset) IN (?) AND "+schema.UnblankedLetters(), keys)
		if err != nil {
			return 0, err
		}
		line.Blanked += uint64(len(some))
	}
	return todo, r.removeMasked(ctx, line, masked)
}

// removeMasked takes rows out that a lightweight DELETE has only masked, as backfill's move does with what it has moved: an
// UPDATE passes over parts that hold no others.
func (r *run) removeMasked(ctx context.Context, line *Table, masked uint64) error {
	if masked == 0 {
		return nil
	}
	line.Blanked += masked
	return r.mutate(ctx, line.Name, masked, "APPLY DELETED MASK")
}

// mutate runs one mutation and waits for it, on all replicas.
func (r *run) mutate(ctx context.Context, table string, rows uint64, command string, args ...any) error {
	r.cfg.Progress.Start("blank "+table, rows)
	defer r.cfg.Progress.Done()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.WaitFor)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- r.cfg.ClickHouse.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
			"mutations_sync": 2, "max_query_size": queryBytes,
		})), "ALTER TABLE "+r.name(table)+" "+command, args...)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var of watched
	for {
		select {
		case err := <-done:
			if err == nil {
				r.cfg.Progress.Add(int(rows - of.told))
				return nil
			}
			return r.explain(ctx, table, err)
		case <-tick.C:
			r.watch(ctx, table, rows, &of)
		}
	}
}

// watched is how far a mutation was when it was looked at last.
type watched struct{ parts, told uint64 }

// watch tells of a mutation's way through the parts. What it cannot read it does not tell: the mutation's own end counts.
func (r *run) watch(ctx context.Context, table string, rows uint64, of *watched) {
	var left int64
	err := r.cfg.ClickHouse.QueryRow(ctx, "SELECT sum(parts_to_do) FROM system.mutations WHERE database = ? AND table = ? AND NOT is_done",
		r.cfg.Database, table).Scan(&left)
	if err != nil || left <= 0 {
		return
	}
	of.parts = max(of.parts, uint64(left))
	if at := rows * (of.parts - uint64(left)) / of.parts; at > of.told {
		r.cfg.Progress.Add(int(at - of.told))
		of.told = at
	}
}

// unfinished is ClickHouse's code for a mutation that it could not finish.
const unfinished = 341

// Of ClickHouse's message only the names are told: a mutation of somebody's may fail over a value, and quote it.
var (
	mutationNames = regexp.MustCompile(`mutations? '([^']+)'`)
	errorName     = regexp.MustCompile(`\(([A-Z][A-Z0-9_]+)\)`)
)

// explain says why a mutation has not come to its end, and what to do.
func (r *run) explain(ctx context.Context, table string, err error) error {
	look := fmt.Sprintf("SELECT * FROM system.mutations WHERE database = '%s' AND table = '%s' AND NOT is_done", r.cfg.Database, table)
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	switch {
	case ok && exception.Code == unfinished:
		name, reason := "", "an unknown reason"
		if m := mutationNames.FindStringSubmatch(exception.Message); m != nil {
			name = " " + m[1]
		}
		if m := errorName.FindStringSubmatch(exception.Message); m != nil {
			reason = m[1]
		}
		return fmt.Errorf("ClickHouse cannot finish the mutation%s: %s. Nothing is blanked before it can; %s shows why, KILL MUTATION ends one that never will. Then run erase again", name, reason, look)
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded): // the connection's may be quicker
		return fmt.Errorf("the mutation has not come to its end within %v: it goes on by itself, %s shows how far it is. Then run erase again", r.cfg.WaitFor, look)
	}
	return fmt.Errorf("blank: %w", err)
}
