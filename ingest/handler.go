package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// handler answers the public listener. The order of its checks is the design's: everything that can be refused without
// the body is refused without it, and nothing parses a body before its signature fits.
type handler struct {
	path       string
	maxBody    int
	ackTimeout time.Duration

	verifier   *verifier
	admission  *admission
	deliveries *deliveryPool
	producer   *producer
	metrics    *metrics
	draining   *atomic.Bool // answers end their connections, so that the sender's next one goes elsewhere
	log        zerolog.Logger
	refusals   zerolog.Logger // sampled: anybody can cause one

	decoders sync.Pool // of *schema.Decoder
	timers   sync.Pool // of *time.Timer, stopped
}

// ServeHTTP never lets a panic take the process down: one odd delivery must not lose the others' acknowledgements.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	o := panicked
	defer func() {
		if o == panicked {
			h.logPanic(recover())
		}
		h.metrics.requests[o].Inc()
		h.metrics.requestSeconds.Observe(time.Since(start).Seconds())
		if o.refused() {
			h.refusals.Warn().Str("reason", answers[o].reason).
				Msg("a delivery was refused; one such line a minute, all are counted in leadhouse_ingest_requests_total")
		}
		if h.draining.Load() {
			w.Header()["Connection"] = closeConn
		}
		o.send(w)
	}()
	o = h.serve(r, start)
}

// logPanic logs where it happened. Not the panic's text, which may quote a payload, unless it is the runtime's own.
func (h *handler) logPanic(v any) {
	text := fmt.Sprintf("%T", v)
	if err, ok := v.(interface {
		error
		RuntimeError()
	}); ok {
		text = err.Error()
	}
	h.log.Error().Str("panic", text).Bytes("stack", debug.Stack()).Msg("a request panicked")
}

// serve is everything but writing the answer.
func (h *handler) serve(r *http.Request, start time.Time) outcome {
	switch { // no ServeMux: it answers 301 to //webhooks/leadron
	case r.URL.Path != h.path:
		return notFound
	case r.Method != http.MethodPost:
		return wrongMethod
	case !isIdentity(r.Header["Content-Encoding"]):
		return contentEncoding // a compressed body could be a bomb, and nobody says what the signature would cover
	}
	if r.ContentLength > int64(h.maxBody) {
		return bodyTooLarge // unread
	}
	signature, o := h.verifier.header(r.Header)
	if o != passed {
		return o
	}
	if !h.admission.enter() {
		return full
	}
	defer h.admission.leave()

	d := h.deliveries.get()
	defer func() { // also when something below panics: its share of the budget must come back
		if d != nil {
			h.deliveries.put(d, true)
		}
	}()
	if o := h.receive(d, r, start, &signature); o != passed {
		return o
	}
	verified, count := time.Now(), d.accepted
	ticket, ok := h.producer.enqueue(d)
	if !ok {
		return kafkaAway
	}
	d = nil // the producer's from here on, even if this request gives up
	if o := h.await(ticket); o != accepted {
		return o
	}
	count.Inc()
	h.metrics.ackSeconds.Observe(time.Since(verified).Seconds())
	setToNow(h.metrics.lastAccepted)
	return accepted
}

// isIdentity: no coding at all, or "identity", which names none.
func isIdentity(codings []string) bool {
	for _, c := range codings {
		if c != "" && !strings.EqualFold(c, "identity") {
			return false
		}
	}
	return true
}

// receive reads, verifies and addresses one delivery.
func (h *handler) receive(d *delivery, r *http.Request, start time.Time, signature *digest) outcome {
	switch err := d.read(r.Body, r.ContentLength, h.maxBody, h.admission); {
	case err == nil:
	case errors.Is(err, errTooLarge):
		return bodyTooLarge
	case errors.Is(err, errBudget):
		return full
	case isTimeout(err):
		return bodySlow
	default:
		return bodyBroken
	}
	// Nothing unverified gets in: nothing below runs for a body whose signature does not fit.
	k := h.verifier.verify(d.body, signature)
	if k == nil {
		return wrongSignature
	}
	k.verified.Inc()
	d.received = start

	decoder, _ := h.decoders.Get().(*schema.Decoder)
	if decoder == nil {
		decoder = new(schema.Decoder)
	}
	e, err := decoder.Decode(d.body)
	if err != nil {
		e = nil // not an envelope: stored all the same, and the sink says why it is none
		d.accepted = h.metrics.noEnvelope
	} else {
		d.accepted = h.metrics.eventType(e.Type)
	}
	d.address(e, k.id, traceparent(r.Header))
	h.decoders.Put(decoder)
	return passed
}

// await waits for the acknowledgement. It does not listen for the sender's leaving: one that half-closes its connection
// still wants the answer, and the record is on its way all the same.
func (h *handler) await(t ticket) outcome {
	timer, _ := h.timers.Get().(*time.Timer)
	if timer == nil {
		timer = time.NewTimer(h.ackTimeout)
	} else {
		timer.Reset(h.ackTimeout)
	}
	defer func() { // since Go 1.23 a stopped timer's channel holds no stale value
		timer.Stop()
		h.timers.Put(timer)
	}()
	select {
	case <-t.batch.done:
		if t.err() != nil {
			return kafkaAway
		}
		return accepted
	case <-timer.C:
		return ackLate
	}
}
