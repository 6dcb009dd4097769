package backfill

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Leadron has two limits and one status, 429 (rate-limits page): the gateway's, 1,000 requests per 15 minutes and client
// address, which opens again by itself; and the tenant's, per billing period, which does not while a program could wait.
// Nobody states how to tell them apart but by the headers:
//
//	X-RateLimit-Remaining: 0, X-RateLimit-Reset: Unix seconds    the gateway's
//	X-API-Usage-Remaining: 0, X-API-Usage-Limit                  the tenant's
//
// Retry-After is known from Leadron's SDKs only, in seconds; HTTP allows a date as well.

// wait is an error after which the next attempt should come no sooner than that.
type wait struct {
	sentence string
	after    time.Duration
}

func (w *wait) Error() string { return w.sentence }

// Unwrap is how backoff.Retry learns of the pause.
func (w *wait) Unwrap() error { return &backoff.RetryAfterError{Duration: w.after} }

// later is an error to be retried, after the given pause if there is one, else as the backoff says.
func later(sentence string, after time.Duration) error {
	if after <= 0 {
		return errors.New(sentence)
	}
	return &wait{sentence, after}
}

func tooMany(resp *http.Response) error {
	// The quota first: with both at zero, the gateway's reset would be waited for in vain.
	if resp.Header.Get("X-Api-Usage-Remaining") == "0" {
		return backoff.Permanent(fmt.Errorf("the tenant's quota of API calls is used up (429)%s: it renews with the billing period, waiting does not help%s",
			ofLimit(resp, "X-Api-Usage-Limit"), instead))
	}
	pause := retryAfter(resp)
	if resp.Header.Get("X-Ratelimit-Remaining") == "0" {
		pause = max(pause, untilReset(resp))
	}
	if pause <= 0 {
		return errors.New("Leadron takes no more requests for now (429) and does not say until when" + instead) //nolint:staticcheck // a name
	}
	return later(fmt.Sprintf("Leadron's gateway takes no more requests from this address (429)%s until %s%s",
		ofLimit(resp, "X-Ratelimit-Limit"), time.Now().Add(pause).UTC().Format("2006-01-02 15:04:05 UTC"), instead), pause)
}

// ofLimit is ", the limit is 1000", if the header is a number.
func ofLimit(resp *http.Response, header string) string {
	n, err := strconv.ParseUint(resp.Header.Get(header), 10, 32)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(", the limit is %d", n)
}

// serverNow is the server's own clock, if it tells it: its times are meant by that one, and ours may be wrong.
func serverNow(resp *http.Response) time.Time {
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		return t
	}
	return time.Now()
}

// resetMargin: the header has whole seconds, and so has Date.
const resetMargin = time.Second

// untilReset is the time to the gateway's reset; 0 when it does not say, or lies in the past.
func untilReset(resp *http.Response) time.Duration {
	unix, err := strconv.ParseInt(strings.TrimSpace(resp.Header.Get("X-Ratelimit-Reset")), 10, 64)
	if err != nil || unix < 0 || unix > 1<<33 { // the year 2242: milliseconds by mistake would be 50,000 years
		return 0
	}
	left := time.Unix(unix, 0).Sub(serverNow(resp))
	if left < 0 {
		return 0
	}
	return left + resetMargin
}

// retryAfter reads Retry-After, seconds or a date; 0 when it is absent, odd or past.
func retryAfter(resp *http.Response) time.Duration {
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil { // 31 bits of seconds still fit a Duration
		return time.Duration(seconds) * time.Second
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(t.Sub(serverNow(resp)), 0)
	}
	return 0
}
