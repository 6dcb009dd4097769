package ingest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

// hold makes Kafka keep produce requests until release is called; they gather behind the one in flight.
func hold(k *kfake.Cluster) (held <-chan struct{}, release func()) {
	gate, first := make(chan struct{}), make(chan struct{})
	var once, twice sync.Once
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.DropControl()
		once.Do(func() { close(first) })
		k.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	return first, func() { twice.Do(func() { close(gate) }) }
}

// deliverAtOnce posts bodies at once, and returns a function that collects the answers.
func (h *harness) deliverAtOnce(bodies ...string) func() []answer {
	answers := make([]answer, len(bodies))
	var senders sync.WaitGroup
	for i, body := range bodies {
		senders.Go(func() { answers[i] = h.deliver(body) })
	}
	return func() []answer { senders.Wait(); return answers }
}

// deliverAll is deliverAtOnce and waits until all are in flight, which must last longer than that takes.
func (h *harness) deliverAll(bodies []string) func() []answer {
	before, _ := h.server.InFlight()
	collect := h.deliverAtOnce(bodies...)
	h.until("all in flight", func() bool { n, _ := h.server.InFlight(); return n == before+len(bodies) })
	return collect
}

func TestGroupCommitSendsWhatIsPendingInOneRequest(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k)
	held, release := hold(k.Cluster())
	defer release()
	requests := k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
	first := h.deliverAll([]string{event("evt_first", "ld_0")})
	<-held
	var bodies []string
	for i := range 50 {
		bodies = append(bodies, event(fmt.Sprintf("evt_%d", i), fmt.Sprintf("ld_%d", i)))
	}
	rest := h.deliverAll(bodies)
	h.until("all queued", func() bool { _, n := h.server.InFlight(); return n >= 51*4<<10 })
	release()
	for _, got := range append(first(), rest()...) {
		wantStatus(t, got, 202)
	}
	if n := len(h.check()); n != 51 {
		t.Errorf("records: got %d, want 51", n)
	}
	if n := requests.Hits(); n > 4 { // the held one, what was pending, and a straggler or two of the HTTP side
		t.Errorf("produce requests for 51 records: got %d, want 2", n)
	}
}

// The topic's own bound is lowered behind ingest's back: the batch is refused for its size, and one record never fails its
// neighbours.
func TestBatchTooLargeIsSplitAndOneRecordNeverFailsItsNeighbours(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k)
	const guilty = "evt_guilty"
	tooLarge := func(request kmsg.Request) bool { // over 20 records, or the guilty one in it
		records := request.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(records); err != nil {
			t.Error(err)
		}
		return batch.NumRecords > 20 || strings.Contains(string(records), guilty)
	}
	held, release := hold(k.Cluster())
	defer release()
	first := h.deliverAll([]string{event("evt_first", "ld_0")})
	<-held
	k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge, Count: -1, When: tooLarge})
	bodies := []string{event(guilty, "ld_0")}
	for i := range 60 {
		bodies = append(bodies, event(fmt.Sprintf("evt_%d", i), "ld_0"))
	}
	rest := h.deliverAll(bodies)
	h.until("all queued", func() bool { _, n := h.server.InFlight(); return n >= 62*4<<10 })
	release()
	wantStatus(t, first()[0], 202)
	for i, got := range rest() {
		want := 202
		if i == 0 {
			want = 503
		}
		if got.status != want {
			t.Errorf("delivery %d: got %d, want %d", i, got.status, want)
		}
	}
	if n := len(h.check()); n != 61 {
		t.Errorf("records: got %d, want 61: all but the guilty one, once", n)
	}
	if n := h.metric("leadhouse_ingest_records_given_up_total"); n != 1 {
		t.Errorf("given up: got %v, want 1", n)
	}
}

// max.message.bytes bounds the batch as Kafka measures it, so the batches that are made must not be refused.
func TestBatchesKeepWithinTheTopicsBound(t *testing.T) {
	t.Parallel()
	const bound = 20_000
	k := startKafka(t, local.KfakeConfig{}, 1, map[string]string{"max.message.bytes": fmt.Sprint(bound)})
	h := start(t, k, func(c *ingest.Config) { c.MaxBody = bound - 1024 })
	held, release := hold(k.Cluster())
	defer release()
	first := h.deliverAll([]string{event("evt_first", "ld_0")})
	<-held
	bodies := []string{strings.Repeat("x", bound-1024)}
	for i := range 100 {
		bodies = append(bodies, event(fmt.Sprintf("evt_%d", i), "ld_0")+strings.Repeat(" ", 10*i))
	}
	rest := h.deliverAll(bodies)
	release()
	for _, got := range append(first(), rest()...) {
		wantStatus(t, got, 202)
	}
	h.check()
	if n := h.metric(`leadhouse_ingest_produce_errors_total{kind="too_large"}`); n != 0 {
		t.Errorf("batches refused for their size: got %v, want 0", n)
	}
}

// The body belongs to the producer until the attempt is over, even when its request has long got 503 and its memory is
// wanted by others.
func TestBodyIsNotReusedWhileAnAttemptMayStillReadIt(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k, func(c *ingest.Config) { c.AckTimeout, c.ProduceTimeout = 50*time.Millisecond, 10*time.Second })
	held, release := hold(k.Cluster())
	defer release()
	first := h.deliverAtOnce(event("evt_first", "ld_0"))
	<-held
	var late []string
	for i := range 20 {
		late = append(late, event(fmt.Sprintf("evt_late_%d", i), fmt.Sprintf("ld_late_%d", i)))
	}
	for _, got := range append(h.deliverAtOnce(late...)(), first()...) {
		wantStatus(t, got, 503)
	}
	for i := range 50 { // others use what memory is free
		h.send(strings.Repeat("y", 500), "X-Leadron-Signature: "+sign(fmt.Sprint(i)))
	}
	release()
	h.until("all written", func() bool { return len(h.records()) == 21 })
	for _, r := range h.check() {
		if !strings.Contains(r.value, fmt.Sprintf("%q", r.key)) || !strings.Contains(r.value, r.headers["event-id"]) {
			t.Errorf("key %q and headers %v are not those of %q", r.key, r.headers, r.value)
		}
	}
}
