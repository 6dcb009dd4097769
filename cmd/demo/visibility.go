package main

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// visibility watches, through ClickHouse, deliveries become visible, as somebody would who runs a query every 100 ms. The
// sink writes the ledger last: a delivery that it shows has its row in an event table already.
type visibility struct {
	warehouse warehouse

	mu        sync.Mutex // guards the rest
	sightings []sighting
	rows      int   // at the last look
	err       error // of the last look
}

// A sighting is how far a partition was visible at a moment.
type sighting struct {
	at        time.Time
	partition int32
	offset    int64 // the highest
}

// watch looks until ctx ends, and tells how many deliveries are visible. Between two looks nothing is known, so the times
// are at most one look too long, and never too short. A look that fails is no end: ClickHouse may be starting again.
func (v *visibility) watch(ctx context.Context, tell func(rows int)) {
	tick := time.NewTicker(awaitPoll)
	defer tick.Stop()
	for {
		err := v.look(ctx)
		v.mu.Lock()
		v.err = err
		rows := v.rows
		v.mu.Unlock()
		tell(rows)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// last is what the last look found.
func (v *visibility) last() (rows int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.rows, v.err
}

func (v *visibility) look(ctx context.Context) error {
	var found []struct {
		Partition int32  `ch:"kafka_partition"`
		Offset    int64  `ch:"offset"`
		N         uint64 `ch:"n"`
	}
	err := v.warehouse.conn.Select(ctx, &found, `
		SELECT kafka_partition, max(kafka_offset) AS offset, uniqExact(kafka_offset) AS n FROM deliveries GROUP BY kafka_partition`)
	if err != nil {
		return wrap("watch the ledger", err)
	}
	at := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rows = 0
	for _, f := range found {
		v.rows += int(f.N)
		v.sightings = append(v.sightings, sighting{at, f.Partition, f.Offset})
	}
	return nil
}

// quantiles are the times from receipt to visible of all deliveries, at these shares of them.
func (v *visibility) quantiles(ctx context.Context, shares ...float64) ([]time.Duration, error) {
	rows, err := v.warehouse.conn.Query(ctx, "SELECT kafka_partition, kafka_offset, received_at FROM deliveries FINAL")
	if err != nil {
		return nil, wrap("read the ledger", err)
	}
	defer rows.Close()
	byPartition := v.byPartition()
	var waits []time.Duration
	for rows.Next() {
		var partition int32
		var offset int64
		var received time.Time
		if err := rows.Scan(&partition, &offset, &received); err != nil {
			return nil, wrap("read the ledger", err)
		}
		seen := byPartition[partition]
		i, _ := slices.BinarySearchFunc(seen, offset, func(s sighting, offset int64) int { return cmp.Compare(s.offset, offset) })
		if i < len(seen) { // else it came after the last look
			waits = append(waits, seen[i].at.Sub(received))
		}
	}
	slices.Sort(waits)
	out := make([]time.Duration, len(shares))
	for i, share := range shares {
		if len(waits) > 0 {
			out[i] = waits[min(int(share*float64(len(waits))), len(waits)-1)]
		}
	}
	return out, rows.Err()
}

// byPartition keeps the first sighting of every offset.
func (v *visibility) byPartition() map[int32][]sighting {
	v.mu.Lock()
	defer v.mu.Unlock()
	by := map[int32][]sighting{}
	for _, s := range v.sightings {
		if seen := by[s.partition]; len(seen) == 0 || seen[len(seen)-1].offset < s.offset {
			by[s.partition] = append(seen, s)
		}
	}
	return by
}
