package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// errInUse says that the group has members, whose offsets nobody else may set.
var errInUse = errors.New("stop every sink of the group first (one that was killed counts for its session time-out more), then start one with --accept-new-topic")

// acceptNewTopic begins a new epoch where the topic is not the one that the ledger was written from: it records the epoch,
// and then sets the group's offsets to the log's starts. **The epoch comes first**: entries of the new topic must never
// stand under the old one's positions. Between the two a crash leaves an epoch without entries, which stops every sink like
// the recreated topic itself, and which the next attempt finishes.
func (s *Sink) acceptNewTopic(ctx context.Context) error {
	hopeless := func(err error) bool {
		return errors.Is(err, errInUse) || classify(err) == fatal || misconfigured(err)
	}
	return s.await(ctx, "new topic", hopeless, func() error {
		ctx, cancel := context.WithTimeout(ctx, 3*askTimeout) // some questions for each partition
		defer cancel()
		return s.accept(ctx)
	})
}

func (s *Sink) accept(ctx context.Context) error {
	// In this order: two sinks that are started at a time, both told to accept, find the same epoch to begin, or the second
	// finds the first one's offsets set.
	now, err := readEpoch(ctx, s.cfg.ClickHouse, s.cfg.Database)
	if err != nil {
		return err
	}
	number := now.number
	if begun, err := schema.HasEntries(ctx, s.cfg.ClickHouse, s.cfg.Database, number); err != nil {
		return err
	} else if begun || number == 0 {
		number++
	}
	starts, why, err := s.survey(ctx, now)
	if err != nil {
		return err
	}
	if why == "" {
		s.cfg.Logger.Info().Str("topic", s.cfg.Topic).Uint32("epoch", now.number).Msg("there is no new topic to accept: it is the one that the ledger knows")
		return nil
	}
	if err := s.empty(ctx); err != nil {
		return err
	}
	firsts := make([]schema.EpochStart, 0, len(starts))
	resets := make([]kafka.OffsetCommit, 0, len(starts))
	for partition, first := range starts {
		firsts = append(firsts, schema.EpochStart{Epoch: number, Partition: int32(partition), First: first})
		resets = append(resets, kafka.OffsetCommit{Partition: partition, Offset: first})
	}
	if err := schema.RecordEpoch(ctx, s.cfg.ClickHouse, s.cfg.Database, firsts, why, time.Now().UTC()); err != nil {
		return fmt.Errorf("record epoch %d: %w", number, err)
	}
	if err := s.reset(ctx, resets); err != nil {
		return err
	}
	s.cfg.Logger.Warn().Str("topic", s.cfg.Topic).Uint32("epoch", number).Int("partitions", len(starts)).Str("because", why).
		Msg("the topic as it is now has been accepted: it is read from its start; take --accept-new-topic away again")
	return nil
}

// survey asks of every partition where its log begins and whether it is the ledger's; why not, "" if all are.
func (s *Sink) survey(ctx context.Context, now epoch) (starts map[int]int64, why string, err error) {
	meta, err := s.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{s.cfg.Topic}})
	if err != nil {
		return nil, "", fmt.Errorf("ask Kafka for topic %s: %w", s.cfg.Topic, err)
	}
	var partitions []int
	for _, t := range meta.Topics {
		if t.Name == s.cfg.Topic {
			for _, p := range t.Partitions {
				partitions = append(partitions, p.ID)
			}
		}
	}
	committed, err := s.witness.committed(ctx, partitions)
	if err != nil {
		return nil, "", err
	}
	starts = make(map[int]int64, len(partitions))
	for _, p := range partitions {
		log, err := s.witness.bounds(ctx, int32(p))
		if err != nil {
			return nil, "", err
		}
		starts[p] = log.first
		_, err = s.witness.place(ctx, now, int32(p), committed[int32(p)])
		if other, ok := errors.AsType[*otherLogError](err); ok {
			why = fmt.Sprintf("partition %d: %s", p, other.seen)
		} else if err != nil {
			return nil, "", err
		}
	}
	return starts, why, nil
}

// empty makes sure that the group has no members. Kafka refuses the reset while it has; this says so before an epoch is
// recorded.
func (s *Sink) empty(ctx context.Context) error {
	answer, err := s.client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{s.cfg.Group}})
	if err != nil {
		return fmt.Errorf("ask for the group's members: %w", err)
	}
	for _, g := range answer.Groups {
		if g.Error != nil {
			return fmt.Errorf("ask for the group's members: %w", g.Error)
		}
		if n := len(g.Members); n > 0 {
			return fmt.Errorf("group %s has %d members: %w", s.cfg.Group, n, errInUse)
		}
	}
	return nil
}

// reset sets the group's offsets as an operator's tool does: in no generation's name.
func (s *Sink) reset(ctx context.Context, to []kafka.OffsetCommit) error {
	answer, err := s.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: s.cfg.Group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{s.cfg.Topic: to},
	})
	if err != nil {
		return fmt.Errorf("reset the group's offsets: %w", err)
	}
	for _, p := range answer.Topics[s.cfg.Topic] {
		switch {
		case errors.Is(p.Error, kafka.UnknownMemberId), errors.Is(p.Error, kafka.IllegalGeneration), errors.Is(p.Error, kafka.RebalanceInProgress):
			return fmt.Errorf("group %s has members again: %w", s.cfg.Group, errInUse)
		case p.Error != nil:
			return fmt.Errorf("reset the group's offset of partition %d: %w", p.Partition, p.Error)
		}
	}
	return nil
}
