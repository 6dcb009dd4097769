package backfill_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/backfill"
)

func TestLines(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	d := open(t)
	d.run(d.config("lead.created", `{"leadId":"x"}`))
	d.deliver(d.load(), 0, events("lead", 30, "lead.created", `{"score":5}`)...)
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`)
	cfg.Logger = zerolog.New(&log) // Progress defaults to it
	d.run(cfg)
	for _, want := range []string{`"work":"type lead_events again","rows":30,"message":"begun"`, `"rows":30,"of":30,`, `"message":"ended"`, `"message":"plan applied"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
}

// terminal is one, as far as a test has any: it may be read while it is written.
type terminal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func TestBars(t *testing.T) {
	t.Parallel()
	var term terminal
	bars := backfill.NewBars(&term)
	for _, rows := range []int{1000, 0, 1500} { // as many as said, none, more than said
		bars.Start("type lead_events again", 1000)
		for range 10 {
			bars.Add(rows / 10)
			fmt.Fprintln(bars, "a log line")
		}
		bars.Done()
	}
	fmt.Fprintln(bars, "the last line")
	for want, n := range map[string]int{"a log line\n": 30, "type lead_events again": 3, "1000 of 1000 rows": 1, "1500 of 1500 rows": 1, "the last line\n": 1} {
		if got := strings.Count(term.String(), want); got < n {
			t.Errorf("%q: got %d times, want %d in\n%q", want, got, n, term.String())
		}
	}
}
