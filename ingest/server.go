package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// Server takes deliveries on the public listener and writes them to Kafka. Run it once.
type Server struct {
	cfg       Config
	metrics   *metrics
	admission *admission
	handler   *handler
	producer  *producer
	topic     *topic
	files     *watcher
	cert      *certificate // nil: no TLS
	log       zerolog.Logger

	public, admin *http.Server
	draining      atomic.Bool
}

// New checks the configuration, all of it, and puts the parts together. It opens and dials nothing. The metrics are
// registered, so there is one Server a Registry.
func New(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	s := &Server{cfg: cfg, log: cfg.Logger}
	s.admission = newAdmission(cfg.MaxInFlight, cfg.MaxInFlightBytes)
	s.metrics = newMetrics(cfg.Registry, cfg.EventTypes, s.admission)
	client := &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: cfg.ProduceTimeout, Transport: cfg.Transport}
	s.topic = &topic{Topic: cfg.Topic, client: client, maxBody: cfg.MaxBody, log: cfg.Logger}
	deliveries := &deliveryPool{budget: s.admission}
	s.producer = &producer{
		client: client, topic: cfg.Topic.Name, ackTimeout: cfg.AckTimeout,
		deliveries: deliveries, metrics: s.metrics, log: cfg.Logger, began: time.Now(),
	}
	s.handler = &handler{
		path: cfg.Path, maxBody: cfg.MaxBody, ackTimeout: cfg.AckTimeout,
		verifier: newVerifier(cfg.Scheme, s.metrics.verified), admission: s.admission, deliveries: deliveries,
		producer: s.producer, metrics: s.metrics, draining: &s.draining, log: cfg.Logger,
		refusals: cfg.Logger.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute}),
	}
	s.files = &watcher{every: cfg.ReloadInterval, reloads: s.metrics.reloads, log: cfg.Logger}
	s.handler.verifier.use(cfg.Secrets)
	if cfg.SecretFile != "" {
		s.files.files = append(s.files.files, &watched{what: fileSecrets, paths: []string{cfg.SecretFile}, apply: s.useSecrets})
	}
	if cfg.TLSCertFile != "" {
		s.cert = &certificate{notAfter: s.metrics.certNotAfter}
		s.files.files = append(s.files.files, &watched{
			what: fileCertificate, paths: []string{cfg.TLSCertFile, cfg.TLSKeyFile}, apply: s.cert.use,
		})
	}
	s.public, s.admin = s.newPublic(), s.newAdmin()
	return s, nil
}

func (s *Server) useSecrets(contents [][]byte) error {
	secrets, err := ParseSecretFile(contents[0])
	if err == nil {
		s.handler.verifier.use(secrets)
	}
	return err
}

// Check does what Run does before it serves, and creates nothing: it reads the files, reaches the brokers, and looks at
// the topic. A topic that Run would create is no error.
func (s *Server) Check(ctx context.Context) error {
	_, err := s.topic.inspect(ctx)
	if errors.Is(err, errAbsent) {
		if err = nil; !s.cfg.Topic.Create {
			err = fmt.Errorf("topic %s: %w", s.cfg.Topic.Name, errAbsent)
		}
	}
	return errors.Join(s.load(), explain(err))
}

func (s *Server) load() error {
	for _, f := range s.files.files {
		if err := f.load(); err != nil {
			return err
		}
	}
	return nil
}

// Run serves until ctx ends, then drains: readiness fails, DrainDelay passes, requests finish, the producer flushes. An
// error means that it could not start, that a listener failed, or that the drain took longer than DrainTimeout.
func (s *Server) Run(ctx context.Context) error {
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

// run owns four goroutines and the producer's:
//
//	public.Serve  admin.Serve  files  live: start ─▶ follow the topic ─▶ drain ─▶ stop the other three
//
// When one fails, alive ends, and live skips to the end of its drain.
func (s *Server) run(ctx context.Context) error {
	public, admin, err := s.listen(ctx)
	if err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	group, alive := errgroup.WithContext(context.WithoutCancel(ctx))
	files, stopFiles := context.WithCancel(alive)
	group.Go(func() error { return served(s.servePublic(public)) })
	group.Go(func() error { return served(s.admin.Serve(admin)) })
	group.Go(func() error { s.files.run(files); return nil })
	group.Go(func() error {
		defer s.admin.Close()
		defer stopFiles()
		return s.live(ctx, alive)
	})
	s.log.Info().Stringer("addr", public.Addr()).Stringer("admin", admin.Addr()).Bool("tls", s.cert != nil).Msg("listening")
	return group.Wait()
}

// listen opens both listeners, so that a port that is taken is said before Kafka is asked for anything.
func (s *Server) listen(ctx context.Context) (public, admin net.Listener, err error) {
	var lc net.ListenConfig
	if public = s.cfg.Listener; public == nil {
		if public, err = lc.Listen(ctx, "tcp", s.cfg.Addr); err != nil {
			return nil, nil, fmt.Errorf("public listener: %w", err)
		}
	}
	if admin = s.cfg.AdminListener; admin == nil {
		if admin, err = lc.Listen(ctx, "tcp", s.cfg.AdminAddr); err != nil {
			public.Close()
			return nil, nil, fmt.Errorf("admin listener: %w", err)
		}
	}
	return public, admin, nil
}

func (s *Server) servePublic(l net.Listener) error {
	if s.cert != nil {
		return s.public.ServeTLS(l, "", "")
	}
	return s.public.Serve(l)
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

// live starts the producer, keeps it at work until ctx or alive ends, and drains.
//
// Two contexts: serving ends the taking of deliveries; flush, which outlives it, ends what is in flight.
func (s *Server) live(ctx, alive context.Context) error {
	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	defer context.AfterFunc(alive, stopServing)()
	flush, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()

	f, err := s.topic.open(serving, s.cfg.StartTimeout)
	switch {
	case err == nil:
		s.producer.open(flush, f.partitions, f.batchLimit)
		s.log.Info().Str("topic", s.cfg.Topic.Name).Int("partitions", f.partitions).Msg("taking deliveries")
		s.producer.follow(serving, flush, f.batchLimit)
		sleep(alive, s.announceDrain())
	case serving.Err() != nil:
		err = nil // stopped while starting
	}
	return errors.Join(err, s.drain(alive, abandon))
}

// announceDrain makes readiness fail, and the answers from now on end their connections. It returns how long load balancers
// get to notice; deliveries are taken as before meanwhile.
func (s *Server) announceDrain() time.Duration {
	s.draining.Store(true)
	s.log.Info().Stringer("delay", s.cfg.DrainDelay).Int("in_flight", s.admission.inFlight()).Msg("draining")
	return s.cfg.DrainDelay
}

// drain waits for the requests in flight, then for the producer. No 2xx is lost: a request ends only with its answer. Past
// DrainTimeout the producer is abandoned, and whoever still waits gets 503.
func (s *Server) drain(alive context.Context, abandon func()) error {
	s.draining.Store(true)
	deadline, cancel := context.WithTimeout(alive, s.cfg.DrainTimeout)
	defer cancel()
	defer context.AfterFunc(deadline, abandon)()

	err := s.public.Shutdown(deadline)
	s.producer.close()
	s.admission.close()
	if err == nil && deadline.Err() == nil {
		<-s.admission.idle // at once: Shutdown has waited for them
		s.log.Info().Msg("drained: every delivery taken has its answer")
		return nil
	}
	left := s.admission.inFlight()
	select {
	case <-s.admission.idle: // with 503, now that the producer is gone
	case <-time.After(lastWords):
	}
	s.public.Close() // bodies that are still being sent end with it
	<-s.admission.idle
	if alive.Err() != nil {
		return nil // the reason is another part's error
	}
	return fmt.Errorf("not drained within %v: %d requests cut off", s.cfg.DrainTimeout, left)
}

// lastWords is for writing the last 503s.
const lastWords = time.Second
