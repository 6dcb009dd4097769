package local

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// maxRetryAfter bounds how long a server can silence the sender: a test that waits longer has found its bug.
const maxRetryAfter = time.Minute

// deliver tries until there is a receipt, a refusal, or no patience left, and writes down which.
func (s *Sender) deliver(ctx context.Context, p parcel) {
	status := 0
	for attempt := 1; attempt <= s.cfg.Attempts; attempt++ {
		timeout := s.cfg.Timeout
		if p.impatient && attempt == 1 {
			timeout = min(timeout, rand.N(20*time.Millisecond))
		}
		var retryAfter time.Duration
		if status, retryAfter = s.attempt(ctx, p, timeout); !retryable(status) {
			s.journal.settle(p, status, attempt)
			if p.again && accepted(status) {
				p.again, p.impatient, p.due = false, false, time.Now()
				s.deliver(ctx, p)
			}
			return
		}
		if attempt == s.cfg.Attempts || wait(ctx, max(s.backoff(attempt), retryAfter)) != nil {
			break
		}
	}
	s.journal.abandon(p, status)
}

// attempt posts once. Status 0 means that no answer came: then the server may have taken the delivery, or not.
func (s *Sender) attempt(ctx context.Context, p parcel, timeout time.Duration) (status int, retryAfter time.Duration) {
	select {
	case <-ctx.Done():
		return 0, 0
	case s.inFlight <- struct{}{}:
	}
	defer func() { <-s.inFlight }()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	status, retryAfter = s.post(ctx, p)
	s.journal.count(status)
	return status, retryAfter
}

func (s *Sender) post(ctx context.Context, p parcel) (status int, retryAfter time.Duration) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(p.Body))
	if err != nil {
		return 0, 0 // cannot be: the URL has been checked
	}
	req.Header.Set("Content-Type", "application/json")
	if p.signature != nil {
		req.Header[SignatureHeader] = p.signature
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, 0
	}
	// The status line is the answer; what follows is read so that the connection can be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	return resp.StatusCode, parseRetryAfter(resp.Header.Get("Retry-After"))
}

func accepted(status int) bool { return status >= 200 && status < 300 }

// retryable: no answer, and what says that it may be otherwise later. Any other status is final.
func retryable(status int) bool {
	return status == 0 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// backoff doubles with the attempts, less up to a half, so that those that failed together do not come back together.
func (s *Sender) backoff(attempt int) time.Duration {
	d := s.cfg.MaxBackoff
	if shift := attempt - 1; shift < 30 { // 100 ms × 2^30 is three years
		d = min(d, s.cfg.Backoff<<shift)
	}
	return d - rand.N(d/2+1)
}

// parseRetryAfter reads both of the header's forms: seconds, and a date.
func parseRetryAfter(value string) time.Duration {
	var d time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = time.Until(at)
	}
	return min(max(d, 0), maxRetryAfter)
}
