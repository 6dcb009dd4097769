package sink

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// health keeps what is wrong right now, for readiness, and writes one log line when a part of the sink gets into
// trouble, when its trouble becomes another, and when it is over: not one per attempt.
type health struct {
	log zerolog.Logger

	mu       sync.Mutex // guards problems: at most one per part
	problems map[string]Problem
}

// Problem is something that keeps the sink from its work. The sink goes on trying.
type Problem struct {
	Part     string    `json:"part"`  // what is in trouble: "insert", "commit", "group", "fetch partition 3", …
	Cause    string    `json:"cause"` // the kind of trouble, from a small set
	Detail   string    `json:"detail"`
	Since    time.Time `json:"since"`
	Attempts int       `json:"attempts"`
}

func newHealth(log zerolog.Logger) *health {
	return &health{log: log, problems: map[string]Problem{}}
}

// trouble notes that a part has failed. detail must hold no payload.
func (h *health) trouble(part, cause, detail string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, known := h.problems[part]
	changed := !known || p.Cause != cause
	if !known {
		p = Problem{Part: part, Since: time.Now()}
	}
	p.Cause, p.Detail, p.Attempts = cause, detail, p.Attempts+1
	h.problems[part] = p
	if changed {
		h.log.Warn().Str("part", part).Str("cause", cause).Str("detail", detail).Msg("trouble, trying again")
	}
}

// expect notes, without a log line, that a part is not there yet or not there any more: no trouble, but not ready.
func (h *health) expect(part, cause string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problems[part] = Problem{Part: part, Cause: cause, Since: time.Now()}
}

// over notes that a part works.
func (h *health) over(part string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, known := h.problems[part]
	delete(h.problems, part)
	if known && p.Attempts > 0 {
		h.log.Info().Str("part", part).Str("cause", p.Cause).Int("attempts", p.Attempts).Dur("lasted", time.Since(p.Since)).Msg("trouble is over")
	}
}

// drop forgets a part that is no longer this sink's, such as a partition that moved away.
func (h *health) drop(part string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.problems, part)
}

// current is what is wrong now, sorted by part.
func (h *health) current() []Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := make([]Problem, 0, len(h.problems))
	for _, p := range h.problems {
		now = append(now, p)
	}
	slices.SortFunc(now, func(a, b Problem) int { return strings.Compare(a.Part, b.Part) })
	return now
}
