package local

import (
	"net/http"
	"strconv"
	"time"
)

// A Fault is what one request to Leadron gets instead of its answer.
type Fault func(l *Leadron, w http.ResponseWriter, r *http.Request)

// RateLimited is the gateway's 429: too many requests of one client, for a while. reset is when it ends. retryAfter is that header's value; the documentation does not name it, the SDKs read it: "" leaves it out.
func RateLimited(reset time.Time, retryAfter string) Fault {
	return func(_ *Leadron, w http.ResponseWriter, _ *http.Request) {
		setGateway(w.Header(), 0, reset)
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		writeError(w, http.StatusTooManyRequests, "Too many requests")
	}
}

// QuotaExhausted is the tenant's 429: nothing more until the next billing period, whose date no header gives.
func QuotaExhausted() Fault {
	return func(l *Leadron, w http.ResponseWriter, _ *http.Request) {
		l.admit(w.Header())
		setUsage(w.Header(), l.cfg.UsageLimit, l.cfg.UsageLimit)
		writeError(w, http.StatusTooManyRequests, "API usage limit reached for the current billing period")
	}
}

// Failing answers with a status and the error envelope.
func Failing(status int) Fault {
	return func(_ *Leadron, w http.ResponseWriter, _ *http.Request) {
		writeError(w, status, http.StatusText(status))
	}
}

// Saying answers with any bytes: a proxy's HTML page, a list for an object, nothing.
func Saying(status int, contentType, body string) Fault {
	return func(_ *Leadron, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// Truncated answers 200 with the first n bytes of the catalog as if they were all.
func Truncated(n int) Fault {
	return func(l *Leadron, w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, l.head(n))
	}
}

// Cut announces the whole catalog, sends its first n bytes, and cuts the connection. With a negative n it says nothing at all.
func Cut(n int) Fault {
	return func(l *Leadron, w http.ResponseWriter, _ *http.Request) {
		if n >= 0 {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(l.head(-1))))
			_, _ = w.Write(l.head(n))
			_ = http.NewResponseController(w).Flush() // only fails if the client is gone
		}
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	}
}

// Slow answers as documented, after a time.
func Slow(d time.Duration) Fault {
	return func(l *Leadron, w http.ResponseWriter, r *http.Request) {
		if wait(r.Context(), d) == nil {
			l.answer(w, r)
		}
	}
}

// Proper answers as documented: for a script in which only some requests fail.
func Proper() Fault { return (*Leadron).answer }

// head is the catalog's first n bytes; all for a negative n.
func (l *Leadron) head(n int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < 0 {
		return l.catalog
	}
	return l.catalog[:min(n, len(l.catalog))]
}
