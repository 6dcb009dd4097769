package verify

import (
	"context"
	"fmt"
	"math/bits"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
)

const (
	// sliceEvents is how many events are compared at a time. ClickHouse keeps about 150 bytes for each.
	sliceEvents = 2_000_000

	// slicesMost bounds how often the tables are read. Beyond so many slices ClickHouse puts on disk what a slice keeps.
	slicesMost = 16

	// spill is how much memory of one slice ClickHouse may use before it does.
	spill = 256 << 20

	// offsetsMost bounds the offsets that one slice names in one partition.
	offsetsMost = 1_000_000
)

// events compares the ledger with the event tables, by the hash of the event ID. It counts each event once, where it was
// delivered first.
func (v *Verifier) events(ctx context.Context, r *findings, s *scope) error {
	var rows uint64
	if err := v.cfg.ClickHouse.QueryRow(ctx, v.sql("SELECT sum(total_rows) FROM system.tables WHERE database = '{name}' AND (name = 'deliveries' OR name IN ({names}))")).Scan(&rows); err != nil {
		return fmt.Errorf("count the tables' rows: %w", err)
	}
	slices := min(1<<bits.Len64(rows/2/sliceEvents), slicesMost) // half of them are the ledger's
	v.cfg.Progress.Start("compare with the event tables", rows*uint64(slices))
	defer v.cfg.Progress.Done()
	for i := range slices {
		var found []sliced
		for look := 1; ; look++ {
			before := total(found)
			var err error
			if found, err = v.slice(ctx, s, i, slices); err != nil {
				return err
			}
			if after := total(found); after == 0 || look == looks || look > 1 && after == before {
				break
			}
			if !sink.Wait(ctx, lookPause) {
				return ctx.Err()
			}
		}
		for _, f := range found {
			r.sliced(s, f)
		}
	}
	return nil
}

// sliced is what a slice has of one partition.
type sliced struct {
	Unknown   bool    `ch:"unknown"` // rows that no entry knows, by their own position
	Epoch     uint32  `ch:"epoch"`
	Partition int32   `ch:"partition"`
	Events    uint64  `ch:"events"`
	Rowless   uint64  `ch:"rowless"` // of them
	Offsets   []int64 `ch:"offsets"` // of the rowless events' first deliveries, or of the unknown rows
}

func total(found []sliced) (n uint64) {
	for _, f := range found {
		n += f.Rowless
		if f.Unknown {
			n += f.Events
		}
	}
	return n
}

// slice puts the ledger's hashes and the tables' together. **other_events stands first**: a row that backfill moves is
// written to its table before it is deleted there, and ClickHouse takes its snapshots of the tables one after the other.
func (v *Verifier) slice(ctx context.Context, s *scope, i, slices int) (found []sliced, err error) {
	in := func(hash string) string {
		return fmt.Sprintf("bitAnd(reinterpretAsUInt64(%s), %d) = %d", hash, slices-1, i)
	}
	var query strings.Builder
	for _, t := range v.tables {
		fmt.Fprintf(&query, "SELECT %s AS hash, toUInt8(if(_received_at < {since}, 2, 1)) AS row, %s AS place FROM {db}.%s WHERE %s\n    UNION ALL\n    ",
			schema.EventIDHash, place("0", "_partition", "_offset"), t, in(schema.EventIDHash))
	}
	// An erased delivery's event has a row like any other, if it is not counted as one: 3.
	fmt.Fprintf(&query, "SELECT event_id_hash, toUInt8(if(outcome = 'inserted', 0, 3)), %s FROM {db}.deliveries FINAL WHERE outcome IN ('inserted', 'erased') AND %s AND %s",
		place("topic_epoch", "kafka_partition", "kafka_offset"), in("event_id_hash"), s.where())
	sql := fmt.Sprintf(`SELECT entries + erased = 0 AS unknown, epoch, partition, countIf(entries > 0 OR unknown) AS events,
  countIf(NOT stored) AS rowless, groupArrayIf(%d)(offset, NOT stored OR unknown) AS offsets
FROM
(
  SELECT countIf(row = 0) AS entries, countIf(row = 3) AS erased, countIf(row IN (1, 2)) > 0 AS stored, countIf(row = 1) > 0 AS recent,
    multiIf(entries > 0, minIf(place, row = 0), erased > 0, minIf(place, row = 3), min(place)) AS first,
    toUInt32(bitShiftRight(first, 96)) AS epoch, toInt32(bitShiftRight(first, 64)) AS partition, toInt64(first) AS offset
  FROM
  (
    %s
  )
  GROUP BY hash
)
WHERE entries + erased > 0 OR recent AND %s
GROUP BY unknown, epoch, partition`, offsetsMost, query.String(), s.known())
	ctx = settings(ctx, clickhouse.WithProgress(func(p *clickhouse.Progress) { v.cfg.Progress.Add(int(p.Rows)) }))
	if err := v.cfg.ClickHouse.Select(ctx, &found, v.sql(sql)); err != nil {
		return nil, fmt.Errorf("compare the ledger with the event tables: %w", err)
	}
	return found, nil
}

// place packs a position into one number that orders like it: ClickHouse keeps the least of numbers in a third of the memory
// that it takes for tuples.
func place(epoch, partition, offset string) string {
	return fmt.Sprintf("bitOr(bitOr(bitShiftLeft(toUInt128(%s), 96), bitShiftLeft(toUInt128(%s), 64)), toUInt128(%s))", epoch, partition, offset)
}

// known is the condition on a row's own position that an entry must know it: it lies in what is looked at of an epoch. Rows
// do not have the epoch; the newest is the one that has new rows.
func (s *scope) known() string {
	var conditions []string
	for _, p := range s.parts {
		if p.epoch == s.epoch && p.all.len() > 0 {
			conditions = append(conditions, fmt.Sprintf("partition = %d AND offset >= %d AND offset < %d", p.partition, p.all.first, p.all.next))
		}
	}
	if len(conditions) == 0 {
		return "false"
	}
	return "(" + strings.Join(conditions, " OR ") + ")"
}
