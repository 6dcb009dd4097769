package ingest

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leadhouse/leadhouse/schema"
)

// Verify checks a delivery as the handler does, and says which secret signed it, or the reason for the 401.
func Verify(s Scheme, secrets []Secret, h http.Header, body []byte) (secretID, reason string) {
	v := newVerifier(s.withDefaults(), prometheus.NewCounterVec(prometheus.CounterOpts{}, []string{"secret"}))
	v.use(secrets)
	d, o := v.header(h)
	if o != passed {
		return "", answers[o].reason
	}
	k := v.verify(body, &d)
	if k == nil {
		return "", answers[wrongSignature].reason
	}
	return k.id, ""
}

// NewSecret makes one that no parser has seen.
func NewSecret(id, value string) Secret { return Secret{id, value} }

// Value is what a secret never shows.
func (s Secret) Value() string { return s.value }

var (
	TraceParent = traceparent
	Explain     = explain
	ErrSame     = errSame
)

// Watch makes looks at one file, as the watcher does.
func Watch(path string, apply func(content string) error) (load, look func() error) {
	w := &watched{what: "test", paths: []string{path}, apply: func(c [][]byte) error { return apply(string(c[0])) }}
	return w.load, w.look
}

// OnDecoder calls f whenever the handler reaches for a new JSON decoder. Before Run only.
func (s *Server) OnDecoder(f func()) {
	s.handler.decoders.New = func() any { f(); return new(schema.Decoder) }
}

// InFlight is what admission counts.
func (s *Server) InFlight() (requests int, bytes int64) {
	return s.admission.inFlight(), s.admission.bytes.Load()
}
