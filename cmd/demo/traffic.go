package main

import (
	"context"
	"iter"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// What goes wrong on the way, as shares of the deliveries. Real senders repeat and overtake themselves; the forgeries are
// what a URL on the internet gets.
const (
	duplicates     = 0.03
	reordered      = 0.05
	forged         = 0.002
	malformedEvery = 700 // one in so many is signed, and no event
)

// months is how long the journeys take in the story, up to this morning.
const months = 180 * 24 * time.Hour

// journeys are the story's deliveries: events in the order in which they happened, with some among them that are none.
func journeys(cfg config) (deliveries []local.Delivery) {
	world := local.Journeys{
		Seed: cfg.seed, Events: cfg.events, Documents: true, Campaigns: true,
		Start: time.Now().UTC().Truncate(24 * time.Hour).Add(-months), Span: months,
	}
	broken := local.Malformed(1 + cfg.events/malformedEvery)
	for d := range world.All() {
		if len(deliveries)%malformedEvery == malformedEvery/2 && len(broken) > 0 {
			deliveries, broken = append(deliveries, broken[0]), broken[1:]
		}
		deliveries = append(deliveries, d)
	}
	return deliveries
}

// newSender makes Leadron's other half: what posts the deliveries, again and again until each has its answer. A rate of 0
// is as fast as it gets.
func newSender(s *stack, cfg config, rate float64) (*local.Sender, error) {
	return local.NewSender(local.SenderConfig{
		URL: s.webhooks(), Secret: s.secret, Rate: rate, Seed: cfg.seed,
		Duplicates: duplicates, Reordered: reordered, Forged: forged,
	})
}

// Live events: one or two a second, for half an hour; then another half hour begins. In such a world a day takes ten
// seconds.
const (
	liveSpan   = 30 * time.Minute
	liveEvents = 3600
)

// live are events that happen now, each yielded at its moment, until ctx ends.
func live(ctx context.Context, seed uint64) iter.Seq[local.Delivery] {
	return func(yield func(local.Delivery) bool) {
		for ctx.Err() == nil {
			seed++
			world := local.Journeys{Seed: seed, Events: liveEvents, Documents: true, Campaigns: true, Start: time.Now().UTC(), Span: liveSpan}
			for d := range world.All() {
				timer := time.NewTimer(time.Until(d.Time))
				select {
				case <-ctx.Done():
					timer.Stop()
					return
				case <-timer.C:
				}
				if !yield(d) {
					return
				}
			}
		}
	}
}
