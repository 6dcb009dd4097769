package ingest_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func sign(body string) string { return signWith(secret, body) }

func signWith(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// answer is what a sender sees.
type answer struct {
	status int
	body   string
	header http.Header
}

// send posts a body with the given headers ("Name: value"), and keeps what was promised. A broken connection is status 0.
func (h *harness) send(body string, headers ...string) answer {
	h.t.Helper()
	request, err := http.NewRequest(http.MethodPost, h.url, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	return h.do(request, body)
}

func (h *harness) do(request *http.Request, body string) answer {
	h.t.Helper()
	if got := strings.TrimPrefix(request.Header.Get("X-Leadron-Signature"), "sha256="); got == sign(body) {
		h.mu.Lock()
		h.verified[body] = true
		h.mu.Unlock()
	}
	response, err := h.client.Do(request)
	if err != nil {
		return answer{}
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}
	}
	if response.StatusCode/100 == 2 {
		h.mu.Lock()
		h.accepted = append(h.accepted, body)
		h.mu.Unlock()
	}
	return answer{response.StatusCode, string(got), response.Header}
}

// deliver posts a signed body.
func (h *harness) deliver(body string, headers ...string) answer {
	h.t.Helper()
	return h.send(body, append([]string{"X-Leadron-Signature: " + sign(body)}, headers...)...)
}

// event is a body with an ID and a lead.
func event(id, lead string) string {
	return fmt.Sprintf(`{"id":%q,"type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{"leadId":%q}}`, id, lead)
}

// wantStatus compares.
func wantStatus(t testing.TB, got answer, want int) {
	t.Helper()
	if got.status != want {
		t.Errorf("status: got %d (%q), want %d", got.status, got.body, want)
	}
}
