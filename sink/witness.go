package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// witness tells whether a partition's log is the one that the ledger was written from, and where to go on in it. An offset
// alone does not say: a topic that was deleted and created again, or that lost its end in an unclean election, counts its
// offsets anew, and Kafka forgets what a group had committed on a topic that is deleted. So **before a partition is read,
// and again after its connection was lost, the ledger's last entry is compared with the record that lies there now.**
type witness struct {
	client       *kafka.Client
	topic, group string
	conn         driver.Conn
	database     string
	timeout      time.Duration // of one question to ClickHouse
	turn         chan struct{} // one question at a time: a hundred partitions must not take a hundred connections
}

// errLedger marks errors that come from ClickHouse, for readiness.
var errLedger = errors.New("ClickHouse does not answer for the ledger")

// otherLogError says that a partition's log is not the one that has been read up to now.
type otherLogError struct {
	topic, group string
	partition    int32
	seen         string
}

func (e *otherLogError) Error() string {
	return fmt.Sprintf("topic %s partition %d: %s: the topic was recreated, or Kafka has lost records of it (unclean leader election). Nothing has been skipped, and what ClickHouse has stays. To go on with the topic as it is now: stop every sink of group %s, start one with --accept-new-topic, which reads the topic from its start as a new epoch (an event that is there already stays single), and then the others without it",
		e.topic, e.partition, e.seen, e.group)
}

func (w *witness) other(partition int32, format string, args ...any) error {
	return &otherLogError{w.topic, w.group, partition, fmt.Sprintf(format, args...)}
}

// bounds are a log's first offset and the one after its last.
type bounds struct{ first, last int64 }

// place finds where to go on in a partition: at the committed offset, and where the group has none (negative), at the log's
// first record. What the log does not have of an answer below its start is lost. An *otherLogError is a verdict; there is
// none where either side has nothing to compare, as where retention or compaction took the record. Any other error may pass.
func (w *witness) place(ctx context.Context, now epoch, partition int32, committed int64) (next int64, err error) {
	log, err := w.bounds(ctx, partition)
	if err != nil {
		return 0, err
	}
	// Its very last, committed or not, and wherever the group's offset has been set to.
	entry, found, err := w.lastEntry(ctx, now, partition, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	switch {
	case committed > log.last:
		return 0, w.other(partition, "the next offset to read is %d, but the log ends at %d", committed, log.last)
	case found && entry.Offset >= log.last:
		return 0, w.other(partition, "the ledger goes to offset %d, but the log ends at %d", entry.Offset, log.last)
	case committed < 0 && !found: // nobody has read anything of it
		return log.first, nil
	case !found:
		return committed, w.begun(ctx, now, partition, committed)
	}
	if err := w.compare(ctx, log, partition, entry); err != nil {
		return 0, err
	}
	switch {
	case committed >= 0:
		return committed, nil
	case entry.Offset+1 < log.first: // the offsets have expired, and the records after them as well
		return entry.Offset + 1, nil
	}
	return log.first, nil // they have expired: what is read again collapses
}

func (w *witness) lastEntry(ctx context.Context, now epoch, partition int32, below int64) (schema.Entry, bool, error) {
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return schema.Entry{}, false, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	entry, found, err := schema.LastEntry(ctx, w.conn, w.database, now.number, partition, below)
	if err != nil {
		return entry, false, fmt.Errorf("%w: %w", errLedger, err)
	}
	return entry, found, nil
}

// compare looks at the record where the ledger has its last entry.
func (w *witness) compare(ctx context.Context, log bounds, partition int32, entry schema.Entry) error {
	if entry.Offset < log.first {
		return nil
	}
	body, there, err := w.record(ctx, partition, entry.Offset)
	if err == nil && there && !entry.Is(body) {
		return w.other(partition, "the record at offset %d is not the one that the ledger has there", entry.Offset)
	}
	return err
}

// begun looks at a partition that has a committed offset and nothing in the ledger. In epoch 0 that is none of our
// business. In a later one the ledger begins where the epoch does; unless its acceptance was cut off before the group's
// offsets were reset.
func (w *witness) begun(ctx context.Context, now epoch, partition int32, committed int64) error {
	start := now.starts[partition]
	if now.number == 0 || committed <= start {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	gaps, err := schema.Gaps(ctx, w.conn, w.database)
	if err != nil {
		return fmt.Errorf("%w: %w", errLedger, err)
	}
	for _, g := range gaps {
		if g.Epoch == now.number && g.Partition == partition && g.First < committed {
			return nil
		}
	}
	return w.other(partition, "epoch %d begins at offset %d and the ledger has nothing of it, but the group's offset is %d, still that of the topic before", now.number, start, committed)
}

func (w *witness) bounds(ctx context.Context, partition int32) (log bounds, err error) {
	answer, err := w.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		w.topic: {kafka.FirstOffsetOf(int(partition)), kafka.LastOffsetOf(int(partition))},
	}})
	if err != nil {
		return log, fmt.Errorf("ask for the log's bounds: %w", err)
	}
	for _, p := range answer.Topics[w.topic] {
		if p.Partition != int(partition) {
			continue
		}
		if p.Error != nil {
			return log, fmt.Errorf("ask for the bounds of partition %d: %w", partition, p.Error)
		}
		return bounds{p.FirstOffset, p.LastOffset}, nil
	}
	return log, fmt.Errorf("ask for the bounds of partition %d: no answer about it", partition)
}

// record is the body of the record at an offset; false if there is none, or only what compaction or a transaction left.
func (w *witness) record(ctx context.Context, partition int32, offset int64) (body []byte, there bool, err error) {
	answer, err := w.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: w.topic, Partition: int(partition), Offset: offset,
		MinBytes: 1, MaxBytes: 1, MaxWait: fetchWait, // Kafka gives one whole record batch, however little is asked for
	})
	if err == nil {
		err = answer.Error
	}
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange): // retention has been quicker
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("fetch the record at offset %d of partition %d: %w", offset, partition, err)
	}
	for {
		m, err := readRecord(answer.Records)
		switch {
		case errors.Is(err, io.EOF), err == nil && m.Offset > offset:
			return nil, false, nil
		case err != nil:
			return nil, false, fmt.Errorf("read the record at offset %d of partition %d: %w", offset, partition, err)
		case m.Offset == offset:
			return m.Value, true, nil
		}
	}
}

// committed are the group's offsets; -1 where there is none.
func (w *witness) committed(ctx context.Context, partitions []int) (map[int32]int64, error) {
	answer, err := w.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: w.group, Topics: map[string][]int{w.topic: partitions}})
	if err == nil && !errors.Is(answer.Error, kafka.GroupIdNotFound) {
		err = answer.Error
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the group's offsets: %w", err)
	}
	committed := make(map[int32]int64, len(partitions))
	for _, p := range partitions {
		committed[int32(p)] = -1
	}
	for _, p := range answer.Topics[w.topic] {
		if p.Error != nil {
			return nil, fmt.Errorf("ask for the group's offset of partition %d: %w", p.Partition, p.Error)
		}
		committed[int32(p.Partition)] = p.CommittedOffset
	}
	return committed, nil
}
