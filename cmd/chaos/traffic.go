package main

import (
	"context"
	"iter"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// What senders and the internet do, as shares of the deliveries.
const (
	duplicates     = 0.02
	reordered      = 0.05
	impatient      = 0.01
	forged         = 0.01
	malformedEvery = 250 // one in so many is signed, and no event
)

// deliveries are the run's, always the same: customer journeys, with types and fields that the catalog does not know at
// first, and bodies that are no event among them. Malformed ones have no ID.
func (c *config) each() iter.Seq[local.Delivery] {
	return func(yield func(local.Delivery) bool) {
		broken := c.malformed()
		world := local.Journeys{Seed: c.seed, Events: c.deliveries - len(broken), Documents: true, Campaigns: true}
		n := 0
		for d := range world.All() {
			if n++; n%(malformedEvery-1) == 0 && len(broken) > 0 {
				if !yield(broken[0]) {
					return
				}
				broken = broken[1:]
			}
			if !yield(d) {
				return
			}
		}
		for _, d := range broken {
			if !yield(d) {
				return
			}
		}
	}
}

func (c *config) malformed() []local.Delivery {
	return local.Malformed(c.deliveries / malformedEvery)
}

// newSender makes what posts the deliveries until each has its receipt.
func (s *stack) newSender() (*local.Sender, error) {
	return local.NewSender(local.SenderConfig{
		URL: s.webhooks(), Secret: s.secret, Rate: s.rate, Seed: s.seed,
		Duplicates: duplicates, Reordered: reordered, Impatient: impatient, Forged: forged,
		// What is due during an outage is sent after it, all at once.
		InFlight: 64, Open: 20_000,
		// A delivery that is given up proves nothing: it would have to be in the warehouse or not.
		Attempts: 1000, MaxBackoff: 2 * time.Second,
	})
}

// A standstill measures the longest time for which a number did not change, though it had reason to.
type standstill struct {
	last    int
	since   time.Time
	longest time.Duration
}

func (s *standstill) see(n int, due bool) {
	now := time.Now()
	if s.since.IsZero() || n != s.last || !due {
		s.last, s.since = n, now
		return
	}
	s.longest = max(s.longest, now.Sub(s.since))
}

// watchEvery is how finely standstills are measured.
const watchEvery = 200 * time.Millisecond

// watch measures standstills until ctx ends, and tells how far things are: of receipts while there are deliveries to send,
// of commits while the group is behind. A Kafka that does not answer commits nothing.
func (s *stack) watch(ctx, sending context.Context, j *local.Journal, t *tally) (receipts, commits time.Duration) {
	var taken, committed standstill
	sum, behind := 0, false
	next := time.Now()
	for ctx.Err() == nil {
		taken.see(j.Accepted(), sending.Err() == nil)
		if log, err := s.log(ctx); err == nil {
			sum, behind = log.sum(), log.behind() != ""
		}
		committed.see(sum, behind)
		if time.Now().After(next) {
			next = time.Now().Add(s.tellEvery)
			s.say("%s receipts, %d faults, group at %s", thousands(j.Accepted()), t.total(), thousands(sum))
		}
		pause(ctx, watchEvery)
	}
	return taken.longest, committed.longest
}
