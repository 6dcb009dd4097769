package ingest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

// head is a signed request's head with further header lines.
func head(body string, lines ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nX-Leadron-Signature: " + sign(body) + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// chunks is a body in chunked coding, without its end.
func chunks(body string, size int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return b.String()
}

func TestDeclaredTooLargeIs413Unread(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.MaxBody = 1000 })
	// Not a byte of the body is sent: an answer means that none was waited for.
	got := raw(t, h, head("x", "Content-Length: 1001"))
	wantStatus(t, got, http.StatusRequestEntityTooLarge)
	if got.header.Get("Connection") != "close" {
		t.Error("the connection is kept, so the body would be read")
	}
}

// Chunked coding by-passes a check of Content-Length; a silent cut at the limit would make it a bad signature, redelivered
// for ever.
func TestChunkedTooLargeIs413Never401AndNeverStored(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.MaxBody = 1000 })
	for _, size := range []int{1001, 1002, 4096, 5000, 300_000} {
		body := strings.Repeat("x", size)
		for _, signed := range []string{body, body[:1000]} { // of the whole, and of what a cut would leave
			got := raw(t, h, head(signed, "Transfer-Encoding: chunked")+chunks(body, 100_000)+"0\r\n\r\n")
			wantStatus(t, got, http.StatusRequestEntityTooLarge)
		}
	}
	if records := h.check(); len(records) != 0 {
		t.Errorf("records: got %d, want none", len(records))
	}
}

func TestChunkedBodyArrivesWhole(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.MaxBody = 300_000 })
	for _, size := range []int{1, 4095, 4096, 4097, 16_384, 100_000, 300_000} {
		body := event(fmt.Sprintf("evt_%d", size), "ld_1")
		body += strings.Repeat(" ", max(0, size-len(body)))
		h.verified[body] = true
		h.accepted = append(h.accepted, body)
		wantStatus(t, raw(t, h, head(body, "Transfer-Encoding: chunked")+chunks(body, 1000)+"0\r\n\r\n"), http.StatusAccepted)
		wantStatus(t, h.deliver(body), http.StatusAccepted)
	}
	if got := len(h.check()); got != 14 {
		t.Errorf("records: got %d, want 14", got)
	}
}

func TestCutBodyIsNeitherAcceptedNorStored(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil))
	body := event("evt_1", "ld_1")
	for _, c := range []string{
		head(body[:20], fmt.Sprintf("Content-Length: %d", len(body))) + body[:20], // signed for what does arrive
		head(body[:20], "Transfer-Encoding: chunked") + chunks(body[:20], 20),
		head(body[:20], "Transfer-Encoding: chunked") + chunks(body[:20], 20) + "zz\r\n",
	} {
		conn := dial(t, h)
		io.WriteString(conn, c)
		conn.(interface{ CloseWrite() error }).CloseWrite()
		if got := readAnswer(conn); got.status != http.StatusBadRequest {
			t.Errorf("got %d, want 400", got.status)
		}
		// And the same with the sender gone altogether.
		conn = dial(t, h)
		io.WriteString(conn, c)
		conn.Close()
	}
	h.until("all counted", func() bool {
		return h.metric(`leadhouse_ingest_requests_total{code="400",reason="body_broken"}`) == 6
	})
	if records := h.check(); len(records) != 0 {
		t.Errorf("records: got %d, want none", len(records))
	}
}

func TestSlowBodyIs408(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.ReadTimeout = 200 * time.Millisecond })
	body := event("evt_1", "ld_1")
	for _, lines := range []string{fmt.Sprintf("Content-Length: %d", len(body)), "Transfer-Encoding: chunked"} {
		got := raw(t, h, head(body, lines)) // and nothing more
		wantStatus(t, got, http.StatusRequestTimeout)
		if got.header.Get("Connection") != "close" {
			t.Error("the connection is kept")
		}
	}
	h.check()
}

func TestSlowHeaderIsCut(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.HeaderTimeout = 100 * time.Millisecond })
	c := dial(t, h)
	io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("got %v, want the server to close", err)
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil))
	got := raw(t, h, head("x", "X-Large: "+strings.Repeat("x", 32<<10)))
	wantStatus(t, got, http.StatusRequestHeaderFieldsTooLarge)
}

func TestConnectionsBeyondTheCapAreClosed(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.MaxConns = 3 })
	for range 3 {
		io.WriteString(dial(t, h), "POST "+path+" HTTP/1.1\r\n") // slow ones that hold their place
	}
	h.until("refused", func() bool {
		c := dial(t, h)
		defer c.Close()
		io.WriteString(c, head("x", "Content-Length: 1")+"x")
		return readAnswer(c).status == 0
	})
}

func TestRequestsBeyondTheBoundGet503WithRetryAfter(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.MaxInFlight = 2 })
	body := event("evt_1", "ld_1")
	held := []io.Writer{}
	for range 2 {
		c := dial(t, h)
		io.WriteString(c, head(body, fmt.Sprintf("Content-Length: %d", len(body))))
		held = append(held, c)
	}
	h.until("two in flight", func() bool { n, _ := h.server.InFlight(); return n == 2 })
	got := h.deliver(body)
	wantStatus(t, got, http.StatusServiceUnavailable)
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After: got %q, want 1", got.header.Get("Retry-After"))
	}
	for _, c := range held {
		io.WriteString(c, body)
	}
	h.until("accepted again", func() bool { return h.deliver(body).status == http.StatusAccepted })
	h.check()
}

func TestBytesBeyondTheBoundGet503WithRetryAfter(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) {
		c.MaxBody, c.MaxInFlightBytes = 64<<10, 70<<10
	})
	large := strings.Repeat("x", 60<<10)
	holder := dial(t, h)
	io.WriteString(holder, head(large, fmt.Sprintf("Content-Length: %d", len(large)))+large[:50<<10])
	h.until("held", func() bool { _, n := h.server.InFlight(); return n > 50<<10 })
	got := h.deliver(large)
	wantStatus(t, got, http.StatusServiceUnavailable)
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), http.StatusAccepted) // small ones still fit
	h.verified[large] = true
	io.WriteString(holder, large[50<<10:])
	wantStatus(t, readAnswer(holder), http.StatusAccepted)
	h.check()
}

// A slow sender holds what it has sent, not what it has promised to send.
func TestDeclaredLengthReservesNothing(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.MaxInFlightBytes = 2 << 20 })
	for range 20 {
		io.WriteString(dial(t, h), head("x", "Content-Length: 1048576")+"{")
	}
	h.until("20 in flight", func() bool { n, _ := h.server.InFlight(); return n == 20 })
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), http.StatusAccepted)
}

// HTTP/2's floods cannot happen where there is no HTTP/2.
func TestNoHTTP2(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil))
	c := dial(t, h)
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if got := readAnswer(c); got.status/100 != 4 && got.status != 505 {
		t.Errorf("got %d, want a refusal", got.status)
	}
}
