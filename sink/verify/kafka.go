package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/sink"
)

// askTimeout bounds one question to Kafka. Each is asked again for askFor: a leader may be moving.
const (
	askTimeout = 10 * time.Second
	askFor     = 30 * time.Second
	askPause   = 500 * time.Millisecond
)

// log is what Kafka says of one partition.
type log struct {
	start, end int64
	committed  int64 // -1: nothing
	since      int64 // the first offset whose record is of that time or later, the end if there is none
}

// ask puts a question until it is answered, for a while.
func ask[T any](ctx context.Context, question func(context.Context) (T, error)) (answer T, err error) {
	until := time.Now().Add(askFor)
	for {
		answer, err = within(ctx, question)
		if err == nil || hopeless(err) || time.Now().After(until) {
			return answer, err
		}
		if !sink.Wait(ctx, askPause) {
			return answer, ctx.Err()
		}
	}
}

// hopeless is what asking again does not mend.
func hopeless(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return certificate || errors.Is(err, kafka.SASLAuthenticationFailed) || errors.Is(err, kafka.TopicAuthorizationFailed) ||
		errors.Is(err, kafka.GroupAuthorizationFailed) || errors.Is(err, kafka.UnknownTopicOrPartition)
}

func within[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return question(ctx)
}

// partitions are those of the topic.
func (v *Verifier) partitions(ctx context.Context) ([]int, error) {
	return ask(ctx, func(ctx context.Context) (ids []int, err error) {
		meta, err := v.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{v.cfg.Topic}})
		if err != nil {
			return nil, fmt.Errorf("ask Kafka for topic %s: %w", v.cfg.Topic, err)
		}
		for _, t := range meta.Topics {
			if t.Name == v.cfg.Topic && t.Error != nil {
				return nil, fmt.Errorf("topic %s: %w", v.cfg.Topic, t.Error)
			}
			if t.Name == v.cfg.Topic {
				for _, p := range t.Partitions {
					ids = append(ids, p.ID)
				}
			}
		}
		if len(ids) == 0 {
			return nil, fmt.Errorf("topic %s: Kafka names no partitions", v.cfg.Topic)
		}
		slices.Sort(ids)
		return ids, nil
	})
}

// committed is how far the group is, by partition.
func (v *Verifier) committed(ctx context.Context, ids []int) (map[int]int64, error) {
	return ask(ctx, func(ctx context.Context) (map[int]int64, error) {
		answer, err := v.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: v.cfg.Group, Topics: map[string][]int{v.cfg.Topic: ids}})
		if err == nil {
			err = answer.Error
		}
		if errors.Is(err, kafka.GroupIdNotFound) { // no sink has been there yet
			return map[int]int64{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("ask for the offsets of group %s: %w", v.cfg.Group, err)
		}
		offsets := map[int]int64{}
		for _, p := range answer.Topics[v.cfg.Topic] {
			if p.Error != nil {
				return nil, fmt.Errorf("ask for the offset of group %s in partition %d: %w", v.cfg.Group, p.Partition, p.Error)
			}
			offsets[p.Partition] = p.CommittedOffset
		}
		return offsets, nil
	})
}

// logs reads the committed offsets **first**, and then where the logs begin and end: what the ledger is asked for later has
// been written before it was committed.
func (v *Verifier) logs(ctx context.Context, since time.Time) (map[int32]*log, error) {
	ids, err := v.partitions(ctx)
	if err != nil {
		return nil, err
	}
	committed, err := v.committed(ctx, ids)
	if err != nil {
		return nil, err
	}
	logs := map[int32]*log{}
	for _, id := range ids {
		offset, known := committed[id]
		if !known {
			offset = -1
		}
		logs[int32(id)] = &log{committed: offset}
	}
	if err := v.bounds(ctx, ids, logs, since); err != nil {
		return nil, err
	}
	return logs, v.settle(ctx, ids, logs)
}

func (v *Verifier) bounds(ctx context.Context, ids []int, logs map[int32]*log, since time.Time) error {
	questions := []func(int) kafka.OffsetRequest{kafka.FirstOffsetOf, kafka.LastOffsetOf}
	if !since.IsZero() {
		questions = append(questions, func(id int) kafka.OffsetRequest { return kafka.TimeOffsetOf(id, since) })
	}
	for i, question := range questions {
		answers, err := v.listOffsets(ctx, ids, question)
		if err != nil {
			return err
		}
		for _, p := range answers {
			l := logs[int32(p.Partition)]
			switch i {
			case 0:
				l.start = p.FirstOffset
			case 1:
				l.end = p.LastOffset
				l.since = p.LastOffset
			default:
				for offset := range p.Offsets {
					if offset >= 0 {
						l.since = offset
					}
				}
			}
		}
	}
	return nil
}

func (v *Verifier) listOffsets(ctx context.Context, ids []int, question func(int) kafka.OffsetRequest) ([]kafka.PartitionOffsets, error) {
	requests := make([]kafka.OffsetRequest, len(ids))
	for i, id := range ids {
		requests[i] = question(id)
	}
	return ask(ctx, func(ctx context.Context) ([]kafka.PartitionOffsets, error) {
		answer, err := v.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{v.cfg.Topic: requests}})
		if err != nil {
			return nil, fmt.Errorf("ask for the log's bounds: %w", err)
		}
		for _, p := range answer.Topics[v.cfg.Topic] {
			if p.Error != nil {
				return nil, fmt.Errorf("ask for the log's bounds in partition %d: %w", p.Partition, p.Error)
			}
		}
		return answer.Topics[v.cfg.Topic], nil
	})
}

// settleTries and settlePause are how long a sink may take to commit what it had fetched before the log's start passed it.
const (
	settleTries = 10
	settlePause = 500 * time.Millisecond
)

// settle looks again where the log begins after the committed offset. Retention has taken what is between, but a sink may
// have fetched it before. Once it has committed past the start there is nothing to say.
func (v *Verifier) settle(ctx context.Context, ids []int, logs map[int32]*log) error {
	for range settleTries {
		behind := slices.DeleteFunc(slices.Clone(ids), func(id int) bool {
			l := logs[int32(id)]
			return l.committed < 0 || l.committed >= l.start
		})
		if len(behind) == 0 {
			return nil
		}
		if !sink.Wait(ctx, settlePause) {
			return ctx.Err()
		}
		committed, err := v.committed(ctx, behind)
		if err != nil {
			return err
		}
		for _, id := range behind {
			l := logs[int32(id)]
			l.committed = max(l.committed, committed[id])
		}
	}
	return nil
}
