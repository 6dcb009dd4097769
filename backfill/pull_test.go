package backfill_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

const apiKey = "ldr_sandbox_sk_a1b2c3d4e5f6g7h8i9j0"

// leadron starts the stand-in.
func leadron(t *testing.T) *local.Leadron {
	t.Helper()
	l, err := local.StartLeadron(local.LeadronConfig{Catalog: schema.BuiltinCatalog(), APIKeys: []string{apiKey}, RevokedKeys: []string{apiKey + "_revoked"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// pulling is a plan-only run against an address. log gets what it logs.
func (d db) pulling(url string, log *strings.Builder) backfill.Config {
	d.Helper()
	cfg := d.config()
	cfg.Catalog, cfg.APIURL, cfg.APIKey, cfg.PlanOnly = "", url, apiKey, true
	cfg.RetryMin, cfg.RetryMax = time.Millisecond, 10*time.Millisecond
	cfg.Logger = zerolog.New(log)
	return cfg
}

func TestAnswersOfTheAPI(t *testing.T) {
	t.Parallel()
	inAnHour := time.Now().Add(time.Hour)
	header := func(status int, pairs ...string) local.Fault {
		return func(_ *local.Leadron, w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				w.Header().Set(pairs[i], pairs[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"success":false,"message":"your key ` + apiKey + `"}`))
		}
	}
	again := func(n int, f local.Fault) []local.Fault {
		list := make([]local.Fault, n)
		for i := range list {
			list[i] = f
		}
		return list
	}
	for name, c := range map[string]struct {
		key      string
		path     string // after the address
		faults   []local.Fault
		want     string // in the error; "" for success
		requests int
	}{
		"as documented":                 {requests: 1},
		"address with its version":      {path: "/v1/", requests: 1},
		"unknown key":                   {key: "ldr_live_sk_wrong", want: "does not know this API key (401): check LEADHOUSE_LEADRON_API_KEY", requests: 1},
		"revoked key":                   {key: apiKey + "_revoked", want: "does not let this API key read the webhook catalog (403)", requests: 1},
		"another path":                  {path: "/elsewhere", want: "there is no catalog at", requests: 1},
		"bad request":                   {faults: again(9, local.Failing(422)), want: "answers 422 Unprocessable Entity", requests: 1},
		"key quoted in an error":        {faults: again(1, header(400)), want: "answers 400 Bad Request", requests: 1},
		"5xx for a while":               {faults: []local.Fault{local.Failing(500), local.Failing(502), local.Failing(503)}, requests: 4},
		"5xx for good":                  {faults: again(20, local.Failing(503)), want: "answers 503 Service Unavailable; without the API: --catalog FILE", requests: 6},
		"request time-out":              {faults: again(1, local.Failing(408)), requests: 2},
		"cut before the answer":         {faults: []local.Fault{local.Cut(-1), local.Cut(-1)}, requests: 3},
		"cut in the answer":             {faults: []local.Fault{local.Cut(100), local.Cut(0)}, requests: 3},
		"cut in the answer for good":    {faults: again(20, local.Cut(100)), want: "was cut off: unexpected EOF", requests: 6},
		"truncated, and announced so":   {faults: again(1, local.Truncated(500)), want: "not JSON: is this the catalog endpoint, and the whole answer?", requests: 1},
		"nothing":                       {faults: again(1, local.Saying(200, "application/json", "")), want: "not JSON", requests: 1},
		"HTML":                          {faults: again(1, local.Saying(200, "text/html", "<html>Sign in</html>")), want: `answered "text/html" with something else than a catalog`, requests: 1},
		"JSON, but no catalog":          {faults: again(1, local.Saying(200, "application/json", `{"success":true,"data":[]}`)), want: "no object data", requests: 1},
		"success: false":                {faults: again(1, local.Saying(200, "application/json", `{"success":false,"data":{}}`)), want: "success: false", requests: 1},
		"an empty catalog":              {faults: again(1, local.Saying(200, "application/json", `{"success":true,"data":{}}`)), want: "holds no event", requests: 1},
		"no content":                    {faults: again(1, local.Saying(204, "", "")), want: "answers 204 No Content", requests: 1},
		"more than 8 MiB":               {faults: again(1, local.Saying(200, "application/json", `{"a":"`+strings.Repeat("x", 8<<20)+`"}`)), want: "larger than 8 MiB", requests: 1},
		"gateway, soon open":            {faults: again(1, local.RateLimited(time.Now().Add(-time.Second), "")), requests: 2},
		"gateway, Retry-After":          {faults: again(1, local.RateLimited(time.Now().Add(-time.Second), "1")), requests: 2},
		"gateway, not within the bound": {faults: again(1, local.RateLimited(inAnHour, "")), want: "takes no more requests from this address (429), the limit is 1000 until " + inAnHour.UTC().Format("2006-01-02 15:"), requests: 1},
		"Retry-After beyond the bound":  {faults: again(1, header(429, "Retry-After", "3600")), want: "until " + inAnHour.UTC().Format("2006-01-02 15:"), requests: 1},
		"Retry-After, a date too far":   {faults: again(1, header(429, "Retry-After", inAnHour.UTC().Format(http.TimeFormat))), want: "until " + inAnHour.UTC().Format("2006-01-02 15:"), requests: 1},
		"Retry-After of a 503, too far": {faults: again(1, header(503, "Retry-After", "3600")), want: "answers 503", requests: 1},
		"Retry-After that is odd":       {faults: again(1, header(503, "Retry-After", "soon")), requests: 2},
		"the server's clock is wrong":   {faults: again(1, header(429, "Date", inAnHour.UTC().Format(http.TimeFormat), "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", strconv.FormatInt(inAnHour.Unix(), 10))), requests: 2},
		"a reset in milliseconds":       {faults: again(1, header(429, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", strconv.FormatInt(inAnHour.UnixMilli(), 10))), requests: 2},
		"429 without a word":            {faults: again(9, header(429)), want: "does not say until when", requests: 6},
		"quota":                         {faults: again(9, local.QuotaExhausted()), want: "the tenant's quota of API calls is used up (429), the limit is 50000: it renews with the billing period", requests: 1},
		"quota and gateway at once":     {faults: again(9, header(429, "X-API-Usage-Remaining", "0", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", strconv.FormatInt(time.Now().Unix(), 10))), want: "quota", requests: 1},
		"redirect":                      {faults: again(1, header(302, "Location", "https://evil.example/"+apiKey)), want: "redirects to https://evil.example (302), and the key is not sent there", requests: 1},
		"redirect to itself":            {faults: again(1, header(307, "Location", "/v1/integrations/webhooks/catalog")), want: "redirects to http://127.0.0.1", requests: 1},
		"redirect to nowhere":           {faults: again(1, header(301)), want: "redirects to nowhere", requests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, d := leadron(t), open(t)
			l.Misbehave(c.faults...)
			var log strings.Builder
			cfg := d.pulling(l.URL()+c.path, &log)
			if c.key != "" {
				cfg.APIKey = c.key
			}
			cfg.PullTimeout = 20 * time.Second
			_, out, err := tryRun(t.Context(), cfg)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want == "" && !strings.Contains(out, "Catalog: 14 event types, from "+l.URL()+"/v1/integrations/webhooks/catalog\n"):
				t.Errorf("got %s", out)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v\nwant %s", err, c.want)
			}
			if l.Requests() != c.requests {
				t.Errorf("requests: got %d, want %d", l.Requests(), c.requests)
			}
			for what, text := range map[string]string{"output": out, "log": log.String(), "error": errorText(err)} {
				if strings.Contains(text, cfg.APIKey) {
					t.Errorf("the key is in the %s: %s", what, text)
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The gateway's limit is waited for, with a line that says until when, and a cancelled wait ends at once.
func TestTheGatewaysLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	l, d := leadron(t), open(t)
	var log strings.Builder
	l.Misbehave(local.RateLimited(time.Now().Add(2*time.Second), ""))
	began := time.Now()
	d.run(d.pulling(l.URL(), &log))
	if took := time.Since(began); took < time.Second || l.Requests() != 2 {
		t.Errorf("asked again after %v, %d requests", took, l.Requests())
	}
	if !strings.Contains(log.String(), "Leadron will be asked again") || !strings.Contains(log.String(), `"until":`) {
		t.Errorf("log: %s", log.String())
	}

	l.Misbehave(local.RateLimited(time.Now().Add(time.Minute), ""))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	cfg := d.pulling(l.URL(), &log)
	began = time.Now()
	if _, _, err := tryRun(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

func TestTheAPIIsAway(t *testing.T) {
	t.Parallel()
	d := open(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close() // nobody answers there
	var log strings.Builder
	_, _, err = tryRun(t.Context(), d.pulling("http://"+listener.Addr().String(), &log))
	if err == nil || !strings.Contains(err.Error(), "Leadron cannot be reached; without the API: --catalog FILE or --catalog builtin") || strings.Count(log.String(), "asked again") != 5 {
		t.Errorf("got %v\n%s", err, log.String())
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	d := open(t)
	var keys []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("X-API-Key"))
		_, _ = w.Write(schema.BuiltinCatalog())
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of handshakes that fail, as they should
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	client := func(c *tls.Config) *http.Client { return &http.Client{Transport: &http.Transport{TLSClientConfig: c}} }

	var log strings.Builder
	cfg := d.pulling(server.URL, &log)
	if _, _, err := tryRun(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "is not to be trusted, so the key was not sent") {
		t.Errorf("an unknown authority: got %v", err)
	}
	cfg.HTTPClient = client(&tls.Config{RootCAs: pool, ServerName: "api.leadron.io", MinVersion: tls.VersionTLS12})
	if _, _, err := tryRun(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "is not to be trusted") {
		t.Errorf("another's certificate: got %v", err)
	}
	if len(keys) != 0 {
		t.Fatal("the key was sent to a server that is not trusted")
	}
	cfg.HTTPClient = client(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if _, _, err := tryRun(t.Context(), cfg); err != nil || len(keys) != 1 || keys[0] != apiKey {
		t.Errorf("a trusted server: got %v, keys %d", err, len(keys))
	}
	l := leadron(t)
	cfg.APIURL = strings.Replace(l.URL(), "http:", "https:", 1)
	if _, _, err := tryRun(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "speaks plain HTTP, not HTTPS") {
		t.Errorf("a plain server: got %v", err)
	}
}

// Pull is for whoever only wants to know whether the API answers.
func TestPullAlone(t *testing.T) {
	t.Parallel()
	l := leadron(t)
	c, source, err := backfill.Pull(t.Context(), backfill.Config{APIURL: l.URL(), APIKey: apiKey})
	if err != nil || len(c.Events) != 14 || source != l.URL()+"/v1/integrations/webhooks/catalog" {
		t.Errorf("got %d events from %s, %v", len(c.Events), source, err)
	}
	if _, _, err := backfill.Pull(t.Context(), backfill.Config{APIURL: "http://leadron.example", APIKey: apiKey}); err == nil || !strings.Contains(err.Error(), "in the clear") {
		t.Errorf("got %v", err)
	}
}

func TestCatalogFiles(t *testing.T) {
	t.Parallel()
	d := open(t)
	dir := t.TempDir()
	write := func(name, body string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		write("good.json", string(schema.BuiltinCatalog())): "",
		filepath.Join(dir, "absent.json"):                   "no such file",
		dir:                                                 "is a directory",
		write("empty.json", ""):                             "not JSON",
		write("large.json", "["+strings.Repeat(" ", 8<<20)+"]"):                 "larger than 8 MiB",
		write("twice.json", `{"data":{"a":[{"event":"a.b"},{"event":"a.b"}]}}`): `names "a.b" twice`,
	} {
		cfg := d.config()
		cfg.Catalog, cfg.PlanOnly = path, true
		_, out, err := tryRun(t.Context(), cfg)
		if want == "" && (err != nil || !strings.Contains(out, "from "+path)) || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: got %v, want %q\n%s", path, err, want, out)
		}
	}
}
