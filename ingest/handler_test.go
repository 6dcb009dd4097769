package ingest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

func TestStatuses(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 3, nil), func(c *ingest.Config) { c.MaxBody = 1000 })
	base := strings.TrimSuffix(h.url, path)
	body := event("evt_1", "ld_1")
	signed := "X-Leadron-Signature: " + sign(body)
	large := strings.Repeat("x", 1001)
	full := strings.Repeat("x", 1000)
	for _, c := range []struct {
		name, method, url, body string
		headers                 []string
		want                    int
	}{
		{"accepted", "POST", h.url, body, []string{signed}, 202},
		{"accepted, prefixed", "POST", h.url, body, []string{"X-Leadron-Signature: sha256=" + sign(body)}, 202},
		{"accepted, header name in lower case", "POST", h.url, body, []string{"x-leadron-signature: " + sign(body)}, 202},
		{"accepted, a query", "POST", h.url + "?a=b", body, []string{signed}, 202},
		{"accepted, any content type", "POST", h.url, body, []string{signed, "Content-Type: text/csv"}, 202},
		{"accepted, identity", "POST", h.url, body, []string{signed, "Content-Encoding: Identity"}, 202},
		{"accepted, as long as allowed", "POST", h.url, full, []string{"X-Leadron-Signature: " + sign(full)}, 202},
		{"gzip", "POST", h.url, body, []string{signed, "Content-Encoding: gzip"}, 415},
		{"identity and gzip", "POST", h.url, body, []string{signed, "Content-Encoding: identity", "Content-Encoding: gzip"}, 415},
		{"no signature", "POST", h.url, body, nil, 401},
		{"empty body signed with the empty key", "POST", h.url, "", []string{"X-Leadron-Signature: " + signWith("", "")}, 401},
		{"declared too large", "POST", h.url, large, []string{"X-Leadron-Signature: " + sign(large)}, 413},
		{"declared too large, unsigned", "POST", h.url, large, nil, 413},
		{"root", "POST", base + "/", body, []string{signed}, 404},
		{"slash at the end", "POST", h.url + "/", body, []string{signed}, 404},
		{"two slashes: no redirect", "POST", base + "/" + path, body, []string{signed}, 404},
		{"dots: no redirect", "POST", base + "/x/.." + path, body, []string{signed}, 404},
		{"healthz is not public", "GET", base + "/healthz", "", nil, 404},
		{"readyz is not public", "GET", base + "/readyz", "", nil, 404},
		{"metrics is not public", "GET", base + "/metrics", "", nil, 404},
		{"GET", "GET", h.url, "", nil, 405},
		{"HEAD", "HEAD", h.url, "", nil, 405},
		{"PUT", "PUT", h.url, body, []string{signed}, 405},
		{"OPTIONS", "OPTIONS", h.url, "", nil, 405},
	} {
		request, err := http.NewRequest(c.method, c.url, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range c.headers {
			name, value, _ := strings.Cut(line, ": ")
			request.Header.Add(name, value)
		}
		got := h.do(request, c.body)
		if got.status != c.want {
			t.Errorf("%s: got %d %q, want %d", c.name, got.status, got.body, c.want)
		}
		if c.method != "HEAD" && (!strings.HasPrefix(got.body, "{") || len(got.body) > 100 || got.header.Get("Content-Type") != "application/json") {
			t.Errorf("%s: got body %q of type %q, want a small JSON object", c.name, got.body, got.header.Get("Content-Type"))
		}
		if allow := got.header.Get("Allow"); (c.want == 405) != (allow == "POST") {
			t.Errorf("%s: got Allow %q", c.name, allow)
		}
	}
	h.check()
}

// A 2xx is a receipt: net/http answers "OPTIONS *" with 200 unless told not to.
func TestOptionsStarGetsNo2xx(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil))
	got := raw(t, h, "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	if got.status != http.StatusNotFound {
		t.Errorf("status: got %d, want 404", got.status)
	}
}

// raw sends bytes on a connection of their own and reads one answer. Status 0: there was none.
func raw(t *testing.T, h *harness, text string) answer {
	t.Helper()
	c := dial(t, h)
	io.WriteString(c, text)
	return readAnswer(c)
}

func dial(t *testing.T, h *harness) net.Conn {
	t.Helper()
	_, host, _ := strings.Cut(strings.TrimSuffix(h.url, path), "://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func readAnswer(c net.Conn) answer {
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return answer{}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.Close { // ReadResponse takes the header line away
		response.Header.Set("Connection", "close")
	}
	return answer{response.StatusCode, string(body), response.Header}
}

// An oracle through error detail: whatever is wrong with a signature, the answer is the same, byte for byte, and the reason
// is in the metrics alone.
func TestEvery401IsTheSameBytes(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil))
	body := event("evt_1", "ld_1")
	request := func(headers string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", path, headers, len(body), body)
	}
	good := sign(body)
	answers := map[string][]string{}
	for reason, headers := range map[string]string{
		"no_signature":               "",
		"duplicate_signature_header": "X-Leadron-Signature: " + good + "\r\nx-leadron-signature: " + good + "\r\n",
		"oversized_signature":        "X-Leadron-Signature: " + strings.Repeat("a", 2000) + "\r\n",
		"malformed_signature":        "X-Leadron-Signature: sha1=" + good[:40] + "\r\n",
		"wrong_signature":            "X-Leadron-Signature: " + strings.Repeat("0", 64) + "\r\n",
	} {
		got := raw(t, h, request(headers))
		got.header.Del("Date")
		text := fmt.Sprint(got)
		answers[text] = append(answers[text], reason)
		if n := h.metric(`leadhouse_ingest_requests_total{code="401",reason="` + reason + `"}`); n != 1 {
			t.Errorf("metric of %s: got %v, want 1", reason, n)
		}
		wantStatus(t, got, http.StatusUnauthorized)
	}
	if len(answers) != 1 {
		t.Errorf("got %d different answers, want 1: %v", len(answers), answers)
	}
	h.check()
}

// Parsing before verifying is how others were opened: on every 401 the JSON decoder is out of reach.
func TestDecoderIsNotReachedOn401(t *testing.T) {
	t.Parallel()
	var decoders atomic.Int64
	h := startWatched(t, startKafka(t, local.KfakeConfig{}, 1, nil), func() { decoders.Add(1) })
	body := event("evt_1", "ld_1")
	for _, headers := range [][]string{
		nil,
		{"X-Leadron-Signature: " + sign(body+" ")},
		{"X-Leadron-Signature: " + sign(body), "X-Leadron-Signature: " + sign(body)},
		{"X-Leadron-Signature: " + sign(body)[:63]},
	} {
		wantStatus(t, h.send(body, headers...), http.StatusUnauthorized)
	}
	if n := decoders.Load(); n != 0 {
		t.Errorf("decoders made on 401: got %d, want 0", n)
	}
	wantStatus(t, h.deliver(body), http.StatusAccepted)
	if n := decoders.Load(); n != 1 {
		t.Errorf("decoders made on 202: got %d, want 1: the test sees nothing", n)
	}
	h.check()
}

func TestPanicIs500AndCountedAndTheNextDeliveryGoesThrough(t *testing.T) {
	t.Parallel()
	var once sync.Once
	h := startWatched(t, startKafka(t, local.KfakeConfig{}, 1, nil), func() {
		once.Do(func() { panic("quoting a payload: " + secret) })
	})
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), http.StatusInternalServerError)
	wantStatus(t, h.deliver(event("evt_2", "ld_1")), http.StatusAccepted)
	if n := h.metric(`leadhouse_ingest_requests_total{code="500",reason="panic"}`); n != 1 {
		t.Errorf("metric: got %v, want 1", n)
	}
	if log := h.logs.String(); !strings.Contains(log, "a request panicked") || strings.Contains(log, secret) {
		t.Errorf("log: want the panic's place and not its text:\n%s", log)
	}
	h.check() // the panicking delivery's share of the budget came back
}

func TestRecordCarriesKeyHeadersAndTime(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 4, nil))
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	before := time.Now()
	body := event("evt_1", "ld_1")
	wantStatus(t, h.deliver(body, "Traceparent: "+trace, "Cookie: a=b", "Event-Id: forged"), http.StatusAccepted)
	records := h.check()
	if len(records) != 1 {
		t.Fatalf("records: got %d, want 1", len(records))
	}
	r := records[0]
	if r.key != "ld_1" || r.value != body {
		t.Errorf("got key %q value %q", r.key, r.value)
	}
	want := map[string]string{"event-id": "evt_1", "event-type": "lead.created", "signature-secret-id": secretID, "traceparent": trace}
	if fmt.Sprint(r.headers) != fmt.Sprint(want) {
		t.Errorf("headers: got %v, want %v", r.headers, want)
	}
	if r.time.Before(before.Add(-time.Second)) || r.time.After(time.Now().Add(time.Second)) {
		t.Errorf("time: got %v, want the time of receipt, %v", r.time, before)
	}
}

// A signed body is never refused for its content, and never changed.
func TestOddBodiesArriveByteForByte(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 3, nil))
	bodies := map[string]string{ // and the key they get
		"{ \"id\" :\t\"evt_1\",\r\n\"type\": \"lead.created\", \"createdAt\":\"2026-05-27T23:34:12.000Z\" , \"data\":{\"leadId\":\"ld_9\"}}\n\n": "ld_9",
		"{\"id\":\"evt_\\u0032\",\"type\":\"lead.created\",\"createdAt\":\"2026-05-27T23:34:12Z\",\"data\":{\"lead\\u0049d\":\"ld\\u005f8\"}}":   "ld_8",
		event("evt_3", "") + " ":          "evt_3",
		"\ufeff" + event("evt_4", "ld_4"): "",
		"{\"id\":\"evt\xff\xfe\"}":        "",
		"\x00\x01\x02":                    "",
		"":                                "",
		"null":                            "",
		"[]":                              "",
		"{\"a\":1}{\"b\":2}":              "",
		"a=b&c=%20d":                      "",
		strings.Repeat("[", 100_000):      "",
		`{"id":"evt_5","id":"evt_6","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{}}`:                               "",
		`{"id":"evt_7","type":"lead.converted","createdAt":"2026-05-27T23:34:12.000Z","data":{"leadId":"ld_7","n":1e400}}`:                 "ld_7",
		`{"id":"evt_8","type":"strange","createdAt":"2026-05-27T23:34:12.000Z","data":{"x":"\ud800"}}`:                                     "evt_8",
		`{"id":"evt_9","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{"leadId":"` + strings.Repeat("l", 500) + `"}}`: "evt_9",
	}
	for body := range bodies {
		wantStatus(t, h.deliver(body), http.StatusAccepted)
	}
	records := h.check()
	if len(records) != len(bodies) {
		t.Errorf("records: got %d, want %d", len(records), len(bodies))
	}
	for _, r := range records {
		if want := bodies[r.value]; r.key != want || r.keyless != (want == "") {
			t.Errorf("%.60q: got key %q (none: %v), want %q", r.value, r.key, r.keyless, want)
		}
		if _, ok := r.headers["event-id"]; ok == r.keyless {
			t.Errorf("%.60q: got headers %v", r.value, r.headers)
		}
	}
}

func TestRecordsWithoutAKeyAreSpread(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 3, nil))
	for i := range 9 {
		wantStatus(t, h.deliver(fmt.Sprintf("not an envelope %d", i)), http.StatusAccepted)
	}
	per := map[int]int{}
	for _, r := range h.check() {
		per[r.partition]++
	}
	if len(per) != 3 || per[0] != 3 {
		t.Errorf("records by partition: got %v, want 3 each", per)
	}
}

// A metric label must not come from outside: any number of event types makes no more series.
func TestEventTypeLabelsAreTheCatalogsOrOther(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 3, nil))
	for i := range 20 {
		body := fmt.Sprintf(`{"id":"evt_%d","type":"made.up%d","createdAt":"2026-05-27T23:34:12.000Z","data":{}}`, i, i)
		wantStatus(t, h.deliver(body), http.StatusAccepted)
	}
	wantStatus(t, h.deliver(event("evt_x", "ld_1")), http.StatusAccepted)
	wantStatus(t, h.deliver("not an envelope"), http.StatusAccepted)
	for label, want := range map[string]float64{"other": 20, "lead.created": 1, "none": 1, "made.up3": 0, "lead.deleted": 0} {
		if got := h.metric(`leadhouse_ingest_events_total{type="` + label + `"}`); got != want {
			t.Errorf("events of type %s: got %v, want %v", label, got, want)
		}
	}
	families, err := h.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if n := len(f.GetMetric()); n > 20 {
			t.Errorf("%s: got %d series, want at most 20", f.GetName(), n)
		}
		if f.GetName() == "leadhouse_ingest_events_total" && len(f.GetMetric()) != 14+2 {
			t.Errorf("event types: got %d series, want the catalog's 14, other and none", len(f.GetMetric()))
		}
	}
	h.check()
}

// What the log and the answers say must hold nothing of a delivery.
func TestLogAndAnswersHoldNoPayloadSignatureOrSecret(t *testing.T) {
	t.Parallel()
	// With data on disk it stops at once; without, it may take one more request.
	k := startKafka(t, local.KfakeConfig{DataDir: t.TempDir()}, 1, nil)
	h := start(t, k, func(c *ingest.Config) {
		c.AckTimeout, c.ProduceTimeout = 100*time.Millisecond, 200*time.Millisecond
	})
	const pii = "jane@acme.example"
	body := event("evt_1", pii)
	var said strings.Builder
	ok := h.deliver(body)
	bad := h.send(body, "X-Leadron-Signature: "+sign(body+"x"))
	for range 5 {
		h.send(body, "X-Leadron-Signature: "+sign(body+"x"))
	}
	if n := strings.Count(h.logs.String(), `"reason":"wrong_signature"`); n != 1 {
		t.Errorf("log lines about 6 refusals: got %d, want 1", n)
	}
	k.Stop()
	away := h.deliver(body)
	wantStatus(t, ok, 202)
	wantStatus(t, bad, 401)
	wantStatus(t, away, 503)
	if err := h.wait(); err != nil {
		t.Error(err)
	}
	fmt.Fprint(&said, h.logs, ok, bad, away)
	for _, hidden := range []string{pii, sign(body), sign(body + "x"), secret} {
		if strings.Contains(said.String(), hidden) {
			t.Errorf("%s shows in:\n%s", hidden, &said)
		}
	}
}

func TestTraceParent(t *testing.T) {
	t.Parallel()
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for value, want := range map[string]bool{
		good: true, good[:53] + "00": true,
		"": false, good[:54]: false, good + "-x": false, strings.ToUpper(good): false, "ff" + good[2:]: false, "01" + good[2:]: false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		strings.Replace(good, "a", "g", 1):                        false,
		strings.Replace(good, "-", "_", 2):                        false,
	} {
		if got := ingest.TraceParent(http.Header{"Traceparent": {value}}); (got == value) != want && value != "" {
			t.Errorf("%q: got %q, want taken %v", value, got, want)
		}
	}
	if got := ingest.TraceParent(http.Header{"Traceparent": {good, good}}); got != "" {
		t.Errorf("two values: got %q, want none", got)
	}
}
