package main

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestReadAccepted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, answer, err string }{
		{"plain", "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok", ""},
		{"small letters", "HTTP/1.1 202 Accepted\r\ncontent-length:2\r\nDate: x\r\n\r\nok", ""},
		{"refused", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "not 202"},
		{"chunked", "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "no Content-Length"},
		{"cut", "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\no", "EOF"},
		{"nothing", "", "EOF"},
	} {
		const after = "the next answer"
		text := c.answer
		if c.err == "" {
			text += after
		}
		r := bufio.NewReader(strings.NewReader(text))
		err := readAccepted(r)
		if c.err == "" {
			rest := make([]byte, len(after))
			if _, readErr := r.Read(rest); err != nil || readErr != nil || string(rest) != after {
				t.Errorf("%s: %v, then %q, %v", c.name, err, rest, readErr)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
}

// Every request that the load sends is whole and signed, and every answer is counted.
func TestLoad(t *testing.T) {
	t.Parallel()
	const secret = "a secret for the test"
	served := make(chan int, 1)
	served <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := r.Body.Read(body); err != nil && err.Error() != "EOF" {
			t.Errorf("read a body: %v", err)
		}
		if got, want := r.Header.Get(local.SignatureHeader), local.Sign(secret, body); got != want || r.URL.Path != "/webhooks/leadron" {
			t.Errorf("%s %s is signed with %q, want %q", r.Method, r.URL.Path, got, want)
		}
		served <- <-served + 1
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	l := load{
		addr: server.Listener.Addr().String(), connections: 3, requests: signedRequests(50, secret),
		warm: 20 * time.Millisecond, measured: 100 * time.Millisecond,
	}
	v, err := l.fire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := <-served; v.all != n || len(v.latencies) == 0 || len(v.latencies) >= v.all {
		t.Errorf("%d served, %d answers, %d of them measured", n, v.all, len(v.latencies))
	}
}

func TestLoadRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	l := load{addr: server.Listener.Addr().String(), connections: 2, requests: signedRequests(1, "x"), measured: time.Second}
	if _, err := l.fire(t.Context()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a server that refuses: %v", err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = closed.Addr().String()
	closed.Close()
	if _, err := l.fire(t.Context()); err == nil {
		t.Error("nobody listens, and it is no error")
	}
}
