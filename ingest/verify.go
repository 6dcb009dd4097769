package ingest

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Rules of verification, each a way in which somebody's webhook receiver was opened:
//
//   - How deliveries are signed comes from Config alone. Nothing in a request chooses the algorithm, the encoding or
//     the secret.
//   - Exactly one header value. http.Header.Get would silently take the first of several.
//   - The exact length, or no: comparing as far as the sender went accepts the empty prefix (CVE-2024-21491).
//   - Compared by hmac.Equal on decoded bytes, never as text.
//   - The bytes that are verified are the bytes that are stored.

// Scheme is how Leadron signs deliveries. The documentation names only the header (Events page); the rest is what all
// four of its SDKs verify (Go SDK, auth.go). It is settings, so that a change there is a change of settings here.
type Scheme struct {
	Header    string // Defaults to "X-Leadron-Signature".
	Algorithm string // HMAC with "sha256", "sha384" or "sha512". Defaults to "sha256".
	Encoding  string // "hex" (lower case only) or "base64" (standard alphabet, padded). Defaults to "hex".
	Prefix    string // may stand before the value, and need not. Defaults to the algorithm and "=": "sha256=".
}

func (s Scheme) withDefaults() Scheme {
	s.Header = http.CanonicalHeaderKey(cmp.Or(s.Header, "X-Leadron-Signature"))
	s.Algorithm = cmp.Or(s.Algorithm, "sha256")
	s.Encoding = cmp.Or(s.Encoding, "hex")
	s.Prefix = cmp.Or(s.Prefix, s.Algorithm+"=")
	return s
}

func (s Scheme) validate() error {
	var errs []error
	if !headerName.MatchString(s.Header) {
		errs = append(errs, fmt.Errorf("Scheme.Header: %q is not a header name", s.Header))
	}
	if s.newHash() == nil {
		errs = append(errs, fmt.Errorf("Scheme.Algorithm: %q is none of sha256, sha384, sha512", s.Algorithm))
	}
	if s.Encoding != "hex" && s.Encoding != "base64" {
		errs = append(errs, fmt.Errorf("Scheme.Encoding: %q is neither hex nor base64", s.Encoding))
	}
	if len(s.Prefix) > 64 {
		errs = append(errs, errors.New("Scheme.Prefix: longer than 64 bytes"))
	}
	return errors.Join(errs...)
}

func (s Scheme) newHash() func() hash.Hash {
	switch s.Algorithm {
	case "sha256":
		return sha256.New
	case "sha384":
		return sha512.New384
	case "sha512":
		return sha512.New
	}
	return nil
}

// maxSignature bounds the header's value before it is looked at. The longest real one, prefixed sha512 in hex, has 135.
const maxSignature = 1 << 10

// maxDigest is the longest digest of any algorithm, sha512's.
const maxDigest = sha512.Size

// verifier checks signatures against the secrets in force. Safe for concurrent use; the secrets may be replaced meanwhile.
type verifier struct {
	scheme Scheme
	size   int // of a digest
	keys   atomic.Pointer[[]*key]

	verified *prometheus.CounterVec // by secret ID
}

// key is one secret, ready for use.
type key struct {
	id       string
	macs     sync.Pool          // of hash.Hash keyed with the secret: keying costs two hash blocks
	verified prometheus.Counter // what it verified: is the old one still in use?
}

func newVerifier(s Scheme, verified *prometheus.CounterVec) *verifier {
	v := &verifier{scheme: s, size: s.newHash()().Size(), verified: verified}
	v.use(nil)
	return v
}

// use replaces the secrets. Requests under way finish with the old ones.
func (v *verifier) use(secrets []Secret) {
	keys := make([]*key, len(secrets))
	for i, s := range secrets {
		keys[i] = &key{
			id:       s.ID,
			macs:     sync.Pool{New: func() any { return hmac.New(v.scheme.newHash(), []byte(s.value)) }},
			verified: v.verified.WithLabelValues(s.ID),
		}
	}
	v.keys.Store(&keys)
}

// digest is a decoded signature. A value, so that a request needs no memory for it.
type digest [maxDigest]byte

// header takes the one signature out of a request's header and decodes it. It needs no body: what it refuses is refused
// before a byte of the body is read. The outcome is passed, or one of the reasons for 401.
func (v *verifier) header(h http.Header) (digest, outcome) {
	values := h[v.scheme.Header]
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "":
		return digest{}, noSignature
	case len(values) > 1:
		return digest{}, duplicateSignature
	case len(values[0]) > maxSignature:
		return digest{}, oversizedSignature
	}
	d, ok := v.decode(values[0])
	if !ok {
		return digest{}, malformedSignature
	}
	return d, passed
}

// decode takes "<encoded>" or "<prefix><encoded>", where encoded is exactly one whole digest.
func (v *verifier) decode(value string) (d digest, ok bool) {
	value = strings.TrimPrefix(value, v.scheme.Prefix)
	if v.scheme.Encoding == "base64" {
		if len(value) != base64.StdEncoding.EncodedLen(v.size) {
			return d, false
		}
		var out [(maxDigest/3 + 1) * 3]byte // Decode may write the padding's place too
		n, err := base64.StdEncoding.Strict().Decode(out[:], []byte(value))
		copy(d[:], out[:v.size])
		return d, err == nil && n == v.size
	}
	if len(value) != hex.EncodedLen(v.size) || strings.ContainsAny(value, "ABCDEF") { // all four SDKs refuse upper case
		return d, false
	}
	_, err := hex.Decode(d[:], []byte(value))
	return d, err == nil
}

// verify returns the key that signed body, nil when none did. It stops at the first that fits: how long that takes tells
// which secret is in use, and nothing about any of them.
func (v *verifier) verify(body []byte, d *digest) *key {
	var sum [maxDigest]byte
	for _, k := range *v.keys.Load() {
		mac := k.macs.Get().(hash.Hash)
		mac.Reset()
		mac.Write(body)
		ok := hmac.Equal(mac.Sum(sum[:0]), d[:v.size])
		k.macs.Put(mac)
		if ok {
			return k
		}
	}
	return nil
}
