package ingest

import (
	"bytes"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
)

// batch is a group of deliveries that go to Kafka in one request. Its queue adds to it until a worker takes it; then it
// only ends. Everyone who waits for one of its deliveries waits on done.
type batch struct {
	deliveries []*delivery
	bytes      int       // bound of its record batch
	newest     time.Time // when the last delivery was added
	torn       bool      // an attempt ended while kafka-go may still be reading the deliveries' memory

	done chan struct{} // closed when errs is final
	errs []error       // nil when all are acknowledged, else one for each delivery
}

// fail notes that the deliveries from i to j are not acknowledged.
func (b *batch) fail(i, j int, err error) {
	if b.errs == nil {
		b.errs = make([]error, len(b.deliveries))
	}
	for ; i < j; i++ {
		b.errs[i] = err
	}
}

// failed counts the deliveries that are not acknowledged.
func (b *batch) failed() (n int, err error) {
	for _, e := range b.errs {
		if e != nil {
			n, err = n+1, e
		}
	}
	return n, err
}

// ticket is one waiter's place in a batch.
type ticket struct {
	batch *batch
	place int
}

// err is nil if and only if Kafka has acknowledged the delivery. Only after done.
func (t ticket) err() error {
	if t.batch.errs == nil {
		return nil
	}
	return t.batch.errs[t.place]
}

// noTimestamp is Kafka's own mark for a record without a time. A zero Time would not do: kafka-go replaces it by the clock
// of this machine, the very one that [32] InvalidTimestamp complains about.
var noTimestamp = time.UnixMilli(-1)

// records is the RecordReader of one attempt. It makes each record, and the readers of its key and value, when the encoder
// asks for it, so nothing of an earlier attempt can be in them: kafka-go answers a used reader, or one of no records,
// with success, and a used Bytes with an empty record. What was handed out is counted, and attempt compares.
type records struct {
	deliveries []*delivery
	untimed    bool

	read   int // records handed out
	record kafka.Record
	key    content
	value  content
}

// content is a kafka.Bytes over a slice.
type content struct{ bytes.Reader }

func (*content) Close() error { return nil }

func (r *records) ReadRecord() (*kafka.Record, error) {
	if r.read == len(r.deliveries) {
		return nil, io.EOF
	}
	d := r.deliveries[r.read]
	r.read++
	r.record = kafka.Record{Time: d.received, Value: &r.value, Headers: d.headers}
	r.value.Reset(d.body)
	if d.key != nil {
		r.key.Reset(d.key)
		r.record.Key = &r.key
	}
	if r.untimed {
		r.record.Time = noTimestamp
	}
	return &r.record, nil
}
