package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// httpPeer is the server that ingest is measured against: what any receiver of signed webhooks in Go must do, and nothing
// else. It reads the body, checks the HMAC, and answers with the very bytes that ingest answers with.
type httpPeer struct {
	Addr string
}

// secretVariable has the secret that deliveries are signed with.
const secretVariable = "BENCH_SECRET"

// maxBody is ingest's default.
const maxBody = 1 << 20

// serveHTTPPeer serves until the process is killed.
func serveHTTPPeer(p httpPeer) error {
	secret := []byte(os.Getenv(secretVariable))
	macs := sync.Pool{New: func() any { return hmac.New(sha256.New, secret) }}
	bodies := sync.Pool{New: func() any { b := make([]byte, 4<<10); return &b }}
	verified := func(r *http.Request) bool {
		buffer := bodies.Get().(*[]byte)
		defer bodies.Put(buffer)
		body, err := readBody((*buffer)[:0], r.Body)
		*buffer = body
		signature := r.Header[http.CanonicalHeaderKey(local.SignatureHeader)]
		if err != nil || len(signature) != 1 || len(signature[0]) != hex.EncodedLen(sha256.Size) {
			return false
		}
		var given, sum [sha256.Size]byte
		if _, err := hex.Decode(given[:], []byte(signature[0])); err != nil {
			return false
		}
		mac := macs.Get().(hash.Hash)
		defer macs.Put(mac)
		mac.Reset()
		mac.Write(body)
		return hmac.Equal(mac.Sum(sum[:0]), given[:])
	}
	server := &http.Server{ // the limits are ingest's defaults
		Addr: p.Addr,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet { // whoever waits for the server
				return
			}
			if !verified(r) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.Header()["Content-Type"] = []string{"application/json"}
			w.Header()["X-Content-Type-Options"] = []string{"nosniff"}
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"status":"accepted"}`+"\n")
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      25 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	return server.ListenAndServe()
}

// readBody reads to the end, into the memory of b as far as it goes.
func readBody(b []byte, r io.Reader) ([]byte, error) {
	for len(b) <= maxBody {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
	return b, errors.New("body too large")
}
