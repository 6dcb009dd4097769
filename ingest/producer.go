package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
)

// producer is a group commit on kafka.Client.Produce: one queue and one worker a partition.
//
//	enqueue ─▶ queue 0 ─▶ worker ─▶ Produce, one in flight ─▶ waiters woken
//	       └─▶ queue 1 ─▶ worker ─▶ …
type producer struct {
	client     *kafka.Client // its Timeout bounds one attempt
	topic      string
	ackTimeout time.Duration
	deliveries *deliveryPool
	metrics    *metrics
	log        zerolog.Logger

	workers sync.WaitGroup

	// Replaced, never changed, so that enqueue needs no lock. nil until open.
	layout atomic.Pointer[layout]
	spread atomic.Uint64 // counts records without a key

	began       time.Time    // when reconnected's clock stood at 0: a monotonic one, which nobody sets back
	reconnected atomic.Int64 // when reconnect last did something, in nanoseconds since began; 0: never
}

// layout is the topic's partitions: partition i has queues[i].
type layout struct {
	ids    []int
	queues []*queue
}

// partitionRefresh is how often the number of partitions is looked at. The client answers from metadata it polls anyway.
const partitionRefresh = time.Second

// open makes queues and workers for the partitions; ctx's end makes what they still hold fail. Called again when the
// topic has grown. It never takes a queue away: fewer partitions means another topic of the same name, and a restart.
func (p *producer) open(ctx context.Context, partitions, batchLimit int) {
	next := &layout{}
	if old := p.layout.Load(); old != nil {
		next.ids, next.queues = old.ids, old.queues
	}
	for id := len(next.ids); id < partitions; id++ {
		q := newQueue(id, batchLimit)
		next.ids = append(next.ids[:id:id], id)
		next.queues = append(next.queues[:id:id], q)
		p.workers.Go(func() { p.work(ctx, q) })
	}
	p.layout.Store(next)
}

// follow adds partitions as the topic grows, until ctx ends.
func (p *producer) follow(ctx context.Context, flush context.Context, batchLimit int) {
	for sleep(ctx, partitionRefresh) {
		t, err := p.describe(ctx)
		if err != nil {
			continue // the produce attempts say so loudly enough
		}
		if n, had := len(t.Partitions), len(p.layout.Load().ids); n > had {
			p.log.Info().Int("from", had).Int("to", n).Msg("the topic has more partitions")
			p.open(flush, n, batchLimit)
		}
	}
}

// describe is the topic as the client last saw it: from its cache, at most MetadataTTL old while Kafka is there.
func (p *producer) describe(ctx context.Context) (kafka.Topic, error) {
	m, err := p.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{p.topic}})
	if err != nil {
		return kafka.Topic{}, err
	}
	if len(m.Topics) != 1 {
		return kafka.Topic{}, fmt.Errorf("metadata of %d topics, not one", len(m.Topics))
	}
	return m.Topics[0], m.Topics[0].Error
}

// enqueue takes the delivery over. false: Kafka has not been reached yet, or the producer is closed, and the delivery is
// still the caller's.
func (p *producer) enqueue(d *delivery) (ticket, bool) {
	l := p.layout.Load()
	if l == nil {
		return ticket{}, false
	}
	return l.queues[p.partition(d, l)].add(d)
}

// partition is where every other Kafka client would put the key: murmur2, as the Java client. Records without a key are
// spread in turn.
func (p *producer) partition(d *delivery, l *layout) int {
	if d.key == nil {
		return int(p.spread.Add(1) % uint64(len(l.ids)))
	}
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: d.key}, l.ids...)
}

// close refuses what comes from now on and waits until everything taken is written or given up. open and follow must be
// over.
func (p *producer) close() {
	if l := p.layout.Load(); l != nil {
		for _, q := range l.queues {
			q.close()
		}
	}
	p.workers.Wait()
}

// reconnectPause: when a broker dies, every partition's worker finds out at about the same time.
const reconnectPause = 250 * time.Millisecond

// reconnect makes the client ask for metadata anew, which kafka-go otherwise does only once per MetadataTTL (seen: 0.3 s
// instead of 1.4 s without acks after a leader's restart). Requests under way are not touched.
func (p *producer) reconnect() {
	closer, ok := p.client.Transport.(interface{ CloseIdleConnections() })
	if !ok {
		return
	}
	now, last := int64(time.Since(p.began)), p.reconnected.Load()
	if (last == 0 || now-last >= int64(reconnectPause)) && p.reconnected.CompareAndSwap(last, now) {
		closer.CloseIdleConnections()
	}
}

// cause finds why a produce request failed. With Kafka away or refusing us, kafka-go says "topic not found".
func (p *producer) cause(ctx context.Context, err error) error {
	if _, answered := errors.AsType[kafka.Error](err); answered {
		return explain(err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, why := p.describe(ctx); why != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w (%w)", why, err)
	}
	return explain(err)
}
