package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
)

var freshnessBench = bench{
	name: "freshness",
	run:  runFreshness,
	notes: []string{
		fmt.Sprintf("at fixed moments, %d a second, whatever the answers (open loop). From the record's time, which is when ingest received the delivery, until a client has the answer to a SELECT that sees its row in its event table. Somebody asks every %v: the times are up to one such look too long, never too short. What was received in the first %v is left out.", eventsPerSecond, lookAgain, settleIn),
	},
}

const (
	eventsPerSecond = 1000

	// freshnessSlack is what p99 may have above the flush interval.
	freshnessSlack = 150 * time.Millisecond

	// lookAgain is the pause between two looks. A look takes some 7 ms of the two cores that everything else runs on, which
	// are busy: with 20 ms between them p99 was 30 ms longer, though each was seen sooner.
	lookAgain = 50 * time.Millisecond

	// settleIn is left out of the figures, or the first half of a stream that is shorter than twice that.
	settleIn = 2 * time.Second
)

var flushIntervals = []time.Duration{100 * time.Millisecond, time.Second}

// unlinked is how long ext4 without a journal, which virtual machines like to have, does not use the inode of a deleted file
// again: until then every file that is created walks over all of them (recently_deleted in fs/ext4/ialloc.c). Half of
// ClickHouse's CPU went there, by perf, after another bench had dropped its tables: a p99 of 250 ms became 400. So this one
// begins late enough, and drops nothing between its rounds.
const unlinked = 40 * time.Second

func runFreshness(ctx context.Context, r *rig) (results, error) {
	r.say("freshness: waiting %v, until the file system has forgotten the files that were deleted before", unlinked)
	select {
	case <-time.After(unlinked):
	case <-ctx.Done():
		return results{}, ctx.Err()
	}
	p50s, p99s := make([][]time.Duration, len(flushIntervals)), make([][]time.Duration, len(flushIntervals))
	for round := range r.rounds {
		for i, interval := range flushIntervals {
			waits, err := r.streamEvents(ctx, interval)
			if err != nil {
				return results{}, err
			}
			p50s[i], p99s[i] = append(p50s[i], quantile(waits, 0.5)), append(p99s[i], quantile(waits, 0.99))
			r.say("freshness, round %d of %d, flush every %v: p50 %v, p99 %v, the last %v", round+1, r.rounds, interval,
				p50s[i][round].Round(time.Millisecond), p99s[i][round].Round(time.Millisecond), waits[len(waits)-1].Round(time.Millisecond))
		}
	}
	var figures []figure
	for i, interval := range flushIntervals {
		ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
		figures = append(figures,
			figure{what: fmt.Sprintf("p50 ms, flush interval %v", interval), ours: ms(median(p50s[i]))},
			figure{
				what: fmt.Sprintf("p99 ms, flush interval %v", interval), ours: ms(median(p99s[i])),
				limit: limit{atMost, ms(interval + freshnessSlack)},
			})
	}
	return results{figures: figures}, nil
}

// streamEvents sends events through everything and returns, sorted, what they took from receipt to visible.
func (r *rig) streamEvents(ctx context.Context, interval time.Duration) ([]time.Duration, error) {
	database, topic, secret := r.name("fresh"), r.name("fresh"), rand.Text()
	if err := r.setUp(ctx, database); err != nil {
		return nil, err
	}
	server, err := r.startIngest(ctx, secret, topic) // makes the topic
	if err != nil {
		return nil, err
	}
	defer server.stop()
	s, admin, err := r.startSink(topic, database, "--batch-age", interval.String())
	if err != nil {
		return nil, err
	}
	defer s.stop()
	if err := ready(ctx, "leadhouse sink", "http://"+admin+"/readyz"); err != nil {
		return nil, err
	}
	began := time.Now()
	seen, err := r.sendAndWatch(ctx, "http://"+server.addr+"/webhooks/leadron", secret, database)
	if err != nil {
		return nil, err
	}
	waits, err := r.waits(ctx, database, seen, began.Add(min(settleIn, r.stream/2)))
	if err != nil {
		return nil, err
	}
	server.stop()
	s.stop()
	return waits, r.quiet(ctx) // no drop: see unlinked
}

// sendAndWatch sends while somebody watches, until the last row is there.
func (r *rig) sendAndWatch(ctx context.Context, url, secret, database string) (*sightings, error) {
	n := int(r.stream.Seconds() * eventsPerSecond)
	sender, err := local.NewSender(local.SenderConfig{URL: url, Secret: secret, Rate: eventsPerSecond, InFlight: 64})
	if err != nil {
		return nil, err
	}
	seen := &sightings{}
	group, ctx := errgroup.WithContext(ctx)
	watching, endWatching := context.WithCancel(ctx)
	group.Go(func() error {
		err := r.watch(watching, database, seen)
		if watching.Err() != nil && ctx.Err() == nil {
			return nil // everything has been seen
		}
		return err
	})
	group.Go(func() error {
		defer endWatching()
		if err := sender.Run(ctx, local.Journeys{Seed: 1, Events: n}.All()); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		if got := sender.Journal().Accepted(); got != n {
			return fmt.Errorf("of %d deliveries %d were accepted: the answers by status are %v", n, got, sender.Journal().Answers())
		}
		if err := r.awaitDeliveries(ctx, database, n); err != nil {
			return err
		}
		return seen.next(ctx) // a look that began after the last row
	})
	return seen, group.Wait()
}

// waits are from receipt to sighting, of the rows received after a moment, sorted.
func (r *rig) waits(ctx context.Context, database string, seen *sightings, after time.Time) ([]time.Duration, error) {
	rows, err := r.conn.Query(ctx, "SELECT _table, _partition, _offset, _received_at FROM "+allEvents(database)+" WHERE _received_at >= ?", after)
	if err != nil {
		return nil, fmt.Errorf("read the rows: %w", err)
	}
	defer rows.Close()
	var waits []time.Duration
	for rows.Next() {
		var at place
		var offset int64
		var received time.Time
		if err := rows.Scan(&at.table, &at.partition, &offset, &received); err != nil {
			return nil, fmt.Errorf("read the rows: %w", err)
		}
		when, ok := seen.first(at, offset)
		if !ok {
			return nil, fmt.Errorf("a row of %s was never seen", at.table)
		}
		waits = append(waits, when.Sub(received))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the rows: %w", err)
	}
	slices.Sort(waits)
	if len(waits) == 0 {
		return nil, errors.New("no row was received but in the first moments")
	}
	return waits, nil
}
