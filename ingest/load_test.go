package ingest_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

// tally is what a load got: answers by status, and how long the accepted took.
type tally struct {
	mu       sync.Mutex
	statuses map[int]int
	accepted []time.Duration
	hasty    int // 503 without Retry-After
}

func (l *tally) add(got answer, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[got.status]++
	switch {
	case got.status == 202:
		l.accepted = append(l.accepted, took)
	case got.header.Get("Retry-After") == "":
		l.hasty++
	}
}

func (l *tally) percentile(p int) time.Duration {
	slices.Sort(l.accepted)
	return l.accepted[(len(l.accepted)-1)*p/100]
}

// load posts deliveries until the time is up: next says when the next one is due, nil for as soon as there is a sender.
func (h *harness) load(name string, senders int, d time.Duration, next <-chan time.Time) *tally {
	l := &tally{statuses: map[int]int{}}
	over := time.After(d)
	work := make(chan int)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := range work {
				began := time.Now()
				got := h.deliver(event(fmt.Sprintf("evt_%s_%d", name, i), fmt.Sprintf("ld_%d", i)))
				l.add(got, time.Since(began))
			}
		})
	}
	for i := 0; ; i++ {
		if next != nil {
			<-next
		}
		select {
		case work <- i:
		case <-over:
			close(work)
			all.Wait()
			return l
		}
	}
}

// slow makes Kafka take its time for every produce request, so that capacity is the test's and not the machine's.
func slow(k *kfake.Cluster, d time.Duration) {
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		k.SleepControl(func() { <-time.After(d) })
		return nil, nil, false
	})
}

// Twice as many deliveries as can be written, from senders that do not wait for each other's answers: what can be written
// is, as fast as without the others, and the rest is told at once to come again. A queue in place of the bound would let
// all of them wait, ever longer.
func TestTwiceTheCapacityIsHalfAcceptedInTimeAndHalfSentAway(t *testing.T) {
	const bound, ack, lasting = 8, 200 * time.Millisecond, 5 * time.Second
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k, func(c *ingest.Config) { c.MaxInFlight = bound })
	slow(k.Cluster(), ack)

	closed := h.load("closed", bound, lasting, nil)
	capacity := float64(len(closed.accepted)) / lasting.Seconds()
	t.Logf("capacity: %.0f/s, latency p50 %v p99 %v", capacity, closed.percentile(50), closed.percentile(99))
	if closed.statuses[202] < bound || len(closed.statuses) != 1 {
		t.Fatalf("answers within capacity: got %v, want 202 alone", closed.statuses)
	}

	due := time.NewTicker(time.Duration(float64(time.Second) / (2 * capacity)))
	defer due.Stop()
	// Enough senders that one is always free, or the loop would not be open; a ticker drops what a busy machine misses.
	open := h.load("open", 400, lasting, due.C)
	accepted, sent := open.statuses[202], open.statuses[202]+open.statuses[503]
	t.Logf("sent %.0f/s, accepted %.0f/s, latency p50 %v p99 %v", float64(sent)/lasting.Seconds(),
		float64(accepted)/lasting.Seconds(), open.percentile(50), open.percentile(99))
	if len(open.statuses) != 2 || open.hasty > 0 {
		t.Errorf("answers: got %v, %d of them 503 without Retry-After; want 202, and 503 with it", open.statuses, open.hasty)
	}
	if offered := float64(sent) / lasting.Seconds(); offered < 1.5*capacity {
		t.Errorf("offered %.0f/s, want twice the capacity of %.0f/s: the test sees nothing", offered, capacity)
	}
	if rate := float64(accepted) / lasting.Seconds(); rate < capacity/2 {
		t.Errorf("accepted %.0f/s, want at least half of the capacity of %.0f/s", rate, capacity)
	}
	// Whoever is let in waits for the batch in flight and for its own, as within capacity; the rest is for a busy machine. In a
	// queue, the last would wait for seconds.
	if p99, most := open.percentile(99), 5*closed.percentile(99); p99 > most {
		t.Errorf("latency of the accepted: p99 %v, want at most %v", p99, most)
	}
	wantStatus(t, h.deliver(event("evt_after", "ld_1")), 202)
	h.check()
}
