package local

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// SenderConfig says how webhooks are sent, and how badly. Nobody states how the real Leadron retries, so this one does what senders do at their worst: it repeats itself, gives up waiting just before the answer, and mixes up the order.
type SenderConfig struct {
	// URL is where deliveries are posted.
	URL string

	// Secret signs them.
	Secret string

	// Prefix writes signatures as "sha256=" and hex. Defaults to bare hex; the SDKs accept both.
	Prefix bool

	// Timeout of one attempt. Defaults to 5 s.
	Timeout time.Duration

	// Attempts at one delivery. Defaults to 12: with the default pauses that is half a minute of absence survived.
	Attempts int

	// Backoff is the pause after a first failure; it doubles up to MaxBackoff, with jitter. A longer Retry-After is honoured, up to a minute. Default to 100 ms and 5 s.
	Backoff, MaxBackoff time.Duration

	// InFlight is the number of requests at a time. Defaults to 16.
	InFlight int

	// Open is the number of deliveries under way, those between two attempts included: further ones wait. Defaults to 1024.
	Open int

	// Rate is deliveries per second, at fixed moments whatever the answers (open loop). Defaults to 0: as fast as InFlight allows.
	Rate float64

	// Duplicates is the share that is sent once more, the same bytes, beside the first or after its receipt. Defaults to 0.
	Duplicates float64

	// Reordered is the share that is overtaken by up to 200 later ones. Defaults to 0.
	Reordered float64

	// Impatient is the share whose first attempt is broken off within 20 ms, whether or not an answer is on its way. Defaults to 0.
	Impatient float64

	// Forged is the number of deliveries with a bad signature that are added, as a share of the proper ones. Defaults to 0.
	Forged float64

	// Seed chooses which ones.
	Seed uint64

	// TLS is for an https URL. Defaults to the system's roots.
	TLS *tls.Config
}

func (cfg *SenderConfig) validate() error {
	var errs []error
	if u, err := url.Parse(cfg.URL); err != nil || u.Host == "" {
		errs = append(errs, fmt.Errorf("URL: %q is none", cfg.URL))
	}
	if cfg.Secret == "" {
		errs = append(errs, errors.New("the field Secret is empty"))
	}
	for name, share := range map[string]float64{"Duplicates": cfg.Duplicates, "Reordered": cfg.Reordered, "Impatient": cfg.Impatient, "Forged": cfg.Forged} {
		if share < 0 || share > 1 {
			errs = append(errs, fmt.Errorf("%s: %g is no share", name, share))
		}
	}
	if cfg.Timeout < 0 || cfg.Attempts < 0 || cfg.Backoff < 0 || cfg.MaxBackoff < 0 || cfg.InFlight < 0 || cfg.Open < 0 || cfg.Rate < 0 {
		errs = append(errs, errors.New("one of the fields Timeout, Attempts, Backoff, MaxBackoff, InFlight, Open, Rate is negative"))
	}
	return errors.Join(errs...)
}

// A Sender posts deliveries until each has its receipt, and keeps a journal of the receipts: **what it holds a 2xx for must be in the warehouse.**
type Sender struct {
	cfg      SenderConfig
	journal  Journal
	client   *http.Client
	inFlight chan struct{}
	open     chan struct{}
	rng      *rand.Rand // used by Run's goroutine only
}

// NewSender makes a sender. It does nothing before Run.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, 5*time.Second)
	cfg.Attempts = cmp.Or(cfg.Attempts, 12)
	cfg.Backoff = cmp.Or(cfg.Backoff, 100*time.Millisecond)
	cfg.MaxBackoff = cmp.Or(cfg.MaxBackoff, 5*time.Second)
	cfg.InFlight = cmp.Or(cfg.InFlight, 16)
	cfg.Open = cmp.Or(cfg.Open, 1024)
	return &Sender{
		cfg: cfg,
		client: &http.Client{
			Transport: &http.Transport{
				MaxIdleConnsPerHost: cfg.InFlight,
				TLSClientConfig:     cfg.TLS,
				DisableCompression:  true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a sender of webhooks follows none
		},
		inFlight: make(chan struct{}, cfg.InFlight),
		open:     make(chan struct{}, cfg.Open),
		rng:      rand.New(rand.NewPCG(cfg.Seed, 0x73656e646572)), // any constant will do
	}, nil
}

// Journal is what has been answered so far. It may be read while Run runs.
func (s *Sender) Journal() *Journal { return &s.journal }

// Run sends deliveries and returns when the last has been answered or given up. When ctx ends it breaks off what is under way, which the journal then lists as abandoned. It may be called again, not concurrently.
func (s *Sender) Run(ctx context.Context, deliveries iter.Seq[Delivery]) error {
	defer s.client.CloseIdleConnections()
	var wg sync.WaitGroup
	defer wg.Wait()
	pace := newPace(s.cfg.Rate)
	dispatch := func(p parcel) (err error) {
		if p.due, err = pace.await(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s.open <- struct{}{}:
		}
		wg.Go(func() {
			defer func() { <-s.open }()
			s.deliver(ctx, p)
		})
		return nil
	}
	for p := range s.parcels(deliveries) {
		if err := dispatch(p); err != nil {
			return err
		}
	}
	return nil
}
