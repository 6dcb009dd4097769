package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// How much one fetch asks for.
const (
	fetchWait  = 500 * time.Millisecond // Kafka's wait for the first byte at the end of the log: two requests a second when idle
	fetchMost  = 2 << 20                // some thousand records; every partition may hold one fetch, and asking more often costs nothing measurable
	fetchLeast = 64 << 10               // a partition's share never falls below this, however many partitions there are

	// At the log's end a fetch is answered with the one record that has just come, and at 1,000 records a second Kafka was
	// asked 1,000 times a second: half a core of its own. So a fetcher that has reached the end rests a little before it
	// asks again. The rest is part of BatchAge, not on top of it: see fetched.rested.
	restMost  = 50 * time.Millisecond
	restShare = 5 // of BatchAge at most one part in so many
)

// fetched is what one fetch brought: the records in its span, in order. An offset in the span without a record never was
// one for us: a transaction's control record, or what compaction took.
type fetched struct {
	span
	epoch   uint32 // the topic's
	records []record
	rested  time.Duration // how long, at most, the first record has lain in Kafka while the fetcher rested
}

// fetcher reads one partition for as long as a generation lasts. **It skips nothing in silence**: what retention has taken
// is recorded as a gap before it goes on behind it, and a log that ends below the offset that is next, or is another than
// the ledger's, stops the sink. On any error it reads on over a new connection, from the same offset, because a kafka-go
// Conn is out of step after an error in a response and never finds back.
type fetcher struct {
	dialer    *kafka.Dialer // leashed to the fetching
	client    *kafka.Client
	witness   *witness
	gaps      *gaps
	brokers   []string
	topic     string
	partition int32
	epoch     epoch         // the topic's, for as long as the generation lasts
	next      int64         // offset to fetch next; until placed the group's, negative where it has none
	placed    bool          // the log is the ledger's, and this the same connection since
	most      int           // bytes of records to keep of one fetch
	ask       int           // bytes to ask for, which Kafka counts compressed
	barren    int           // fetches in a row that brought nothing, though the log goes on
	rest      time.Duration // after a fetch that reached the log's end
	rested    bool          // and so it has, before the next one
	retryMax  time.Duration
	health    *health
	guess     int   // records in the last fetch, to size the next
	small     arena // for keys and headers
}

// errBrokenBatch stands for a panic of kafka-go's over a record batch that compaction has emptied.
var errBrokenBatch = errors.New("kafka-go cannot read a record batch")

// lostError says that the log begins above the next offset to read.
type lostError struct{ first int64 }

func (e *lostError) Error() string { return fmt.Sprintf("the log begins at %d", e.first) }

// fetchPart is what health calls a partition's fetching.
func fetchPart(partition int32) string { return "fetch partition " + strconv.Itoa(int(partition)) }

// run fetches until ctx ends (nil) or the log is not the one that was read up to now (*otherLogError). Each fetch waits in
// out until it is taken, so a partition is never more than one fetch ahead.
func (f *fetcher) run(ctx context.Context, out chan<- fetched) error {
	part := fetchPart(f.partition)
	defer f.health.drop(part)
	pause := newBackoff(f.retryMax)
	for {
		err := f.work(ctx, out, func() {
			pause.Reset()
			f.health.over(part)
		})
		if _, other := errors.AsType[*otherLogError](err); other {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errBrokenBatch):
			f.health.trouble(part, "broken batch", err.Error())
			err = f.sidestep(ctx, out)
		case errors.Is(err, errLedger):
			f.health.trouble(part, cause(err), describe(err))
		case err != nil:
			f.health.trouble(part, "kafka", err.Error())
		}
		if err != nil && !wait(ctx, pause.NextBackOff()) {
			return nil
		}
	}
}

// work finds its place in the log and fetches over one connection until something goes wrong; a gap that it has gone over
// is nothing wrong. It calls alive whenever Kafka and ClickHouse have answered.
func (f *fetcher) work(ctx context.Context, out chan<- fetched, alive func()) (err error) {
	if !f.placed {
		if f.next, err = f.witness.place(ctx, f.epoch, f.partition, f.next); err != nil {
			return err
		}
		f.placed = true
		alive()
	}
	err = f.connection(ctx, out, alive)
	if lost, below := errors.AsType[*lostError](err); below {
		return f.passOver(ctx, out, lost.first)
	}
	f.placed = errors.Is(err, errBrokenBatch) // else a topic may have been recreated meanwhile
	return err
}

// passOver goes on at the log's start. **The gap is in ClickHouse before anything moves**: the commit follows when the span
// without records, sent here, has gone the way of all fetches. A crash in between records the same gap again.
func (f *fetcher) passOver(ctx context.Context, out chan<- fetched, first int64) error {
	lost := schema.Gap{
		Epoch: f.epoch.number, Partition: f.partition, First: f.next, Next: first, NoticedAt: time.Now().UTC().Truncate(time.Millisecond),
		Detail: fmt.Sprintf("the next offset to read was %d when the log began at %d", f.next, first),
	}
	// What is in the ledger is not lost, though it was not committed: a crash came before that, an operator has set the
	// offset back, or this sink was frozen while others read on.
	in, found, err := f.witness.lastEntry(ctx, f.epoch, f.partition, first)
	if err != nil {
		return err
	}
	if found {
		lost.First = max(lost.First, in.Offset+1) // a partition's entries come in order
	}
	if lost.First < lost.Next {
		if err := f.gaps.record(ctx, lost); err != nil {
			return fmt.Errorf("%w: %w", errLedger, err)
		}
	}
	select {
	case out <- fetched{span: span{f.partition, f.next, first}, epoch: f.epoch.number}:
		f.next = first
	case <-ctx.Done():
	}
	return nil
}

// connection fetches over one connection until something goes wrong, and says what. It calls alive after each fetch that
// was answered.
func (f *fetcher) connection(ctx context.Context, out chan<- fetched, alive func()) error {
	conn, err := dialLeader(ctx, f.dialer, f.brokers, f.topic, f.partition)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for {
		got, high, err := f.fetch(conn)
		if f.rested {
			got.rested, f.rested = f.rest, false
		}
		if got.next > f.next { // also what was read before an error
			select {
			case out <- got:
			case <-ctx.Done():
				return ctx.Err()
			}
			f.next, f.barren = got.next, 0
		} else if high > f.next {
			if f.barren++; f.barren == barrenMost {
				f.barren = 0
				return fmt.Errorf("%w: nothing comes at offset %d of a log that ends at %d", errBrokenBatch, f.next, high)
			}
		}
		switch {
		case errors.Is(err, kafka.OffsetOutOfRange):
			return f.locate(ctx)
		case err != nil:
			return err
		}
		alive()
		if len(got.records) > 0 && got.next >= high {
			if !wait(ctx, f.rest) {
				return ctx.Err()
			}
			f.rested = true
		}
	}
}

// barrenMost is how many fetches in a row may bring nothing although the log goes on, before the batch there is held to
// be unreadable. Once happens: a response may be cut short.
const barrenMost = 3

// fetch does one fetch and drains it at once: its body comes off the socket during the reading, under the deadline, so
// nothing may make the reading wait. It returns what was read also when it fails. high is the log's end, 0 if unknown.
func (f *fetcher) fetch(conn *kafka.Conn) (got fetched, high int64, err error) {
	got.span, got.epoch = span{f.partition, f.next, f.next}, f.epoch.number
	got.records = make([]record, 0, f.guess)
	if err := conn.SetDeadline(time.Now().Add(fetchTimeout)); err != nil {
		return got, 0, err
	}
	if _, err := conn.Seek(f.next, kafka.SeekAbsolute|kafka.SeekDontCheck); err != nil {
		return got, 0, err
	}
	batch := conn.ReadBatchWith(kafka.ReadBatchConfig{MinBytes: 1, MaxBytes: f.ask, MaxWait: fetchWait})
	high = batch.HighWaterMark()
	size := 0
	for size < f.most {
		var m kafka.Message
		if m, err = readMessage(batch); err != nil {
			break
		}
		if m.Offset < got.next {
			continue // Kafka answers with whole batches, which may begin earlier
		}
		got.next = m.Offset + 1
		if isControl(m) {
			continue
		}
		got.records = append(got.records, newRecord(&m, &f.small))
		size += got.records[len(got.records)-1].size()
	}
	if errors.Is(err, errBrokenBatch) {
		return got, high, err // and no Close
	}
	cut := err == nil
	if errors.Is(err, io.EOF) {
		// What compaction has taken from the batch's end is only in Offset. It runs backwards over an empty batch.
		got.next = max(got.next, batch.Offset())
	}
	err = batch.Close()
	if errors.Is(err, kafka.RequestTimedOut) { // how kafka-go says that nothing new has come
		err = nil
	}
	f.adapt(cut, size, len(got.records))
	return got, high, err
}

// readMessage turns kafka-go's panic over an empty record batch into an error. The Batch stays locked: it must not be
// closed, only its connection can be.
func readMessage(batch *kafka.Batch) (m kafka.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errBrokenBatch, p)
		}
	}()
	return batch.ReadMessage()
}

// adapt learns how much to ask for: Kafka counts compressed bytes, most counts what comes out of them, and what is cut
// off has been sent for nothing.
func (f *fetcher) adapt(cut bool, size, records int) {
	switch {
	case cut:
		f.ask = max(f.ask/2, fetchLeast)
	case size < f.most/2:
		f.ask = min(f.ask*2, fetchMost)
	}
	f.guess = records + records/8
}

// isControl tells a transaction's marker, which Conn returns like a message: the key is a version and a type (0 abort,
// 1 commit), the value begins with a version. No body of Leadron's begins with a zero byte.
func isControl(m kafka.Message) bool {
	return len(m.Key) == 4 && m.Key[0] == 0 && m.Key[1] == 0 && m.Key[2] == 0 && m.Key[3] <= 1 &&
		len(m.Value) >= 6 && m.Value[0] == 0 && m.Value[1] == 0 && len(m.Headers) == 0
}

// locate finds out, over a connection of its own, whether the next offset lies outside the log.
func (f *fetcher) locate(ctx context.Context) error {
	conn, err := dialLeader(ctx, f.dialer, f.brokers, f.topic, f.partition)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return err
	}
	first, last, err := conn.ReadOffsets()
	if err != nil {
		return fmt.Errorf("ask for the log's bounds: %w", err)
	}
	switch {
	case f.next < first:
		return &lostError{first}
	case f.next > last:
		return f.witness.other(f.partition, "the next offset to read is %d, but the log ends at %d", f.next, last)
	}
	return fmt.Errorf("offset %d was out of range, and is not any more", f.next)
}

// sidestep reads on where Conn cannot, with kafka.Client, which reads an empty record batch correctly but says of it
// neither that it is there nor where it ends: with an empty answer it tries the next offset, up to the log's end.
func (f *fetcher) sidestep(ctx context.Context, out chan<- fetched) error {
	got := fetched{span: span{f.partition, f.next, f.next}, epoch: f.epoch.number}
	for len(got.records) == 0 {
		response, err := f.client.Fetch(ctx, &kafka.FetchRequest{
			Topic: f.topic, Partition: int(f.partition), Offset: got.next,
			MinBytes: 1, MaxBytes: int64(f.ask), MaxWait: fetchWait,
		})
		if err == nil {
			err = response.Error
		}
		if err != nil {
			return fmt.Errorf("fetch around a broken batch: %w", err)
		}
		if err := got.read(response.Records, &f.small); err != nil {
			return fmt.Errorf("read around a broken batch: %w", err)
		}
		if len(got.records) == 0 {
			if got.next >= response.HighWatermark {
				break
			}
			got.next++
		}
	}
	select {
	case out <- got:
		f.next = got.next
	case <-ctx.Done():
	}
	return nil
}

// read adds the records that kafka.Client has fetched.
func (got *fetched) read(from kafka.RecordReader, small *arena) error {
	for {
		m, err := readRecord(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if m.Offset >= got.next {
			got.next = m.Offset + 1
			got.records = append(got.records, newRecord(&m, small))
		}
	}
}

func readRecord(from kafka.RecordReader) (kafka.Message, error) {
	r, err := from.ReadRecord()
	if err != nil {
		return kafka.Message{}, err
	}
	m := kafka.Message{Offset: r.Offset, Time: r.Time, Headers: r.Headers}
	if m.Key, err = kafka.ReadAll(r.Key); err != nil { // its pages are left to the collector: this path is rare
		return m, err
	}
	m.Value, err = kafka.ReadAll(r.Value)
	return m, err
}
