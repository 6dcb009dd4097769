package sink

import (
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// pipeline is the work of one generation of the group:
//
//	fetcher 0 ─┐                                ┌─ insert ─┐
//	fetcher 1 ─┼─▶ gather: decode, type ─▶ insert          ├─▶ settle: deliveries, commit
//	fetcher 2 ─┘      ▲                         └─ insert ─┘      │
//	                  └────────────────── free ◀──────────────────┘
//
// Two batches go round: one fills while the other is inserted, and where batches are small and follow each other closely,
// one's events are inserted while the other's are entered into deliveries and committed. With both in hand gather takes
// no more, each fetcher waits with one fetch, and **memory is bounded, however long ClickHouse is away**: two batches, a
// fetch for each partition.
type pipeline struct {
	sink       *Sink
	generation *kafka.Generation
	partitions []int32
	drained    chan struct{} // closed when nothing is left to insert or commit
}

func newPipeline(s *Sink, g *kafka.Generation) *pipeline {
	p := &pipeline{sink: s, generation: g, drained: make(chan struct{})}
	for _, a := range g.Assignments[s.cfg.Topic] {
		p.partitions = append(p.partitions, int32(a.ID))
	}
	return p
}

// run is the generation's one Start function. It returns at the generation's end and never before: kafka-go takes an
// early return for the end, and everybody rebalances. Before that it drains: at the generation's end for HandoverTimeout,
// at the sink's (stop) for ShutdownTimeout, while heartbeats go on.
func (p *pipeline) run(stop, generation context.Context) {
	if generation.Err() == nil { // else kafka-go does not wait for us, and the next generation may have the batches
		p.work(stop, generation)
	}
	for _, partition := range p.partitions {
		p.sink.health.drop(fetchPart(partition))
	}
	close(p.drained)
	<-generation.Done()
}

func (p *pipeline) work(stop, generation context.Context) {
	fetching, endFetching := context.WithCancel(generation)
	defer endFetching()
	defer context.AfterFunc(stop, endFetching)()
	flushing, abandon := context.WithCancel(context.WithoutCancel(stop))
	defer abandon()
	owned, disown := context.WithCancel(generation)
	defer disown()
	defer context.AfterFunc(flushing, disown)()

	var (
		work     sync.WaitGroup
		in       = make(chan fetched)
		full     = make(chan *batch)
		inserted = make(chan *batch)
		free     = make(chan *batch, len(p.sink.batches))
		done     = make(chan struct{})
		flusher  = p.sink.flusher(p.commit)
	)
	for _, b := range p.sink.batches {
		free <- b
	}
	p.begin(flusher)
	work.Go(func() { p.fetch(fetching, in) })
	work.Go(func() { p.gather(in, full, free) })
	work.Go(func() {
		defer close(inserted)
		// What follows an abandoned batch would be inserted above a hole, and could not be committed either; what went
		// before it goes its way.
		inserting, abandon := context.WithCancel(flushing)
		defer abandon()
		owned, disown := context.WithCancel(owned)
		defer disown()
		for b := range full {
			if err := flusher.advance(inserting, owned, b, recording); err != nil {
				p.sink.abandoned(b)
				abandon()
				disown()
				free <- b
				continue
			}
			inserted <- b
		}
	})
	work.Go(func() {
		defer close(done)
		for b := range inserted {
			if err := flusher.advance(flushing, owned, b, finished); err != nil {
				p.sink.abandoned(b)
				abandon()
			}
			free <- b
		}
	})
	work.Go(func() { p.watch(stop, generation, done, abandon) })
	measuring, endMeasuring := context.WithCancel(generation)
	defer endMeasuring()
	work.Go(func() { p.sink.lag.run(measuring, done, p.partitions) })
	work.Wait()
}

// begin tells the tracker and the lag where the partitions stand.
func (p *pipeline) begin(f *flusher) {
	for _, a := range p.generation.Assignments[p.sink.cfg.Topic] {
		f.offsets.assign(int32(a.ID), a.Offset)
	}
	f.lag.committed(f.offsets.committed())
}

// fetch runs a fetcher for each partition until fetching ends.
func (p *pipeline) fetch(ctx context.Context, in chan<- fetched) {
	defer close(in)
	cfg := &p.sink.cfg
	now, ok := p.sink.awaitEpoch(ctx)
	if !ok {
		return
	}
	dialer := leash(ctx, cfg.Dialer, fetchTimeout)
	most := min(max(cfg.BatchBytes/max(len(p.partitions), 1), fetchLeast), fetchMost)
	var fetchers sync.WaitGroup
	for _, a := range p.generation.Assignments[cfg.Topic] {
		f := &fetcher{
			dialer: dialer, client: p.sink.client, witness: p.sink.witness, gaps: p.sink.gaps, brokers: cfg.Brokers,
			topic: cfg.Topic, partition: int32(a.ID), epoch: now, next: a.Offset,
			most: most, ask: most, rest: min(restMost, cfg.BatchAge/restShare), retryMax: cfg.RetryMax, health: p.sink.health,
		}
		fetchers.Go(func() {
			if err := f.run(ctx, in); err != nil {
				p.sink.fail(err)
			}
		})
	}
	fetchers.Wait()
}

// gather fills batches and hands them on: when they are full, when they are old, and when nothing more comes. A batch that
// is old while the flusher is busy goes on filling.
func (p *pipeline) gather(in <-chan fetched, full chan<- *batch, free <-chan *batch) {
	defer close(full)
	var (
		b    = p.next(free)
		rest fetched // of a fetch that did not fit
		more bool
		age  = time.NewTimer(time.Hour)
		old  bool
		end  bool
	)
	defer age.Stop()
	take := func(f fetched) {
		fresh := b.empty()
		rest, more = b.take(f, time.Now())
		if fresh {
			age.Reset(time.Until(b.began.Add(p.sink.cfg.BatchAge)))
		}
	}
	for !end || more || !b.empty() {
		from, to := in, full
		if more || b.full() {
			from = nil
		}
		if due := old || end || b.full(); b.empty() || !due {
			to = nil
		}
		select {
		case f, ok := <-from:
			if !ok {
				in, end = nil, true
				continue
			}
			take(f)
		case <-age.C:
			old = true
		case to <- b:
			b, old = p.next(free), false
			age.Stop()
			if more {
				take(rest)
			}
		}
	}
}

// next is an empty batch, for rows typed with the newest columns known.
func (p *pipeline) next(free <-chan *batch) *batch {
	b := <-free
	b.reset(p.sink.schemas.current())
	return b
}

// commit tells Kafka, in this generation's name: **a member that lost its partitions is refused here.**
func (p *pipeline) commit(due map[int32]int64) error {
	partitions := make(map[int]int64, len(due))
	for partition, offset := range due {
		partitions[int(partition)] = offset
	}
	return p.generation.CommitOffsets(map[string]map[int]int64{p.sink.cfg.Topic: partitions})
}

// watch gives up what is still being flushed HandoverTimeout after the generation's end, or ShutdownTimeout after the
// sink's.
func (p *pipeline) watch(stop, generation context.Context, finished <-chan struct{}, abandon func()) {
	var (
		stopped, ended = stop.Done(), generation.Done()
		late, later    <-chan time.Time
	)
	for {
		select {
		case <-ended:
			ended, late = nil, time.After(p.sink.cfg.HandoverTimeout)
		case <-stopped:
			stopped, later = nil, time.After(p.sink.cfg.ShutdownTimeout)
		case <-late:
			abandon()
			return
		case <-later:
			abandon()
			return
		case <-finished:
			return
		}
	}
}
