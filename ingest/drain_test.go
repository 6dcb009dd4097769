package ingest_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

func TestDrainUnderLoadLosesNo2xxAndCutsNoRequest(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 3, nil), func(c *ingest.Config) { c.DrainDelay = 100 * time.Millisecond })
	var senders sync.WaitGroup
	var mu sync.Mutex
	cut := 0
	for s := range 16 {
		senders.Go(func() {
			for i := 0; ; i++ {
				switch got := h.deliver(event(fmt.Sprintf("evt_%d_%d", s, i), fmt.Sprintf("ld_%d", i%7))); got.status {
				case 202:
				case 0: // the listener is closed; or a request was cut, which the metrics tell
					return
				default:
					mu.Lock()
					cut++
					mu.Unlock()
				}
			}
		})
	}
	h.until("under load", func() bool { return h.metric("leadhouse_ingest_records_acked_total") > 200 })
	if err := h.wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	senders.Wait()
	if cut > 0 {
		t.Errorf("answers other than 202 during the drain: got %d, want 0", cut)
	}
	counted := h.metric(`leadhouse_ingest_requests_total{code="202",reason="accepted"}`)
	if got := len(h.accepted); float64(got) != counted {
		t.Errorf("2xx seen by senders: got %d, want the server's %v", got, counted)
	}
	h.check()
}

func TestDrainFailsReadinessFirstAndStillAccepts(t *testing.T) {
	t.Parallel()
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) { c.DrainDelay = 2 * time.Second })
	if got := h.metric("leadhouse_ingest_ready"); got != 1 {
		t.Errorf("metric ready: got %v, want 1", got)
	}
	h.stop()
	h.until("not ready", func() bool { return h.get(h.admin+"/readyz") == 503 })
	if got := h.metric("leadhouse_ingest_ready"); got != 0 {
		t.Errorf("metric ready while draining: got %v, want 0", got)
	}
	if got := h.get(h.admin + "/healthz"); got != 200 {
		t.Errorf("healthz while draining: got %d, want 200", got)
	}
	body := event("evt_1", "ld_1")
	h.verified[body] = true
	got := raw(t, h, head(body, fmt.Sprintf("Content-Length: %d", len(body)))+body)
	wantStatus(t, got, 202)
	if got.header.Get("Connection") != "close" {
		t.Error("the connection is kept, so the sender's next delivery comes here too")
	}
	if err := h.wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	h.check()
}

// A request is in flight when the stop comes, and its acknowledgement is late: it still gets it.
func TestDrainWaitsForTheAckOfARequestInFlight(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k)
	held, release := hold(k.Cluster())
	defer release()
	collect := h.deliverAll([]string{event("evt_1", "ld_1")})
	<-held
	queued := h.deliverAll([]string{event("evt_2", "ld_1")})
	h.stop()
	h.until("listener closed", func() bool { return refused(h) })
	release()
	for _, got := range append(collect(), queued()...) {
		wantStatus(t, got, 202)
	}
	if err := h.wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if n := len(h.check()); n != 2 {
		t.Errorf("records: got %d, want 2", n)
	}
}

func refused(h *harness) bool {
	_, host, _ := strings.Cut(strings.TrimSuffix(h.url, path), "://")
	c, err := net.Dial("tcp", host)
	if err == nil {
		c.Close()
	}
	return err != nil
}

// Records whose requests have got their 503 already are flushed all the same.
func TestDrainFlushesWhatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k, func(c *ingest.Config) { c.AckTimeout = 50 * time.Millisecond })
	held, release := hold(k.Cluster())
	defer release()
	first := h.deliverAtOnce(event("evt_1", "ld_1"))
	<-held
	for _, got := range append(h.deliverAtOnce(event("evt_2", "ld_1"), event("evt_3", "ld_1"))(), first()...) {
		wantStatus(t, got, 503)
	}
	h.stop()
	h.until("listener closed", func() bool { return refused(h) })
	release()
	if err := h.wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if n := len(h.check()); n != 3 {
		t.Errorf("records: got %d, want 3", n)
	}
}

func TestDrainPastItsDeadlineAnswers503AndSaysSo(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k, func(c *ingest.Config) { c.DrainTimeout = 300 * time.Millisecond })
	k.Cluster().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.Cluster().KeepControl()
		return nil, nil, true
	})
	collect := h.deliverAll([]string{event("evt_1", "ld_1")})
	body := event("evt_slow", "ld_1")
	slow := dial(t, h)
	io.WriteString(slow, head(body, fmt.Sprintf("Content-Length: %d", len(body))))
	h.until("two in flight", func() bool { n, _ := h.server.InFlight(); return n == 2 })
	err := h.wait()
	if err == nil || !strings.Contains(err.Error(), "not drained within 300ms") {
		t.Errorf("Run: got %v, want that it was not drained", err)
	}
	wantStatus(t, collect()[0], http.StatusServiceUnavailable)
	h.check()
}

func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	k.Stop()
	h := launch(t, k, nil)
	h.until("admin is up", func() bool { return h.get(h.admin+"/healthz") == 200 })
	if got := h.get(h.admin + "/readyz"); got != 503 {
		t.Errorf("readyz: got %d, want 503", got)
	}
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), 503)
	if err := h.wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// Half a process serves nothing: when one listener fails, Run ends with the reason.
func TestListenerFailureEndsRun(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"public", "admin"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			var l net.Listener
			h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) {
				l = c.Listener
				if which == "admin" {
					l = c.AdminListener
				}
			})
			l.Close()
			select {
			case err := <-h.done:
				if err == nil || !strings.Contains(err.Error(), "serve") {
					t.Errorf("Run: got %v, want the listener's error", err)
				}
				h.done <- nil
			case <-time.After(patience):
				t.Error("Run goes on")
			}
		})
	}
}
