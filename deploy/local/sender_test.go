package local_test

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

const secret = "a secret of more than 16 bytes"

// receiver takes deliveries as ingest would, and remembers what it took.
type receiver struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, n int) bool // n-th request, from 1; true: already answered

	mu       sync.Mutex
	requests []time.Time
	bodies   []string // that were answered 202, in order
}

func startReceiver(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int) bool) *receiver {
	t.Helper()
	rc := &receiver{answer: answer}
	rc.Server = httptest.NewServer(rc)
	t.Cleanup(rc.Close)
	return rc
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	rc.mu.Lock()
	rc.requests = append(rc.requests, time.Now())
	n := len(rc.requests)
	rc.mu.Unlock()
	if rc.answer != nil && rc.answer(w, r, n) {
		return
	}
	got := r.Header.Values(local.SignatureHeader)
	if len(got) != 1 || !hmac.Equal([]byte(strings.TrimPrefix(got[0], "sha256=")), []byte(local.Sign(secret, body))) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	rc.mu.Lock()
	rc.bodies = append(rc.bodies, string(body))
	rc.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

func (rc *receiver) taken() []string {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return slices.Clone(rc.bodies)
}

// send runs a sender over the first n deliveries of a world, whose bodies it returns.
func send(t *testing.T, rc *receiver, n int, cfg local.SenderConfig) (*local.Journal, []string) {
	t.Helper()
	cfg.URL, cfg.Secret = rc.URL, secret
	if cfg.Backoff == 0 {
		cfg.Backoff = time.Millisecond
	}
	s, err := local.NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	world := local.Journeys{Seed: 1, Events: n}.All()
	err = s.Run(t.Context(), func(yield func(local.Delivery) bool) {
		for d := range world {
			bodies = append(bodies, string(d.Body))
			if !yield(d) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.Journal(), bodies
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestSenderDeliversEachAsItIs(t *testing.T) {
	t.Parallel()
	for _, prefix := range []bool{false, true} {
		rc := startReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
			if got := strings.HasPrefix(r.Header.Get(local.SignatureHeader), "sha256="); got != prefix {
				t.Errorf("signature with a prefix: got %t, want %t", got, prefix)
			}
			return false
		})
		j, want := send(t, rc, 500, local.SenderConfig{Prefix: prefix})
		if got := rc.taken(); !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("taken: %d bodies, not the %d sent", len(got), len(want))
		}
		if j.Accepted() != 500 || len(j.Receipts()) != 500 || len(j.Abandoned()) != 0 || len(j.Refused()) != 0 {
			t.Errorf("journal: %d receipts, %v abandoned, %v refused", j.Accepted(), j.Abandoned(), j.Refused())
		}
		if r := j.Receipts()[0]; r.ID == "" || r.Key == "" || r.Type == "" || r.Attempts != 1 || r.At.Before(r.Due) {
			t.Errorf("receipt: %+v", r)
		}
	}
}

func TestSenderRetriesWhatMayPass(t *testing.T) {
	t.Parallel()
	status := func(code int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for _, tc := range []struct {
		name     string
		fail     func(http.ResponseWriter, *http.Request) // the first two attempts
		attempts int                                      // in all, for one delivery
		answers  map[int]int
	}{
		{name: "500", fail: status(500), attempts: 3, answers: map[int]int{500: 2, 202: 1}},
		{name: "503", fail: status(503), attempts: 3, answers: map[int]int{503: 2, 202: 1}},
		{name: "429", fail: status(429), attempts: 3, answers: map[int]int{429: 2, 202: 1}},
		{name: "408", fail: status(408), attempts: 3, answers: map[int]int{408: 2, 202: 1}},
		{name: "400", fail: status(400), attempts: 1, answers: map[int]int{400: 1}},
		{name: "404", fail: status(404), attempts: 1, answers: map[int]int{404: 1}},
		{name: "302", fail: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, attempts: 1, answers: map[int]int{302: 1}},
		{name: "cut", fail: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, attempts: 3, answers: map[int]int{0: 2, 202: 1}},
		{name: "silence", fail: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, attempts: 3, answers: map[int]int{0: 2, 202: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			rc := startReceiver(t, func(w http.ResponseWriter, r *http.Request, n int) bool {
				if n <= 2 {
					tc.fail(w, r)
				}
				return n <= 2
			})
			j, _ := send(t, rc, 1, local.SenderConfig{Timeout: 200 * time.Millisecond})
			if got := j.Answers(); !maps.Equal(got, tc.answers) {
				t.Errorf("answers: got %v, want %v", got, tc.answers)
			}
			if tc.attempts == 1 {
				if len(j.Receipts()) != 0 || len(j.Refused()) != 1 {
					t.Errorf("receipts %v, refused %v; want one refusal", j.Receipts(), j.Refused())
				}
				return
			}
			if got := j.Receipts(); len(got) != 1 || got[0].Attempts != tc.attempts {
				t.Errorf("receipts: got %+v, want one after %d attempts", got, tc.attempts)
			}
		})
	}
}

func TestSenderHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func() string{
		"seconds": func() string { return "1" },
		"date":    func() string { return time.Now().Add(2 * time.Second).UTC().Format(http.TimeFormat) }, // of whole seconds
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rc := startReceiver(t, func(w http.ResponseWriter, _ *http.Request, n int) bool {
				if n == 1 {
					w.Header().Set("Retry-After", value())
					w.WriteHeader(http.StatusServiceUnavailable)
				}
				return n == 1
			})
			send(t, rc, 1, local.SenderConfig{})
			if got := rc.requests[1].Sub(rc.requests[0]); got < 900*time.Millisecond {
				t.Errorf("pause: got %v, want what Retry-After says", got)
			}
		})
	}
}

func TestSenderGivesUpAndSaysSo(t *testing.T) {
	t.Parallel()
	rc := startReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	j, _ := send(t, rc, 3, local.SenderConfig{Attempts: 4})
	if got := j.Abandoned(); len(got) != 3 || got[0].Status != 502 || got[0].ID == "" {
		t.Errorf("abandoned: got %+v, want three after 502", got)
	}
	if got, want := j.Answers(), map[int]int{502: 12}; !maps.Equal(got, want) {
		t.Errorf("answers: got %v, want %v", got, want)
	}
}

func TestSenderBreaksOffWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 100)
	rc := startReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		arrived <- struct{}{}
		<-r.Context().Done()
		return true
	})
	s, err := local.NewSender(local.SenderConfig{URL: rc.URL, Secret: secret, InFlight: 4, Open: 4, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for range 4 {
			<-arrived
		}
		cancel()
	}()
	err = s.Run(ctx, local.Journeys{Seed: 1, Events: 1000}.All())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("run: got %v, want the context's error", err)
	}
	if got := len(s.Journal().Abandoned()); got != 4 {
		t.Errorf("abandoned: got %d, want the 4 that were under way", got)
	}
}

func TestSenderRepeatsTheSameBytes(t *testing.T) {
	t.Parallel()
	rc := startReceiver(t, nil)
	j, want := send(t, rc, 1000, local.SenderConfig{Duplicates: 0.2})
	copies := map[string]int{}
	for _, b := range rc.taken() {
		copies[b]++
	}
	twice := 0
	for _, b := range want {
		switch copies[b] {
		case 1:
		case 2:
			twice++
		default:
			t.Fatalf("taken %d times: %s", copies[b], b)
		}
	}
	if len(copies) != len(want) || twice < 100 || twice > 300 {
		t.Errorf("taken: %d different bodies of %d, %d twice; want about 200 twice", len(copies), len(want), twice)
	}
	if got := j.Accepted(); got != 1000+twice {
		t.Errorf("receipts: got %d, want %d", got, 1000+twice)
	}
}

func TestSenderMixesUpTheOrder(t *testing.T) {
	t.Parallel()
	rc := startReceiver(t, nil)
	_, want := send(t, rc, 1000, local.SenderConfig{Reordered: 0.05, InFlight: 1, Open: 1})
	got := rc.taken()
	if !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("taken: %d bodies, not the %d sent", len(got), len(want))
	}
	late := 0
	for i := range got {
		if got[i] != want[i] {
			late++
		}
	}
	if late < 100 {
		t.Errorf("%d of 1000 out of place, want many", late)
	}
}

func TestSenderForges(t *testing.T) {
	t.Parallel()
	rc := startReceiver(t, nil)
	j, want := send(t, rc, 1000, local.SenderConfig{Forged: 0.1})
	if got := rc.taken(); !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("taken: %d bodies, not the %d proper ones", len(got), len(want))
	}
	if got := j.Forged(); len(got) != 1 || got[401] < 50 || got[401] > 150 {
		t.Errorf("forged: got %v, want about 100 with 401", got)
	}
	if len(j.Refused()) != 0 {
		t.Errorf("refused: got %v of the proper ones", j.Refused())
	}
}

// Whoever breaks off does not know: every receipt's delivery was taken, but not all that was taken has a receipt at its first attempt.
func TestSenderLosesPatience(t *testing.T) {
	t.Parallel()
	rc := startReceiver(t, func(http.ResponseWriter, *http.Request, int) bool {
		<-time.After(5 * time.Millisecond) // a server that takes its time, not a synchronisation
		return false
	})
	j, want := send(t, rc, 500, local.SenderConfig{Impatient: 0.5})
	got := rc.taken()
	if !slices.Equal(slices.Compact(sorted(got)), sorted(want)) {
		t.Errorf("taken: not the %d that were sent", len(want))
	}
	if len(got) <= len(want) {
		t.Errorf("taken: %d of %d; want some twice, because the first 202 was not awaited", len(got), len(want))
	}
	if got := j.Answers()[0]; got < 50 || j.Accepted() != 500 {
		t.Errorf("attempts without an answer: %d, receipts: %d", got, j.Accepted())
	}
}

func TestSenderKeepsThePaceWhateverTheAnswers(t *testing.T) {
	t.Parallel()
	rc := startReceiver(t, func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n%2 == 0
	})
	j, _ := send(t, rc, 100, local.SenderConfig{Rate: 200})
	receipts := j.Receipts()
	slices.SortFunc(receipts, func(a, b local.Receipt) int { return a.Due.Compare(b.Due) })
	if len(receipts) != 100 {
		t.Fatalf("receipts: got %d, want 100", len(receipts))
	}
	if got := receipts[99].Due.Sub(receipts[0].Due); got != 99*5*time.Millisecond {
		t.Errorf("from the first to the hundredth at 200/s: got %v, want 495 ms", got)
	}
}

func TestSenderConfigNamesEveryWrongField(t *testing.T) {
	t.Parallel()
	_, err := local.NewSender(local.SenderConfig{URL: "nowhere", Forged: 2, Impatient: -1, Rate: -1})
	for _, want := range []string{"URL", "Secret", "Forged", "Impatient", "Rate"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

// Computed with: printf %s '{"id":"evt_1"}' | openssl dgst -sha256 -hmac 'whsec test secret é'
func TestSignIsOpenssls(t *testing.T) {
	t.Parallel()
	want := "55054e0b4998231e0960e7b7b34f7cb884a06da611aaf70c4ece2878f8dd5bea"
	if got := local.Sign("whsec test secret é", []byte(`{"id":"evt_1"}`)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func BenchmarkSender(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer srv.Close()
	s, err := local.NewSender(local.SenderConfig{URL: srv.URL, Secret: secret, InFlight: 64})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	if err := s.Run(b.Context(), local.Journeys{Seed: 1, Events: b.N}.All()); err != nil {
		b.Fatal(err)
	}
	if got := s.Journal().Accepted(); got != b.N {
		b.Fatal(fmt.Errorf("receipts: got %d, want %d", got, b.N))
	}
}
