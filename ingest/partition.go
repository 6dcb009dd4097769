package ingest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/segmentio/kafka-go"
)

// queue is what waits for one partition. Its worker has one request in flight; what arrives meanwhile gathers in the next
// batch. So batches grow with the load, a lone delivery waits for nothing, and a partition keeps its order.
// kafka-go's Writer sends one batch at a time too, but never merges the queued ones.
type queue struct {
	partition int
	limit     int // bytes of a batch

	mu     sync.Mutex
	ready  *sync.Cond // batches are pending, or closed
	closed bool       // no more add
	// In order; the last one is still open, the others have reached the limit. Whoever takes one from here owns it.
	pending []*batch
}

func newQueue(partition, limit int) *queue {
	q := &queue{partition: partition, limit: limit}
	q.ready = sync.NewCond(&q.mu)
	return q
}

// add puts a delivery at the end. false: the queue is closed, and the delivery still the caller's.
func (q *queue) add(d *delivery) (ticket, bool) {
	size := d.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ticket{}, false
	}
	n := len(q.pending)
	if n == 0 || q.pending[n-1].bytes+size > q.limit {
		q.pending = append(q.pending, &batch{done: make(chan struct{})})
		n++
		q.ready.Signal()
	}
	b := q.pending[n-1]
	b.deliveries = append(b.deliveries, d)
	b.bytes += size
	b.newest = time.Now()
	return ticket{b, len(b.deliveries) - 1}, true
}

// take waits for the oldest batch. nil: the queue is closed and empty.
func (q *queue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.pending) == 0 && !q.closed {
		q.ready.Wait()
	}
	// The scheduler runs us next after the handler that woke us: ahead of other handlers that are about to add. So yield for
	// as long as that brings more, and it goes in this request instead of the next. Where there is nobody, that is once.
	for had := 0; len(q.pending) == 1 && len(q.pending[0].deliveries) > had; {
		had = len(q.pending[0].deliveries)
		q.mu.Unlock()
		runtime.Gosched()
		q.mu.Lock()
	}
	if len(q.pending) == 0 {
		return nil
	}
	b := q.pending[0]
	q.pending[0] = nil
	q.pending = q.pending[1:]
	return b
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.ready.Broadcast()
}

// work sends batches until the queue is closed and empty. When ctx ends, what is left fails instead.
func (p *producer) work(ctx context.Context, q *queue) {
	for b := q.take(); b != nil; b = q.take() {
		p.metrics.batchRecords.Observe(float64(len(b.deliveries)))
		p.metrics.batchBytes.Observe(float64(b.bytes))
		p.write(ctx, q.partition, b, 0, len(b.deliveries))
		p.finish(ctx, q.partition, b)
	}
}

// finish ends a batch: it wakes the waiters, then lets go of the deliveries.
func (p *producer) finish(ctx context.Context, partition int, b *batch) {
	failed, err := b.failed()
	close(b.done)
	if failed > 0 {
		p.metrics.gaveUp.Add(float64(failed))
		p.log.Error().Int("partition", partition).Int("records", failed).Err(p.cause(ctx, err)).
			Msg("records not acknowledged by Kafka: their senders got 503")
	}
	if acked := len(b.deliveries) - failed; acked > 0 {
		p.metrics.acked.Add(float64(acked))
		setToNow(p.metrics.lastProduced)
	}
	for _, d := range b.deliveries {
		p.deliveries.put(d, !b.torn)
	}
}

// write writes the deliveries from i to j, or notes in the batch why not.
func (p *producer) write(ctx context.Context, partition int, b *batch, i, j int) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = 50 * time.Millisecond // a leader's move is over in a tenth of a second
	pause.MaxInterval = time.Second
	untimed := false
	for {
		err := p.attempt(ctx, partition, b, i, j, untimed)
		if err == nil {
			return
		}
		switch kind := p.classify(err); {
		case kind == errorTooLarge && j-i > 1:
			// One record never fails its neighbours: halves, until the guilty one is alone.
			p.metrics.produceErrors[errorTooLarge].Inc()
			middle := i + (j-i)/2
			p.write(ctx, partition, b, i, middle)
			p.write(ctx, partition, b, middle, j)
			return
		case kind == errorTimestamp && !untimed:
			p.metrics.produceErrors[errorTimestamp].Inc()
			p.log.Error().Err(err).Msg("Kafka refuses the record time: this machine's clock is wrong; sending without times")
			untimed = true
			continue
		case kind == errorRetry && p.wanted(b) && sleep(ctx, pause.NextBackOff()):
			p.metrics.produceErrors[errorRetry].Inc()
			continue
		}
		p.metrics.produceErrors[errorFinal].Inc()
		b.fail(i, j, err)
		return
	}
}

// wanted: somebody may still be waiting for the batch. Everyone has got 503 once the newest delivery's time is up; one
// attempt is made even then, because nobody states whether Leadron delivers again.
func (p *producer) wanted(b *batch) bool { return time.Since(b.newest) < p.ackTimeout }

// attempt sends the deliveries from i to j in one request, and returns nil if and only if Kafka has them.
func (p *producer) attempt(ctx context.Context, partition int, b *batch, i, j int, untimed bool) error {
	reader := &records{deliveries: b.deliveries[i:j], untimed: untimed}
	start := time.Now()
	response, err := p.client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        p.topic,
		Partition:    partition,
		RequiredAcks: kafka.RequireAll,
		Records:      reader,
	})
	p.metrics.produceSeconds.Observe(time.Since(start).Seconds())
	if err != nil {
		// kafka-go returns when ctx ends or the time is up, and its connection's goroutine may still be encoding.
		b.torn = true
		return err
	}
	// A 2xx is a receipt, and this is where it is earned: no error from the client, none from the broker for the batch or
	// any record of it, and every record really read by the encoder (see records).
	switch {
	case response.Error != nil:
		return response.Error
	case len(response.RecordErrors) > 0:
		return fmt.Errorf("%w: %d of %d records", kafka.InvalidRecord, len(response.RecordErrors), j-i)
	case reader.read != j-i:
		return fmt.Errorf("kafka-go wrote %d of %d records", reader.read, j-i)
	}
	return nil
}

// classify says what follows from a produce error.
func (p *producer) classify(err error) string {
	var code kafka.Error
	if !errors.As(err, &code) {
		// Not an answer but the lack of one: refused, reset, timed out, EOF, no leader known. Also ctx's end, whose sleep
		// then ends the retries.
		p.reconnect()
		return errorRetry
	}
	switch code {
	case kafka.MessageSizeTooLarge, // of the batch, whichever record it is
		kafka.RecordListTooLarge, // larger than a segment: likewise
		kafka.InvalidRecord:      // one is refused for its content (a broker's own check): the others are not
		return errorTooLarge
	case kafka.InvalidTimestamp:
		return errorTimestamp
	case kafka.NotLeaderForPartition, kafka.FencedLeaderEpoch, kafka.UnknownTopicOrPartition:
		p.reconnect() // kafka-go does not refresh its metadata for these
		return errorRetry
	default:
		if code.Temporary() {
			// Among them [7] RequestTimedOut and [20] NotEnoughReplicasAfterAppend: written, not confirmed. Sent again, the
			// record is there twice, and collapses on its event ID.
			return errorRetry
		}
		return errorFinal // [29] no right to write, [-1] a broker's own trouble: nothing says that waiting helps
	}
}

// sleep waits, and reports whether ctx is still on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
