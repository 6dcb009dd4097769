package sink

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// Sink moves a topic's records into ClickHouse.
type Sink struct {
	cfg       Config
	metrics   *metrics
	health    *health
	schemas   *schemas
	client    *kafka.Client
	transport *kafka.Transport
	breaker   *breaker
	lag       *lag
	gaps      *gaps
	witness   *witness
	batches   [2]*batch // one fills while one is inserted; only the generation under way has them

	fail context.CancelCauseFunc // ends Run with an error; set by Run
}

// failure is the cause of a stop that comes from within.
type failure struct{ error }

// New checks the configuration and names everything that is wrong with it. It dials nothing and starts nothing.
func New(cfg Config) (*Sink, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s := &Sink{cfg: cfg, metrics: m, health: newHealth(cfg.Logger)}
	s.client, s.transport = newClient(cfg.Dialer, cfg.Brokers, cfg.Topic)
	s.breaker = newBreaker(cfg.RejectWindow, cfg.RejectPercent)
	s.lag = &lag{client: s.client, topic: cfg.Topic, metrics: m}
	s.schemas = &schemas{
		conn: cfg.ClickHouse, database: cfg.Database, interval: cfg.ReloadInterval, timeout: min(askTimeout, cfg.InsertTimeout),
		health: s.health, log: cfg.Logger, metrics: m, turn: make(chan struct{}, 1),
	}
	s.gaps = &gaps{conn: cfg.ClickHouse, database: cfg.Database, timeout: s.schemas.timeout, log: cfg.Logger, metrics: m}
	s.schemas.gaps = s.gaps
	s.witness = &witness{
		client: s.client, topic: cfg.Topic, group: cfg.Group,
		conn: cfg.ClickHouse, database: cfg.Database, timeout: s.schemas.timeout, turn: make(chan struct{}, 1),
	}
	salt := rand.Text()
	for i := range s.batches {
		s.batches[i] = newBatch(&s.cfg, salt)
	}
	s.health.expect("group", "starting")
	if err := cfg.Registerer.Register(s.ready()); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return s, nil
}

// Run works until ctx ends, and then stops in order: it fetches no more, flushes what it has within ShutdownTimeout,
// commits, and leaves the group; then it returns nil. Kafka or ClickHouse being away is waited for, at the start too.
//
// It returns an error by itself when a human must decide: the topic is not the one that was read up to now (it ends below
// the next offset, or holds other records than the ledger has), or it is to be accepted and the group has members, the
// topic is compacted, or at the start Kafka or ClickHouse refuses the account or shows a certificate that is not to be
// trusted. Nothing is lost then: what is not inserted is not committed. Run may be called once.
func (s *Sink) Run(ctx context.Context) error {
	stop, fail := context.WithCancelCause(ctx) // ends the loop; what is in hand outlives it, with deadlines of its own
	defer fail(nil)
	s.fail = func(err error) { fail(failure{err}) }
	defer s.transport.CloseIdleConnections()
	admin, closeAdmin := context.WithCancel(context.WithoutCancel(ctx)) // to the end: probes and scrapes see the stop

	var parts errgroup.Group
	parts.Go(func() error {
		if err := s.serveAdmin(admin); err != nil {
			s.fail(err)
		}
		return nil
	})
	parts.Go(func() error {
		defer closeAdmin()
		if err := s.consume(stop); err != nil {
			s.fail(err)
		}
		return nil
	})
	_ = parts.Wait()
	if f, failed := errors.AsType[failure](context.Cause(stop)); failed {
		return f.error
	}
	return nil
}

// consume waits for what the sink needs, and then works generation after generation.
func (s *Sink) consume(stop context.Context) error {
	if err := s.awaitTopic(stop); err != nil || stop.Err() != nil {
		return err
	}
	if err := s.awaitSchema(stop); err != nil || stop.Err() != nil {
		return err
	}
	if s.cfg.AcceptNewTopic {
		if err := s.acceptNewTopic(stop); err != nil || stop.Err() != nil {
			return err
		}
	}
	reloads, endReloads := context.WithCancel(context.WithoutCancel(stop)) // until the last batch is in: it may need them
	var reloading sync.WaitGroup
	reloading.Go(func() { s.schemas.run(reloads) })
	err := s.group(stop)
	endReloads()
	reloading.Wait()
	return err
}
