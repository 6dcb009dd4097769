package ingest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

const (
	probeTimeout = 2 * time.Second // below the period of common probes, 5 to 10 s
	probeFresh   = time.Second     // many probers cost one question a second
)

// readiness says whether deliveries can be accepted now. It asks the brokers live, because the client answers
// Metadata from its cache long after the cluster is gone.
type readiness struct {
	producer *producer
	draining *atomic.Bool

	mu    sync.Mutex // held while asking: probes that come meanwhile get the same answer
	asked time.Time
	err   error
}

// ServeHTTP is /readyz: 200 or 503, with the reason as text. On the admin listener only.
func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := r.check(req.Context()); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

// gauge is readiness as a metric: 1 or 0. A scrape asks as a probe does, and gets the same answer within a second.
func (r *readiness) gauge() prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "ready",
		Help: "1 when deliveries can be accepted now, 0 otherwise: what /readyz answers.",
	}, func() float64 {
		if r.check(context.Background()) != nil {
			return 0
		}
		return 1
	})
}

func (r *readiness) check(ctx context.Context) error {
	if r.draining.Load() {
		return errors.New("draining")
	}
	if r.producer.layout.Load() == nil {
		return errors.New("starting: Kafka not reached yet")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) >= probeFresh {
		// Not the prober's own context: its leaving early would be everybody's answer for a second.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		r.err = r.producer.alive(ctx)
		r.asked = time.Now()
	}
	return r.err
}

// alive asks every broker that leads a partition for one of its offsets. One that answers is enough: with a broker gone,
// all instances would otherwise become unready at once, and the partitions that still work would get nothing.
func (p *producer) alive(ctx context.Context) error {
	m, err := p.describe(ctx)
	if err != nil {
		return fmt.Errorf("ask Kafka: %w", err)
	}
	var ask []kafka.OffsetRequest
	asked := map[int]bool{}
	for _, part := range m.Partitions {
		if part.Leader.Host != "" && !asked[part.Leader.ID] { // without a host: no leader at the moment
			asked[part.Leader.ID] = true
			ask = append(ask, kafka.LastOffsetOf(part.ID))
		}
	}
	if len(ask) == 0 {
		return errors.New("ask Kafka: no partition has a leader")
	}
	response, err := p.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{p.topic: ask}})
	if err != nil {
		return fmt.Errorf("ask Kafka: %w", err)
	}
	err = errors.New("no partition in Kafka's answer")
	for _, part := range response.Topics[p.topic] {
		if part.Error == nil {
			return nil
		}
		err = fmt.Errorf("ask Kafka: %w", part.Error)
	}
	return err
}
