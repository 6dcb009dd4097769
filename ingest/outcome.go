package ingest

import (
	"net/http"
	"strconv"
)

// outcome is how a request ended: a closed set, each with its status, its body and its metric label.
//
// Rules of status:
//   - 2xx is for what Kafka has acknowledged.
//   - Our own fault is 5xx, never 4xx: nobody states what Leadron does with a 4xx, and senders commonly give up on it. So
//     also "too many at once" is 503 and not 429.
//   - Never 410 (some senders unsubscribe on it), never 3xx.
//   - Every 401 is the same, byte for byte. Which reason it was is for the operator, in the metrics.
type outcome uint8

const (
	passed outcome = iota // nothing to object to so far. Never an answer: what is forgotten must not become a 2xx

	accepted
	notFound
	wrongMethod

	contentEncoding // from here to bodyBroken: see refused
	noSignature
	duplicateSignature
	oversizedSignature
	malformedSignature
	wrongSignature
	bodySlow
	bodyTooLarge
	bodyBroken

	full
	kafkaAway
	ackLate
	panicked

	outcomes // how many there are
)

// answer is what an outcome says to the sender.
type answer struct {
	status     int
	reason     string // the metric's label
	body       string
	retryAfter []string // header value, nil for none
	close      bool     // the connection cannot be used again: a body on it was not read to its end
}

const unauthorized = `{"error":"invalid signature"}` + "\n"

// Seconds until a retry makes sense: an overload passes as soon as a batch is through, a broker's death takes about 10 s.
var (
	retrySoon  = []string{"1"}
	retryLater = []string{"5"}
)

var answers = [outcomes]answer{
	passed: {http.StatusInternalServerError, "panic", `{"error":"internal error"}` + "\n", nil, true},

	accepted: {http.StatusAccepted, "accepted", `{"status":"accepted"}` + "\n", nil, false},

	notFound:        {http.StatusNotFound, "not_found", `{"error":"not found"}` + "\n", nil, false},
	wrongMethod:     {http.StatusMethodNotAllowed, "method", `{"error":"method not allowed"}` + "\n", nil, false},
	contentEncoding: {http.StatusUnsupportedMediaType, "content_encoding", `{"error":"content encoding not supported"}` + "\n", nil, false},

	noSignature:        {http.StatusUnauthorized, "no_signature", unauthorized, nil, false},
	duplicateSignature: {http.StatusUnauthorized, "duplicate_signature_header", unauthorized, nil, false},
	oversizedSignature: {http.StatusUnauthorized, "oversized_signature", unauthorized, nil, false},
	malformedSignature: {http.StatusUnauthorized, "malformed_signature", unauthorized, nil, false},
	wrongSignature:     {http.StatusUnauthorized, "wrong_signature", unauthorized, nil, false},

	bodySlow:     {http.StatusRequestTimeout, "body_timeout", `{"error":"request body too slow"}` + "\n", nil, true},
	bodyTooLarge: {http.StatusRequestEntityTooLarge, "body_too_large", `{"error":"request body too large"}` + "\n", nil, true},
	bodyBroken:   {http.StatusBadRequest, "body_broken", `{"error":"request body incomplete"}` + "\n", nil, true},

	full:      {http.StatusServiceUnavailable, "full", `{"error":"too many deliveries at once"}` + "\n", retrySoon, false},
	kafkaAway: {http.StatusServiceUnavailable, "kafka", `{"error":"storage not available"}` + "\n", retryLater, false},
	ackLate:   {http.StatusServiceUnavailable, "ack_timeout", `{"error":"storage not available"}` + "\n", retryLater, false},
	panicked:  {http.StatusInternalServerError, "panic", `{"error":"internal error"}` + "\n", nil, true},
}

// Header values as net/http keeps them, so that setting one needs no memory.
var (
	jsonType  = []string{"application/json"}
	allowPost = []string{http.MethodPost}
	closeConn = []string{"close"}
	noSniff   = []string{"nosniff"}
)

// refused: a delivery may have been turned away for what it was, which its sender's operator, or ours, can mend.
func (o outcome) refused() bool { return o >= contentEncoding && o <= bodyBroken }

// send writes the answer. A failure is the sender's: it did not see what it will see on its retry.
func (o outcome) send(w http.ResponseWriter) {
	a := &answers[o]
	h := w.Header()
	h["Content-Type"] = jsonType
	h["X-Content-Type-Options"] = noSniff
	if a.retryAfter != nil {
		h["Retry-After"] = a.retryAfter
	}
	if o == wrongMethod {
		h["Allow"] = allowPost
	}
	if a.close {
		h["Connection"] = closeConn
	}
	w.WriteHeader(a.status)
	w.Write([]byte(a.body)) //nolint:errcheck // see above
}

func (a *answer) code() string { return strconv.Itoa(a.status) }
