package sink

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// lagInterval is how often Kafka is asked where the partitions end. Lag is an alert's input: seconds do.
const lagInterval = 5 * time.Second

// lag measures how far the group is behind on this sink's partitions. It asks Kafka on its own timer, because what fetches
// happen to say of the log's end goes stale exactly when it matters: when ClickHouse is away and nothing is fetched.
type lag struct {
	client  *kafka.Client
	topic   string
	metrics *metrics

	mu   sync.Mutex // guards done
	done map[int32]int64
}

// committed notes how far each partition is.
func (l *lag) committed(done map[int32]int64) {
	l.mu.Lock()
	l.done = done
	l.mu.Unlock()
	for partition, offset := range done {
		if offset >= 0 {
			l.metrics.committed.WithLabelValues(label(partition)).Set(float64(offset))
		}
	}
}

// run measures until nothing is flushed any more, and then takes the partitions' series away: somebody else reports them
// now.
func (l *lag) run(ctx context.Context, finished <-chan struct{}, partitions []int32) {
	defer func() {
		for _, p := range partitions {
			l.metrics.lag.DeleteLabelValues(label(p))
			l.metrics.committed.DeleteLabelValues(label(p))
		}
	}()
	tick := time.NewTicker(lagInterval)
	defer tick.Stop()
	for {
		l.measure(ctx, partitions)
		select {
		case <-tick.C:
		case <-finished:
			return
		}
	}
}

func (l *lag) measure(ctx context.Context, partitions []int32) {
	done := l.sofar()
	var ask []kafka.OffsetRequest
	for _, p := range partitions {
		ask = append(ask, kafka.LastOffsetOf(int(p)))
		if done[p] < 0 {
			// The group has committed nothing: it is behind by the whole log. Without this, lag would be missing when not
			// even the first batch gets in.
			ask = append(ask, kafka.FirstOffsetOf(int(p)))
		}
	}
	ends, err := l.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{l.topic: ask}})
	if err != nil {
		return // fetching, heartbeats and readiness meet the same trouble and say so
	}
	done = l.sofar() // what was committed meanwhile is no lag
	for _, end := range ends.Topics[l.topic] {
		at, known := done[int32(end.Partition)]
		if at < 0 {
			at = end.FirstOffset // negative where it was not asked for
		}
		if known && end.Error == nil && at >= 0 {
			l.metrics.lag.WithLabelValues(label(int32(end.Partition))).Set(float64(max(end.LastOffset-at, 0)))
		}
	}
}

func (l *lag) sofar() map[int32]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.done)
}

func label(partition int32) string { return strconv.Itoa(int(partition)) }
