package sink

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// newBackoff paces attempts at something that must succeed in the end: from 100 ms, which a restarting connection or a
// moving leader needs anyway, doubling, each pause half to one and a half times itself, so that sinks that failed
// together do not come back together.
func newBackoff(most time.Duration) *backoff.ExponentialBackOff {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = min(100*time.Millisecond, most)
	pause.Multiplier = 2
	pause.MaxInterval = most
	return pause
}

// Wait is wait, for the packages below this one.
func Wait(ctx context.Context, pause time.Duration) bool { return wait(ctx, pause) }

// wait pauses, and says whether it came to the pause's end.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
