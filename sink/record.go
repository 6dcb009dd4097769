package sink

import (
	"encoding/binary"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// record is one Kafka record as the sink keeps it until its batch is committed. There are 100,000 of them when both
// batches are full: key and headers, which only a dead letter needs, are packed into meta, one piece of memory for some
// hundred records, because the collector's work is by the piece and kafka-go makes eight of them.
type record struct {
	value    []byte // kafka-go's, not copied: rows point into it
	meta     []byte // see pack
	offset   int64
	received int64      // the record's time in ms since the epoch
	in       *insertion // where its row is; nil for a dead letter
	erased   bool       // its row, or dead letter, is blanked: a tombstone covers it
}

// size is what a record counts for against BatchBytes.
func (r *record) size() int { return len(r.value) + len(r.meta) }

// receivedAt is when ingest took the delivery.
func (r *record) receivedAt() time.Time { return time.UnixMilli(r.received).UTC() }

// The record times that can be written: from the epoch on, up to where clickhouse-go's nanoseconds overflow and the years
// silently wrap around (seen: 2299 became 1715). A producer other than ingest may have written any; none at all is
// kafka-go's zero time, and year 1 makes ClickHouse refuse the whole block.
var lastTime = time.Date(2261, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli()

// newRecord keeps a message.
func newRecord(m *kafka.Message, small *arena) record {
	return record{
		value: m.Value, meta: pack(m, small), offset: m.Offset,
		received: min(max(m.Time.UnixMilli(), 0), lastTime),
	}
}

// pack writes a message's key and headers one after another, each after its length.
func pack(m *kafka.Message, small *arena) []byte {
	size := binary.MaxVarintLen32 + len(m.Key)
	for i := range m.Headers {
		size += 2*binary.MaxVarintLen32 + len(m.Headers[i].Key) + len(m.Headers[i].Value)
	}
	b := small.take(size)
	b = append(binary.AppendUvarint(b, uint64(len(m.Key))), m.Key...)
	for i := range m.Headers {
		h := &m.Headers[i]
		b = append(binary.AppendUvarint(b, uint64(len(h.Key))), h.Key...)
		b = append(binary.AppendUvarint(b, uint64(len(h.Value))), h.Value...)
	}
	small.give(b)
	return b
}

// unpack is a record's key and headers. An absent key is an empty one: dead_letters knows no difference.
func (r *record) unpack() (key []byte, headers []schema.Header) {
	rest := r.meta
	next := func() (b []byte) {
		n, width := binary.Uvarint(rest)
		b, rest = rest[width:width+int(n)], rest[width+int(n):]
		return b
	}
	key = next()
	for len(rest) > 0 {
		name := next()
		headers = append(headers, schema.Header{Name: string(name), Value: next()})
	}
	return key, headers
}

// arena gives out small pieces of memory from large ones. It forgets a large one when it is used up: the pieces keep it.
type arena struct{ free []byte }

// take is an empty slice with room for n bytes, valid until give says how much of it is kept.
func (a *arena) take(n int) []byte {
	if cap(a.free) < n {
		a.free = make([]byte, 0, max(n, 32<<10))
	}
	return a.free[:0:n]
}

func (a *arena) give(kept []byte) { a.free = a.free[len(kept):cap(a.free)][:0] }
