package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// awaitPoll is how often a condition is looked at.
const awaitPoll = 50 * time.Millisecond

// await asks until the answer is yes. An error counts as no: what is asked may be down. In the end, it says what the last
// one was.
func await(ctx context.Context, what string, limit time.Duration, ask func(context.Context) (bool, error)) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		yes, err := ask(limited)
		if yes {
			return nil
		}
		if limited.Err() == nil {
			last = err
		}
		switch pause(limited, awaitPoll); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case limited.Err() != nil:
			return errors.Join(fmt.Errorf("waited %v for %s", limit, what), last)
		}
	}
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// get is the status of a GET.
func get(ctx context.Context, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Close = true // a kept connection would be a goroutine that nobody owns
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Body.Close()
}
