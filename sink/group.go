package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// joinBackoff is kafka-go's pause after a failed attempt to join; its own default is 5 s.
	joinBackoff = time.Second
	// rebalanceTimeout is how long Kafka waits for the others to join again: a heartbeat, a handover and a commit, and as
	// much again.
	rebalanceTimeout = 20 * time.Second
	// leaveTimeout bounds the way out of the group. A member that does not get out is taken for lost after SessionTimeout.
	leaveTimeout = 5 * time.Second
	// partitionInterval is how soon partitions that were added to the topic are read.
	partitionInterval = 5 * time.Second
)

// group takes part in the consumer group until stop ends, then leaves it. One generation's pipeline runs at a time:
// kafka-go waits for it before it joins the next.
func (s *Sink) group(stop context.Context) error {
	network, cut := context.WithCancel(context.WithoutCancel(stop)) // the last commit and the leave come after stop
	defer cut()
	members, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:      s.cfg.Group,
		Brokers: s.cfg.Brokers,
		// Joining waits for the other members: longer than any other call.
		Dialer:                 leash(network, s.cfg.Dialer, rebalanceTimeout+2*groupTimeout),
		Topics:                 []string{s.cfg.Topic},
		HeartbeatInterval:      s.cfg.HeartbeatInterval,
		SessionTimeout:         s.cfg.SessionTimeout,
		RebalanceTimeout:       rebalanceTimeout,
		JoinGroupBackoff:       joinBackoff,
		WatchPartitionChanges:  true,
		PartitionWatchInterval: partitionInterval,
		StartOffset:            kafka.FirstOffset, // a group without offsets has inserted nothing
		Timeout:                groupTimeout,
	})
	if err != nil {
		return fmt.Errorf("consumer group: %w", err)
	}
	last := s.generations(stop, members)
	s.health.expect("group", "stopping")
	if last != nil {
		<-last.drained // within ShutdownTimeout, with heartbeats
	}
	// Close waits for the coordinator, which may be a broker that says nothing: then its connections are cut.
	late := time.AfterFunc(leaveTimeout, cut)
	defer late.Stop()
	if err := members.Close(); err != nil {
		return fmt.Errorf("leave the group: %w", err)
	}
	s.cfg.Logger.Info().Str("group", s.cfg.Group).Msg("left the group")
	return nil
}

// generations works until stop ends and returns the last generation's pipeline. Next must be called all the time: kafka-go
// hands over generations and errors through unbuffered channels, and paces failed attempts itself.
func (s *Sink) generations(stop context.Context, members *kafka.ConsumerGroup) (last *pipeline) {
	for {
		generation, err := members.Next(stop)
		switch {
		case stop.Err() != nil && generation == nil:
			return last
		case errors.Is(err, kafka.RebalanceInProgress): // joining again, nothing is wrong
			continue
		case err != nil:
			s.health.trouble("group", "kafka", err.Error())
			continue
		}
		p := newPipeline(s, generation)
		for _, partition := range p.partitions {
			s.health.expect(fetchPart(partition), "starting") // until its log is known to be the ledger's
		}
		s.health.over("group")
		s.metrics.rebalances.Inc()
		s.metrics.partitions.Set(float64(len(p.partitions)))
		s.cfg.Logger.Info().Int32("generation", generation.ID).Ints32("partitions", p.partitions).Msg("joined the group")
		// Of a generation that has ended meanwhile, kafka-go runs this late, and does not wait for it.
		generation.Start(func(ctx context.Context) { p.run(stop, ctx) })
		last = p
		if len(p.partitions) > 0 {
			continue
		}
		// More members than partitions, or the topic has been deleted: then generations would follow each other without a
		// pause, and until Next is called again none does.
		if err := s.awaitTopic(stop); err != nil {
			s.fail(err)
		}
	}
}

// flusher is a new one, for one generation: what another generation stored is not this one's to commit.
func (s *Sink) flusher(commit func(map[int32]int64) error) *flusher {
	return &flusher{
		conn: s.cfg.ClickHouse, schemas: s.schemas, breaker: s.breaker, offsets: &offsets{}, commit: commit,
		timeout: s.cfg.InsertTimeout, retryMax: s.cfg.RetryMax, health: s.health, lag: s.lag, metrics: s.metrics,
	}
}

// abandoned notes a batch that was given up.
func (s *Sink) abandoned(b *batch) {
	s.metrics.flushes.end(b)
	s.metrics.abandoned.Inc()
	s.cfg.Logger.Info().Int("rows", b.rows).Msg("a batch is abandoned: not committed, it will be read again")
}
