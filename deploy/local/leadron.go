package local

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// CatalogPath is where Leadron serves its catalog (Events page).
const CatalogPath = "/v1/integrations/webhooks/catalog"

// Leadron's gateway counts per client address and window, for all plans (rate-limits page).
const (
	gatewayLimit  = 1000
	gatewayWindow = 15 * time.Minute
)

// LeadronConfig says how the stand-in for Leadron's API answers.
type LeadronConfig struct {
	// Catalog is the endpoint's whole answer, sent as it is.
	Catalog []byte

	// APIKeys are let in; every other key gets 401.
	APIKeys []string

	// RevokedKeys are known and get 403. Default to none.
	RevokedKeys []string

	// UsageLimit is the tenant's quota of requests per billing period: beyond it every answer is 429. Defaults to 50,000, that of the plan "growth".
	UsageLimit int

	// Port on 127.0.0.1. Defaults to a free one; one that is taken is reported to Progress and replaced.
	Port int

	// Progress gets one line when something is not as asked. Defaults to nobody.
	Progress func(line string)
}

func (cfg *LeadronConfig) validate() error {
	var errs []error
	if len(cfg.Catalog) == 0 {
		errs = append(errs, errors.New("the field Catalog is empty"))
	}
	if len(cfg.APIKeys) == 0 || slices.Contains(cfg.APIKeys, "") {
		errs = append(errs, errors.New("APIKeys: there is none, or one is empty"))
	}
	if cfg.UsageLimit < 0 {
		errs = append(errs, fmt.Errorf("UsageLimit: %d is negative", cfg.UsageLimit))
	}
	if cfg.Port < 0 || cfg.Port > 65535 {
		errs = append(errs, fmt.Errorf("Port: %d is no port", cfg.Port))
	}
	return errors.Join(errs...)
}

// Leadron stands in for the catalog endpoint of api.leadron.io: the documented answers, key check, envelopes and rate-limit headers, and whatever a test scripts instead. It is the one fake of the stack, because nobody can call the real one.
type Leadron struct {
	cfg    LeadronConfig
	addr   string
	server *http.Server
	served chan struct{} // closed when the server's accept loop has ended

	// mu guards what requests count and tests change.
	mu          sync.Mutex
	catalog     []byte
	faults      []Fault // the next requests' answers, first first
	requests    int
	windowEnds  time.Time
	windowCount int
	used        int // of the billing period
}

// StartLeadron starts the stand-in, which answers when it returns.
func StartLeadron(cfg LeadronConfig) (*Leadron, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	cfg.UsageLimit = cmp.Or(cfg.UsageLimit, 50_000)
	port, err := Port(cfg.Port, "Leadron", cfg.Progress)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return nil, fmt.Errorf("listen as Leadron: %w", err)
	}
	l := &Leadron{cfg: cfg, catalog: cfg.Catalog, addr: listener.Addr().String(), served: make(chan struct{})}
	l.server = &http.Server{Handler: http.HandlerFunc(l.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(l.served)
		_ = l.server.Serve(listener) // ends with Stop
	}()
	return l, nil
}

// URL is the API's base, what https://api.leadron.io is for the real one.
func (l *Leadron) URL() string { return "http://" + l.addr }

// SetCatalog replaces what the endpoint answers.
func (l *Leadron) SetCatalog(catalog []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.catalog = catalog
}

// Misbehave gives the next requests these answers, one each, in this order. After them it is itself again.
func (l *Leadron) Misbehave(faults ...Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, faults...)
}

// Requests counts all that have arrived.
func (l *Leadron) Requests() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

// Stop cuts every connection and waits for the end.
func (l *Leadron) Stop() {
	_ = l.server.Close()
	<-l.served
}

func (l *Leadron) serve(w http.ResponseWriter, r *http.Request) {
	fault := l.arrive()
	if fault != nil {
		fault(l, w, r)
		return
	}
	l.answer(w, r)
}

// arrive counts a request and takes its fault, if one is scripted.
func (l *Leadron) arrive() (fault Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if len(l.faults) > 0 {
		fault, l.faults = l.faults[0], l.faults[1:]
	}
	return fault
}

// answer is what the documentation says.
func (l *Leadron) answer(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("X-API-Key")
	switch {
	case !l.admit(w.Header()):
		writeError(w, http.StatusTooManyRequests, "Too many requests")
	case slices.Contains(l.cfg.RevokedKeys, key):
		writeError(w, http.StatusForbidden, "API key has been revoked")
	case !slices.Contains(l.cfg.APIKeys, key):
		writeError(w, http.StatusUnauthorized, "Invalid or missing API key")
	case !l.charge(w.Header()):
		writeError(w, http.StatusTooManyRequests, "API usage limit reached for the current billing period")
	case r.URL.Path != CatalogPath:
		writeError(w, http.StatusNotFound, "Resource not found")
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		writeError(w, http.StatusMethodNotAllowed, "Method not allowed")
	default:
		l.mu.Lock()
		catalog := l.catalog
		l.mu.Unlock()
		writeJSON(w, http.StatusOK, catalog)
	}
}

// admit counts a request at the gateway and states its limit; false beyond it.
func (l *Leadron) admit(h http.Header) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.After(l.windowEnds) {
		l.windowEnds, l.windowCount = now.Add(gatewayWindow), 0
	}
	l.windowCount++
	setGateway(h, max(gatewayLimit-l.windowCount, 0), l.windowEnds)
	return l.windowCount <= gatewayLimit
}

// charge counts a request with a valid key against the tenant's quota and states it; false beyond it.
func (l *Leadron) charge(h http.Header) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	within := l.used < l.cfg.UsageLimit
	if within {
		l.used++
	}
	setUsage(h, l.used, l.cfg.UsageLimit)
	return within
}

// setGateway: the reset is in Unix seconds (rate-limits page).
func setGateway(h http.Header, remaining int, reset time.Time) {
	h.Set("X-RateLimit-Limit", strconv.Itoa(gatewayLimit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(reset.Unix(), 10))
}

// setUsage: only on answers to requests with a valid key (rate-limits page).
func setUsage(h http.Header, used, limit int) {
	h.Set("X-API-Usage-Used", strconv.Itoa(used))
	h.Set("X-API-Usage-Limit", strconv.Itoa(limit))
	h.Set("X-API-Usage-Remaining", strconv.Itoa(limit-used))
}

// writeError sends the documented error envelope (errors page): status as in HTTP, no machine-readable code.
func writeError(w http.ResponseWriter, status int, message string) {
	type meta struct {
		Timestamp string `json:"timestamp"`
		Version   string `json:"version"`
	}
	body, _ := json.Marshal(struct { //nolint:errchkjson // strings and numbers: cannot fail
		Success bool   `json:"success"`
		Status  int    `json:"status"`
		Message string `json:"message"`
		Meta    meta   `json:"meta"`
	}{Status: status, Message: message, Meta: meta{time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), "v1"}})
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is not our concern
}
