package sink

import (
	"sync"
	"time"
)

// flushes are the batches on their way into ClickHouse, for a metric that shows one that does not get in: what is observed
// of a batch at its end says nothing of one that has none.
type flushes struct {
	mu    sync.Mutex // guards began: two batches are on their way, and a scrape asks
	began map[*batch]time.Time
}

// begin notes a batch's first attempt.
func (f *flushes) begin(b *batch, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.began[b] = at
}

// end forgets it: it is committed, or given up.
func (f *flushes) end(b *batch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.began, b)
}

// oldest is when the oldest began, in Unix seconds, or 0.
func (f *flushes) oldest() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest time.Time
	for _, at := range f.began {
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	if oldest.IsZero() {
		return 0
	}
	return float64(oldest.UnixMilli()) / 1000
}
