package ingest

import (
	"sync"
	"sync/atomic"
)

// admission bounds what is in flight: requests, and bytes of bodies from the first one read until the producer is done
// with them, which may be long after the request has got its 503. Safe for concurrent use.
type admission struct {
	maxRequests int
	maxBytes    int64

	mu       sync.Mutex
	requests int           // those between enter and leave
	closed   bool          // no more enter
	idle     chan struct{} // closed when closed and no request is left

	bytes atomic.Int64
}

func newAdmission(maxRequests, maxBytes int) *admission {
	return &admission{maxRequests: maxRequests, maxBytes: int64(maxBytes), idle: make(chan struct{})}
}

// enter admits one request, unless there are too many or the server is done. Whoever it admits must leave.
func (a *admission) enter() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.requests >= a.maxRequests || a.bytes.Load() >= a.maxBytes {
		return false
	}
	a.requests++
	return true
}

func (a *admission) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests--
	if a.closed && a.requests == 0 {
		close(a.idle)
	}
}

// close admits nobody any more. a.idle is closed as soon as the last request has left. Called once.
func (a *admission) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.requests == 0 {
		close(a.idle)
	}
}

// inFlight is the number of requests between enter and leave.
func (a *admission) inFlight() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

// grow takes n bytes of the budget, all or none.
func (a *admission) grow(n int) bool {
	if a.bytes.Add(int64(n)) > a.maxBytes {
		a.bytes.Add(int64(-n))
		return false
	}
	return true
}

func (a *admission) shrink(n int) { a.bytes.Add(int64(-n)) }
