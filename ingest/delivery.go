package ingest

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// delivery is one webhook delivery on its way, with the memory it lies in. It has one owner at a time: the handler, and
// from enqueue on the producer, which alone knows when nothing reads its bytes any more.
type delivery struct {
	body     []byte // as received, byte for byte
	received time.Time

	key     []byte         // nil: no key
	headers []kafka.Header // a prefix of space
	space   [4]kafka.Header
	names   []byte // the bytes of key and header values: what Decode returns aliases the body or the Decoder

	accepted prometheus.Counter // counts its event type

	reserved int // bytes of the budget it holds
}

// The record's headers. Consumers need none of them: all but the secret's ID and the trace stand in the body.
const (
	headerEventID     = "event-id"
	headerEventType   = "event-type"
	headerSecretID    = "signature-secret-id"
	headerTraceParent = "traceparent"
)

// minBuffer is what a body's buffer starts with and a delivery's least share of the budget: it also covers the structs and
// names around a body, below 1 KiB. A typical body has 200 to 500 bytes.
const minBuffer = 4 << 10

// maxKept is the largest buffer that is kept for the next delivery: a few large bodies must not occupy memory for good.
const maxKept = 64 << 10

// framing bounds what a record and its batch add to a body and its names: the batch's header (61), the record's framing
// (below 32), the names of headers (48) and theirs (below 40).
const framing = 200

// maxRecordOverhead bounds framing and names: key, event ID and type (128 each, schema), secret ID (64), trace (55).
const maxRecordOverhead = 1 << 10

// size bounds the bytes that the delivery takes in a record batch, alone in it too.
func (d *delivery) size() int { return len(d.body) + len(d.names) + framing }

// address fills in key and headers. e is nil for a body that is not an envelope: it has no key and is produced all the
// same, because a signed body is never refused for its content.
func (d *delivery) address(e *schema.Event, secretID, trace string) {
	d.headers, d.names = d.space[:0], d.names[:0]
	if e != nil {
		d.key = d.name(e.Key())
		d.header(headerEventID, e.ID)
		d.header(headerEventType, e.Type)
	}
	d.header(headerSecretID, secretID)
	if trace != "" {
		d.header(headerTraceParent, trace)
	}
}

func (d *delivery) header(name, value string) {
	d.headers = append(d.headers, kafka.Header{Key: name, Value: d.name(value)})
}

// name copies text into d's own memory. When names grows, earlier names stay where they were.
func (d *delivery) name(text string) []byte {
	at := len(d.names)
	d.names = append(d.names, text...)
	return d.names[at:len(d.names):len(d.names)]
}

var (
	errTooLarge = errors.New("body over the limit")
	errBudget   = errors.New("no bytes left in flight")
)

// read reads the whole body into d. expected is the declared length, -1 without one. It trusts neither: the buffer, and
// with it the share of the budget, grows only with what has arrived, so that a slow sender holds little, and a body is
// too large when a byte beyond the limit is there, never cut to fit.
//
// Errors: errTooLarge, errBudget, os.ErrDeadlineExceeded (too slow), or what is wrong with the body's framing.
func (d *delivery) read(r io.Reader, expected int64, limit int, budget *admission) error {
	d.body = d.body[:0]
	for {
		if len(d.body) > limit {
			return errTooLarge
		}
		if len(d.body) == cap(d.body) || d.reserved == 0 {
			if err := d.extend(expected, limit, budget); err != nil {
				return err
			}
		}
		n, err := r.Read(d.body[len(d.body):cap(d.body)])
		d.body = d.body[:len(d.body)+n]
		switch {
		case err == io.EOF && len(d.body) > limit:
			return errTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// extend makes room for at least one byte more, and reserves it first: what the buffer has, or four times that, but not
// more than the longest body, or the declared one, and the byte behind it where its end shows.
func (d *delivery) extend(expected int64, limit int, budget *admission) error {
	want := max(cap(d.body), minBuffer)
	if len(d.body) == want {
		want = min(4*want, limit+1)
		if expected >= 0 {
			want = min(want, int(expected)+1)
		}
		want = max(want, len(d.body)+1)
	}
	if !budget.grow(want - d.reserved) {
		return errBudget
	}
	d.reserved = want
	if want > cap(d.body) {
		d.body = append(make([]byte, 0, want), d.body...)
	}
	return nil
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// deliveryPool hands out deliveries and takes back their memory and their share of the budget.
type deliveryPool struct {
	budget *admission
	pool   sync.Pool
}

func (p *deliveryPool) get() *delivery {
	if d, ok := p.pool.Get().(*delivery); ok {
		return d
	}
	return new(delivery)
}

// put ends a delivery. Its memory is used again only when reuse says that nothing can be reading it any more.
func (p *deliveryPool) put(d *delivery, reuse bool) {
	p.budget.shrink(d.reserved)
	d.reserved = 0
	if !reuse || cap(d.body) > maxKept {
		return
	}
	d.key, d.headers, d.space, d.accepted = nil, nil, [4]kafka.Header{}, nil
	p.pool.Put(d)
}
