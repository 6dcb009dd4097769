package local_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

const apiKey = "ldr_sandbox_sk_a1b2c3d4e5f6g7h8i9j0"

func startLeadron(t *testing.T, cfg local.LeadronConfig) *local.Leadron {
	t.Helper()
	cfg.Catalog = []byte(`{"success":true,"data":{"leads":[]}}`)
	cfg.APIKeys = []string{apiKey}
	l, err := local.StartLeadron(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// get asks without keeping the connection.
func get(t *testing.T, url, key string) (status int, h http.Header, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	if key != "" {
		req.Header.Set("X-API-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header, string(b), err
}

func TestLeadronChecksKeysAndCounts(t *testing.T) {
	t.Parallel()
	l := startLeadron(t, local.LeadronConfig{RevokedKeys: []string{"revoked"}, UsageLimit: 3})
	url := l.URL() + local.CatalogPath
	for _, tc := range []struct {
		name, url, key string
		status         int
		usageRemaining string
	}{
		{name: "no key", url: url, status: 401},
		{name: "unknown key", url: url, key: "ldr_live_sk_x", status: 401},
		{name: "revoked key", url: url, key: "revoked", status: 403},
		{name: "good", url: url, key: apiKey, status: 200, usageRemaining: "2"},
		{name: "another path", url: l.URL() + "/v1/webhooks", key: apiKey, status: 404, usageRemaining: "1"},
		{name: "good again", url: url, key: apiKey, status: 200, usageRemaining: "0"},
		{name: "beyond the quota", url: url, key: apiKey, status: 429, usageRemaining: "0"},
	} {
		status, h, body, err := get(t, tc.url, tc.key)
		if err != nil || status != tc.status {
			t.Fatalf("%s: got %d, %v, want %d", tc.name, status, err, tc.status)
		}
		if got := h.Get("X-API-Usage-Remaining"); got != tc.usageRemaining {
			t.Errorf("%s: X-API-Usage-Remaining: got %q, want %q", tc.name, got, tc.usageRemaining)
		}
		if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err != nil || time.Until(time.Unix(reset, 0)) > 15*time.Minute {
			t.Errorf("%s: X-RateLimit-Reset: %s", tc.name, h.Get("X-RateLimit-Reset"))
		}
		if status == 200 {
			continue
		}
		var e struct {
			Success *bool
			Status  int
			Message string
			Meta    struct{ Version string }
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Success == nil || *e.Success || e.Status != tc.status || e.Message == "" || e.Meta.Version != "v1" {
			t.Errorf("%s: not the error envelope: %s", tc.name, body)
		}
	}
	if got := l.Requests(); got != 7 {
		t.Errorf("requests: got %d, want 7", got)
	}
}

func TestLeadronServesTheCatalogAsItIs(t *testing.T) {
	t.Parallel()
	l := startLeadron(t, local.LeadronConfig{})
	for _, want := range []string{`{"success":true,"data":{"leads":[]}}`, "{ \"grown\" : 1 }\n"} {
		_, _, got, err := get(t, l.URL()+local.CatalogPath, apiKey)
		if err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
		l.SetCatalog([]byte("{ \"grown\" : 1 }\n"))
	}
}

func TestLeadronGatewayLimit(t *testing.T) {
	t.Parallel()
	l := startLeadron(t, local.LeadronConfig{})
	for i := range 1000 {
		if status, _, _, err := get(t, l.URL(), "unknown"); err != nil || status != 401 {
			t.Fatalf("request %d: got %d, %v, want 401", i, status, err)
		}
	}
	status, h, _, err := get(t, l.URL()+local.CatalogPath, apiKey)
	if err != nil || status != 429 || h.Get("X-RateLimit-Remaining") != "0" || h.Get("X-API-Usage-Remaining") != "" {
		t.Errorf("request 1001: got %d, %v, %v, want the gateway's 429", status, h, err)
	}
}

func TestLeadronMisbehavesAsTold(t *testing.T) {
	t.Parallel()
	l := startLeadron(t, local.LeadronConfig{})
	reset := time.Now().Add(time.Minute).Truncate(time.Second)
	l.Misbehave(
		local.RateLimited(reset, "7"),
		local.QuotaExhausted(),
		local.Failing(503),
		local.Saying(200, "text/html", "<html>"),
		local.Truncated(10),
		local.Cut(10),
		local.Cut(-1),
		local.Proper(),
		local.Slow(time.Hour),
	)
	ask := func() (int, http.Header, string, error) { return get(t, l.URL()+local.CatalogPath, apiKey) }

	if status, h, _, _ := ask(); status != 429 || h.Get("Retry-After") != "7" || h.Get("X-RateLimit-Remaining") != "0" ||
		h.Get("X-RateLimit-Reset") != strconv.FormatInt(reset.Unix(), 10) || h.Get("X-API-Usage-Used") != "" {
		t.Errorf("rate limited: got %d %v", status, h)
	}
	if status, h, _, _ := ask(); status != 429 || h.Get("X-API-Usage-Remaining") != "0" || h.Get("X-RateLimit-Remaining") == "0" {
		t.Errorf("quota exhausted: got %d %v", status, h)
	}
	if status, _, body, _ := ask(); status != 503 || !strings.Contains(body, `"status":503`) {
		t.Errorf("failing: got %d %s", status, body)
	}
	if status, h, body, _ := ask(); status != 200 || body != "<html>" || h.Get("Content-Type") != "text/html" {
		t.Errorf("saying: got %d %s", status, body)
	}
	if status, _, body, err := ask(); status != 200 || err != nil || body != `{"success"` {
		t.Errorf("truncated: got %d %s, %v", status, body, err)
	}
	if status, _, body, err := ask(); status != 200 || body != `{"success"` || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: got %d %s, %v", status, body, err)
	}
	if _, _, _, err := ask(); err == nil {
		t.Error("cut at once: no error")
	}
	if status, _, _, err := ask(); status != 200 || err != nil {
		t.Errorf("proper: got %d, %v", status, err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if _, _, _, err := ask(); err == nil {
			t.Error("slow: answered within the test")
		}
	}()
	select {
	case <-answered:
	case <-time.After(200 * time.Millisecond):
		l.Stop() // cuts it
		<-answered
	}
}
