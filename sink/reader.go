package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// A Reader reads a partition's records by their offsets, as the sink reads them: it skips control records, reads around
// what kafka-go stumbles over, and waits for no answer without a deadline. It belongs to no group and commits nothing. Not
// for concurrent use.
type Reader struct {
	fetcher
	transport *kafka.Transport
	conn      *kafka.Conn // nil until needed, and after an error
	held      fetched     // what the last fetch brought: runs that lie close together cost one fetch
}

// A Message is one Kafka record. Value is valid while the function that it is given to runs.
type Message struct {
	Offset     int64
	ReceivedAt time.Time // the record's time, as the sink writes it
	Value      []byte
}

// ErrOutsideLog is Read's when Kafka does not have the offsets, or no longer.
var ErrOutsideLog = errors.New("the offset is not in the log")

// readTries bounds how often Read tries one fetch: with the pauses some ten seconds, which a leader's move takes.
const readTries = 8

// NewReader makes one. Nothing is dialled before the first Read. Close it.
func NewReader(dialer *kafka.Dialer, brokers []string, topic string, partition int32) *Reader {
	client, transport := newClient(dialer, brokers, topic)
	return &Reader{
		fetcher: fetcher{
			dialer: dialer, client: client, brokers: brokers, topic: topic, partition: partition,
			most: fetchMost, ask: fetchLeast,
		},
		transport: transport,
	}
}

// Close closes the connections.
func (r *Reader) Close() {
	r.disconnect()
	r.transport.CloseIdleConnections()
}

func (r *Reader) disconnect() {
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
}

// Read calls each with every record from an offset on, up to but not including another, which must not be past the log's
// end. Offsets without a record are passed over.
func (r *Reader) Read(ctx context.Context, from, to int64, each func(Message) error) error {
	for from < to {
		if from < r.held.from || from >= r.held.next {
			if err := r.fetchAt(ctx, from); err != nil {
				return err
			}
		}
		for i := range r.held.records {
			record := &r.held.records[i]
			if record.offset < from {
				continue
			}
			if record.offset >= to {
				return nil
			}
			if err := each(Message{record.offset, record.receivedAt(), record.value}); err != nil {
				return err
			}
		}
		from = r.held.next
	}
	return nil
}

// fetchAt fills held with what begins at an offset.
func (r *Reader) fetchAt(ctx context.Context, from int64) error {
	if from != r.held.next { // elsewhere: how much is wanted there is not known
		r.ask = fetchLeast
	}
	r.next, r.held = from, fetched{span: span{r.partition, from, from}}
	pause := newBackoff(2 * time.Second)
	var err error
	for barren := 0; barren < readTries; barren++ {
		if err = r.once(ctx); err == nil && r.held.next > from {
			return nil
		}
		if errors.Is(err, kafka.OffsetOutOfRange) {
			return fmt.Errorf("partition %d: %d: %w", r.partition, from, ErrOutsideLog)
		}
		if !wait(ctx, pause.NextBackOff()) {
			return ctx.Err()
		}
	}
	if err == nil {
		err = errors.New("nothing comes")
	}
	return fmt.Errorf("read partition %d at offset %d: %w", r.partition, from, err)
}

// once does one fetch. An answer that brought nothing although the log goes on is read around like a batch that kafka-go
// cannot read.
func (r *Reader) once(ctx context.Context) error {
	dialer := leash(ctx, r.dialer, fetchTimeout)
	if r.conn == nil {
		conn, err := dialLeader(ctx, dialer, r.brokers, r.topic, r.partition)
		if err != nil {
			return err
		}
		r.conn = conn
	}
	got, high, err := r.fetch(r.conn)
	if err != nil {
		r.disconnect() // out of step for good
	}
	if got.next > r.next {
		r.held = got
		return nil // what was read before an error is good
	}
	if errors.Is(err, errBrokenBatch) || err == nil && high > r.next {
		return r.around(ctx)
	}
	return err
}

// around is sidestep for one who waits for the answer.
func (r *Reader) around(ctx context.Context) error {
	out := make(chan fetched, 1)
	next := r.next
	if err := r.sidestep(ctx, out); err != nil {
		return err
	}
	r.next = next
	select {
	case r.held = <-out:
	default: // ctx has ended
	}
	return ctx.Err()
}
