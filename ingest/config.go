package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// Config is everything a Server needs. It is checked as a whole by New, before anything is opened or dialled.
type Config struct {
	Addr      string // the public listener. Defaults to ":8080".
	AdminAddr string // the listener of /healthz, /readyz and /metrics. Defaults to ":9090".

	// Listeners that are open already are used instead of the addresses. Run closes them.
	Listener, AdminListener net.Listener

	Path string // where deliveries are posted. Defaults to "/webhooks/leadron".

	// PEM files for TLS on the public listener, re-read when they change. Both or neither.
	TLSCertFile, TLSKeyFile string

	// Secrets (see ParseSecrets), or a file with one id=value a line that is re-read when it changes. One of the two.
	Secrets    []Secret
	SecretFile string
	Scheme     Scheme // how deliveries are signed. Defaults to Leadron's way.

	Brokers []string // Kafka's bootstrap addresses, host:port

	// Transport reaches the brokers; TLS and SASL are set on it. For a *kafka.Transport: MetadataTopics the topic, because
	// the default asks for all of them, and MetadataTTL 1 to 2 s, because it is how long a moved leader stays unknown.
	Transport kafka.RoundTripper

	Topic Topic // where the records go

	MaxBody          int // bytes of a body. Defaults to 1 MiB.
	MaxInFlight      int // requests at once. Defaults to 2,048: ten seconds of 200 deliveries/s with Kafka silent.
	MaxInFlightBytes int // of bodies read and not yet written or given up. Defaults to 32 MiB.
	MaxConns         int // open connections on the public listener. Defaults to 4,096.

	HeaderTimeout time.Duration // to read a request's header. Defaults to 5 s.
	ReadTimeout   time.Duration // to read a request, body included. Defaults to 10 s.
	IdleTimeout   time.Duration // a connection without a request. Defaults to 90 s, above the 60 s of common proxies.

	// AckTimeout is how long a request waits for Kafka before it gets 503. Defaults to 10 s.
	AckTimeout time.Duration
	// ProduceTimeout is how long one produce request may take. Longer than AckTimeout, because giving a write up early
	// does not undo it. The broker is told half of it (kafka-go), and a broker's death stalls all partitions for about
	// 10 s (broker.session.timeout.ms is 9 s). Defaults to 30 s.
	ProduceTimeout time.Duration
	StartTimeout   time.Duration // how long Kafka may be away at start. Defaults to 30 s.

	// On stop: DrainDelay after readiness fails, so that load balancers look elsewhere, then at most DrainTimeout for
	// requests and the producer. Default to 5 s and 20 s: together below Kubernetes' 30 s of grace.
	DrainDelay, DrainTimeout time.Duration

	ReloadInterval time.Duration // how often the secret and certificate files are looked at. Defaults to 2 s.

	// EventTypes are the types that get a metric label of their own; all others count as "other", because a label's
	// values must not come from outside. Defaults to the built-in catalog's.
	EventTypes []string

	// Pprof is served below PprofPath, on the admin listener alone. Defaults to nothing.
	Pprof http.Handler

	Logger zerolog.Logger

	// Registry takes the metrics and serves them on /metrics. Defaults to a new one.
	Registry interface {
		prometheus.Registerer
		prometheus.Gatherer
	}
}

// PprofPath is where Config.Pprof is served.
const PprofPath = "/debug/pprof/"

// Defaults is what an empty Config stands for. The command line shows it in -h, and lets it be changed.
func Defaults() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	c.Addr = cmp.Or(c.Addr, ":8080")
	c.AdminAddr = cmp.Or(c.AdminAddr, ":9090")
	c.Path = cmp.Or(c.Path, "/webhooks/leadron")
	c.Scheme = c.Scheme.withDefaults()
	c.Topic = c.Topic.withDefaults()
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, 2048)
	c.MaxInFlightBytes = cmp.Or(c.MaxInFlightBytes, 32<<20)
	c.MaxConns = cmp.Or(c.MaxConns, 4096)
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 5*time.Second)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 10*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 90*time.Second)
	c.AckTimeout = cmp.Or(c.AckTimeout, 10*time.Second)
	c.ProduceTimeout = cmp.Or(c.ProduceTimeout, 30*time.Second)
	c.StartTimeout = cmp.Or(c.StartTimeout, 30*time.Second)
	c.DrainDelay = cmp.Or(c.DrainDelay, 5*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 20*time.Second)
	c.ReloadInterval = cmp.Or(c.ReloadInterval, 2*time.Second)
	if c.EventTypes == nil {
		c.EventTypes = builtinTypes()
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	return c
}

// maxBodyLimit keeps a mistyped body limit from asking for more than a Kafka request can carry (socket.request.max.bytes
// is 100 MiB; half of it leaves room for everything else in flight).
const maxBodyLimit = 50 << 20

var (
	topicName  = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`) // Kafka's rule
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,128}$`)
)

// validate names every field that is wrong, all at once. It never prints a secret.
func (c Config) validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf(field+": "+format, args...))
	}
	if !strings.HasPrefix(c.Path, "/") {
		bad("Path", "%q does not begin with /", c.Path)
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		bad("TLSCertFile", "a certificate and its key are given together")
	}
	switch {
	case len(c.Secrets) == 0 && c.SecretFile == "":
		bad("Secrets", "none: without a secret no delivery can be verified")
	case len(c.Secrets) > 0 && c.SecretFile != "":
		bad("Secrets", "given both directly and as SecretFile: which ones count?")
	}
	if err := checkSecrets(c.Secrets); err != nil {
		bad("Secrets", "%w", err)
	}
	if len(c.Brokers) == 0 {
		bad("Brokers", "none")
	}
	for _, b := range c.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			bad("Brokers", "%q is not host:port", b)
		}
	}
	if c.Transport == nil {
		bad("Transport", "none")
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"MaxBody", c.MaxBody}, {"MaxInFlight", c.MaxInFlight}, {"MaxConns", c.MaxConns},
	} {
		if n.value < 1 {
			bad(n.field, "%d is not positive", n.value)
		}
	}
	if c.MaxBody > maxBodyLimit {
		bad("MaxBody", "%d is over the largest possible, %d", c.MaxBody, maxBodyLimit)
	}
	if least := c.MaxBody + minBuffer; c.MaxInFlightBytes < least {
		bad("MaxInFlightBytes", "%d cannot hold one body of MaxBody: at least %d", c.MaxInFlightBytes, least)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"HeaderTimeout", c.HeaderTimeout},
		{"ReadTimeout", c.ReadTimeout},
		{"IdleTimeout", c.IdleTimeout},
		{"AckTimeout", c.AckTimeout},
		{"StartTimeout", c.StartTimeout},
		{"DrainDelay", c.DrainDelay},
		{"DrainTimeout", c.DrainTimeout},
		{"ReloadInterval", c.ReloadInterval},
	} {
		if d.value < 0 {
			bad(d.field, "%v is negative", d.value)
		}
	}
	if c.ProduceTimeout <= c.AckTimeout {
		bad("ProduceTimeout", "%v is not longer than AckTimeout, %v", c.ProduceTimeout, c.AckTimeout)
	}
	return errors.Join(append(errs, c.Scheme.validate(), c.Topic.validate())...)
}

func builtinTypes() (types []string) {
	catalog, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		panic(err) // it is part of the program
	}
	for _, e := range catalog.Events {
		types = append(types, e.Type)
	}
	return types
}
