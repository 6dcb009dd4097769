package ingest_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// Requests that a proxy before us could read otherwise than we do (CVE-2025-22871 and its kin): whatever is hidden in one,
// it is no delivery, and where the reading is in doubt the connection ends.
func TestSmuggledRequestsAreNoDelivery(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil))
	hidden := "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
	body := event("evt_1", "ld_1")
	for name, text := range map[string]string{
		"two lengths":                    head(body, fmt.Sprintf("Content-Length: %d", len(body)), "Content-Length: 1") + body,
		"two lengths in one":             head(body, fmt.Sprintf("Content-Length: %d, 1", len(body))) + body,
		"a length with a sign":           head(body, fmt.Sprintf("Content-Length: +%d", len(body))) + body,
		"a length below zero":            head(body, "Content-Length: -1") + body,
		"a coding that nobody knows":     head(body, "Transfer-Encoding: xchunked") + body,
		"chunked and another":            head(body, "Transfer-Encoding: chunked, identity") + chunks(body, 10) + "0\r\n\r\n",
		"chunked twice":                  head(body, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunks(body, 10) + "0\r\n\r\n",
		"a space before the colon":       head(body, "Transfer-Encoding : chunked") + chunks(body, 10) + "0\r\n\r\n",
		"a chunk's size with a bare LF":  head(body, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\n%s\r\n0\r\n\r\n", len(body), body),
		"a chunk's size with a sign":     head(body, "Transfer-Encoding: chunked") + fmt.Sprintf("+%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"a chunk's size of 17 digits":    head(body, "Transfer-Encoding: chunked") + fmt.Sprintf("1%016x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"a chunk that is longer":         head(body, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%sxx\r\n0\r\n\r\n", len(body), body),
		"a header line folded":           head(body, "X: y", " Transfer-Encoding: chunked") + hidden,
		"NUL in a header":                head(body, "X: \x00", "Content-Length: 1") + "x",
		"length and chunked, the second": head("", "Content-Length: 6", "Transfer-Encoding: chunked") + "0\r\n\r\n" + hidden,
	} {
		c := dial(t, h)
		io.WriteString(c, text)
		c.(interface{ CloseWrite() error }).CloseWrite()
		for answers, in := 0, bufio.NewReader(c); ; answers++ {
			response, err := http.ReadResponse(in, nil)
			if err != nil {
				break
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
			// The one whose length is beside the point is an empty signed body, which is a delivery like any other.
			if first := answers == 0 && strings.HasPrefix(name, "length and chunked"); response.StatusCode/100 == 2 && !first {
				t.Errorf("%s: answer %d is %s", name, answers+1, response.Status)
			}
		}
	}
	h.verified[""] = true
	if records := h.check(); len(records) > 1 || len(records) == 1 && records[0].value != "" {
		t.Errorf("in Kafka: %q", values(records))
	}
}

// No header that a proxy sets, or somebody in its place, decides anything: there is no list of addresses to get around.
func TestForwardedHeadersDecideNothing(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil))
	body := event("evt_1", "ld_1")
	for _, line := range []string{
		"X-Forwarded-For: 127.0.0.1", "X-Real-Ip: ::ffff:127.0.0.1", "Forwarded: for=localhost", "X-Forwarded-Host: localhost",
		"X-Original-Url: /healthz", "X-Http-Method-Override: GET", "X-Rewrite-Url: /metrics",
	} {
		wantStatus(t, h.send(body, line), 401)
		wantStatus(t, h.deliver(body, line), 202)
	}
	for _, r := range h.check() {
		if len(r.headers) != 3 {
			t.Errorf("record headers: got %v, want ours alone", r.headers)
		}
	}
}
