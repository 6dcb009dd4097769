package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// place is a partition of the topic, as one event table sees it: the sink inserts tables one by one.
type place struct {
	table     string
	partition int32
}

// A sighting is how far a place was visible at a moment.
type sighting struct {
	at     time.Time
	offset int64 // the highest
}

// sightings are of one database, in order of time.
type sightings struct {
	mu    sync.Mutex // guards all below
	by    map[place][]sighting
	begun time.Time // when the last whole look began
}

// watch looks again and again until ctx ends. A block becomes visible as a whole and a table's blocks one after another,
// so the highest offset of a place tells of all below it.
func (r *rig) watch(ctx context.Context, database string, seen *sightings) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		begun := time.Now()
		var rows []struct {
			Table     string `ch:"_table"`
			Partition int32  `ch:"_partition"`
			Offset    int64  `ch:"offset"`
		}
		err := r.conn.Select(ctx, &rows, "SELECT _table, _partition, max(_offset) AS offset FROM "+allEvents(database)+" GROUP BY ALL")
		if err != nil {
			return fmt.Errorf("look for rows: %w", err)
		}
		found := make(map[place]int64, len(rows))
		for _, row := range rows {
			found[place{row.Table, row.Partition}] = row.Offset
		}
		seen.add(found, begun, time.Now())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// add notes what is new. The moment of a sighting is when the answer is there.
func (s *sightings) add(found map[place]int64, begun, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[place][]sighting{}
	}
	for p, offset := range found {
		if before := s.by[p]; len(before) == 0 || before[len(before)-1].offset < offset {
			s.by[p] = append(before, sighting{at, offset})
		}
	}
	s.begun = begun
}

// next returns after a look that has begun after the call.
func (s *sightings) next(ctx context.Context) error {
	now := time.Now()
	return await(ctx, "another look", awaitLimit, lookAgain, func(context.Context) (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.begun.After(now), nil
	})
}

// first is when a row was seen first.
func (s *sightings) first(p place, offset int64) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.by[p]
	i, _ := slices.BinarySearchFunc(seen, offset, func(s sighting, offset int64) int { return int(s.offset - offset) })
	if i == len(seen) {
		return time.Time{}, false
	}
	return seen[i].at, true
}
