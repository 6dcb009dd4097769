package main_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestKill kills ingest and sink with SIGKILL, each several times, while deliveries come in, and checks every promise when
// the last ones have caught up.
func TestKill(t *testing.T) {
	t.Parallel()
	newPipeline(t).testKills(t)
}

func (p *pipeline) testKills(t *testing.T) {
	const deliveries, kills = 4000, 4
	ingest := p.startIngest()
	sink := p.startSink()
	sender, sent := p.load(local.SenderConfig{
		Duplicates: 0.03, Reordered: 0.05, Impatient: 0.05, Forged: 0.01, Rate: 600,
		Attempts: 100, Backoff: 50 * time.Millisecond, MaxBackoff: 500 * time.Millisecond,
	}, deliveries)

	for i := range kills {
		// Not before new rows have come: then there is a batch to be cut.
		before := p.count("SELECT count() FROM DATABASE.deliveries")
		p.await("the sink inserts", func() (bool, string) {
			return p.count("SELECT count() FROM DATABASE.deliveries") > before, "nothing new"
		})
		pause(t, rand.N(200*time.Millisecond)) // where in its loop it is hit is left to chance
		sink.Kill()
		sink = p.startSink()

		p.await("ingest accepts", func() (bool, string) {
			return sender.Journal().Accepted() > deliveries/(kills+2)*(i+1), "too few receipts"
		})
		ingest.Kill() // what had no 2xx is sent again, and collapses if it was written
		ingest = p.startIngest()
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.awaitDrained()
	p.awaitCommitted()
	p.check(sender.Journal())
	p.checkAllSent(sender, deliveries)
	if p.records() <= deliveries {
		t.Errorf("the topic has %d records: the duplicates should make it more than the deliveries", p.records())
	}
}

// load sends deliveries in the background. The channel says how it ended.
func (p *pipeline) load(cfg local.SenderConfig, deliveries int) (*local.Sender, <-chan error) {
	p.t.Helper()
	sender := p.sender(cfg)
	sent := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sent <- sender.Run(ctx, local.Journeys{Seed: rand.Uint64(), Events: deliveries}.All())
	}()
	p.t.Cleanup(func() { cancel(); <-done })
	return sender, sent
}

// checkAllSent: every proper delivery has its receipt in the end, and nothing was refused.
func (p *pipeline) checkAllSent(sender *local.Sender, deliveries int) {
	p.t.Helper()
	j := sender.Journal()
	if n := len(j.Abandoned()); n > 0 {
		p.t.Errorf("%d deliveries were given up", n)
	}
	if refused := j.Refused(); len(refused) > 0 {
		p.t.Errorf("proper deliveries were refused: %v", refused)
	}
	if got := len(p.eventIDs()); got != deliveries {
		p.t.Errorf("%d events are in, want %d", got, deliveries)
	}
}

// pause lets chance choose a moment. Nothing depends on its length.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
