package backfill

import (
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress is told how far a piece of work is. One piece at a time, between Start and Done; Add may be called by another
// goroutine than Start and Done, but not before Start returns or after Done is called. total is an estimate: rows may
// come and go meanwhile. Nothing it does may fail or block the work.
type progress interface {
	Start(what string, total uint64)
	Add(rows int)
	Done()
}

// lineInterval: often enough to see that it goes on, rarely enough for a log that is kept.
const lineInterval = 10 * time.Second

// Lines reports progress to a log.
type Lines struct {
	log zerolog.Logger

	mu    sync.Mutex // guards the piece under way
	what  string
	total uint64
	rows  uint64
	began time.Time
	said  time.Time
}

// NewLines logs a line when a piece of work begins and ends, and every 10 s between.
func NewLines(log zerolog.Logger) *Lines { return &Lines{log: log} }

// Start is part of progress.
func (l *Lines) Start(what string, total uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.what, l.total, l.rows, l.began, l.said = what, total, 0, now, now
	l.log.Info().Str("work", what).Uint64("rows", total).Msg("begun")
}

// Add is part of progress.
func (l *Lines) Add(rows int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rows += uint64(rows)
	if time.Since(l.said) >= lineInterval {
		l.said = time.Now()
		l.say("going on")
	}
}

// Done is part of progress.
func (l *Lines) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say("ended")
}

func (l *Lines) say(message string) {
	took := time.Since(l.began)
	l.log.Info().Str("work", l.what).Uint64("rows", l.rows).Uint64("of", l.total).
		Float64("rows_per_second", math.Round(float64(l.rows)/max(took.Seconds(), 1e-3))).Msg(message)
}

// Bars draws progress bars on a terminal. It is also the io.Writer that a log for the same terminal goes through: its
// lines stand above the bar.
type Bars struct {
	out io.Writer

	mu   sync.Mutex // guards the two below: a log line may come at any time
	pool *mpb.Progress
	bar  *mpb.Bar
}

// NewBars draws on a terminal.
func NewBars(terminal io.Writer) *Bars { return &Bars{out: terminal} }

// Start is part of progress.
func (b *Bars) Start(what string, total uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pool = mpb.New(mpb.WithOutput(b.out), mpb.WithAutoRefresh())
	b.bar = b.pool.AddBar(0, // without a total, since a bar that reaches its total is over: this one's is an estimate
		mpb.PrependDecorators(decor.Name(what+" ")),
		mpb.AppendDecorators(
			decor.Any(func(s decor.Statistics) string { return fmt.Sprintf("%d of %d rows", s.Current, s.Total) }),
			decor.AverageSpeed(0, ", %.0f/s"),
			decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace),
		))
	b.bar.SetTotal(int64(min(total, math.MaxInt64)), false)
}

// Add is part of progress.
func (b *Bars) Add(rows int) { b.bar.IncrBy(rows) }

// Done is part of progress. It waits for the bar's goroutines.
func (b *Bars) Done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bar.SetTotal(-1, true) // what has come is all there was
	b.pool.Wait()
	b.pool, b.bar = nil, nil
}

// Write puts lines on the terminal, above the bar if there is one.
func (b *Bars) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pool != nil {
		return b.pool.Write(p)
	}
	return b.out.Write(p)
}
