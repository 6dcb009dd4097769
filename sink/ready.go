package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// readyTimeout bounds the questions a readiness probe asks: below the probes' own time-outs, as a rule some seconds.
const readyTimeout = 2 * time.Second

// readiness is what /readyz answers.
type readiness struct {
	Ready    bool      `json:"ready"`
	Problems []Problem `json:"problems"`
}

// AdminHandler serves what operators ask: /healthz (the process lives), /readyz (Kafka and ClickHouse answer now, nothing
// is stuck, and no loss waits to be acknowledged: 200 or 503 with what is wrong, as JSON) and /metrics. It answers before
// Run too: not ready.
func (s *Sink) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{}))
	if s.cfg.Pprof != nil {
		mux.Handle(PprofPath, s.cfg.Pprof)
	}
	return mux
}

func (s *Sink) serveReady(w http.ResponseWriter, r *http.Request) {
	problems := s.problems(r.Context())
	body, err := json.Marshal(readiness{len(problems) == 0, problems})
	status := http.StatusOK
	if err != nil || len(problems) > 0 {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // an error is the prober's going away
}

// problems is everything that is wrong now.
func (s *Sink) problems(ctx context.Context) []Problem {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return slices.Concat(s.health.current(), s.gaps.problems(), s.ask(ctx))
}

// ready is readiness as a metric: 1 or 0. A scrape asks the engines as a probe does, but only while the sink works: before
// and after, somebody may gather whose questions would leave connections behind.
func (s *Sink) ready() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "leadhouse", Subsystem: "sink", Name: "ready",
		Help: "1 when Kafka and ClickHouse answer, nothing is stuck and no loss waits to be acknowledged, 0 otherwise: what /readyz answers.",
	}, func() float64 {
		if len(s.health.current()) > 0 || len(s.problems(context.Background())) > 0 {
			return 0
		}
		return 1
	})
}

// ask asks both engines, now: what a client remembers (kafka.Client.Metadata does) says nothing of a cluster that has gone.
func (s *Sink) ask(ctx context.Context) []Problem {
	var (
		engines                 errgroup.Group
		kafkaErr, clickHouseErr error
	)
	engines.Go(func() error {
		answer, err := s.client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
		if err == nil {
			err = answer.Error
		}
		kafkaErr = err
		return nil
	})
	engines.Go(func() error {
		clickHouseErr = s.cfg.ClickHouse.Ping(ctx)
		return nil
	})
	_ = engines.Wait()
	var problems []Problem
	if kafkaErr != nil {
		problems = append(problems, Problem{Part: "kafka", Cause: "no answer", Detail: kafkaErr.Error(), Since: time.Now()})
	}
	if clickHouseErr != nil {
		problems = append(problems, Problem{Part: "clickhouse", Cause: "no answer", Detail: describe(clickHouseErr), Since: time.Now()})
	}
	return problems
}

// serveAdmin serves AdminHandler on AdminAddr until ctx ends.
func (s *Sink) serveAdmin(ctx context.Context) error {
	if s.cfg.AdminAddr == "" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.AdminAddr)
	if err != nil {
		return fmt.Errorf("listen for admin: %w", err)
	}
	s.cfg.Logger.Info().Stringer("addr", listener.Addr()).Msg("admin listener is up")
	server := &http.Server{
		Handler:           s.AdminHandler(),
		ReadHeaderTimeout: 5 * time.Second, // its callers are probes and scrapers: they send their few bytes at once
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute, // above the usual scrape interval, so that scrapers keep their connection
	}
	var serving errgroup.Group
	serving.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve admin: %w", err)
		}
		return nil
	})
	<-ctx.Done()
	// The sink has stopped: a probe that is still being answered has nothing to learn.
	if err := server.Close(); err != nil {
		return fmt.Errorf("close admin: %w", err)
	}
	return serving.Wait()
}
