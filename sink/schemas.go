package sink

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// schemas keeps the warehouse as it is in ClickHouse, which is the schema's home. **An insert is sent only with rows typed
// by a reading that began no more than two reload intervals before**, however long its batch has waited: backfill relies
// on it when it waits for the last rows that sinks typed with the columns before its change.
type schemas struct {
	conn     driver.Conn
	database string
	interval time.Duration
	health   *health
	log      zerolog.Logger
	metrics  *metrics

	now     atomic.Pointer[schema.Warehouse] // nil until the first reading
	mu      sync.Mutex                       // guards the rest; held while reading, so that readings do not overtake each other
	readAt  time.Time                        // when the reading of now began
	expired bool
}

// current is the last reading, for typing new rows.
func (s *schemas) current() *schema.Warehouse { return s.now.Load() }

// fresh is a reading young enough to write rows with.
func (s *schemas) fresh(ctx context.Context) (*schema.Warehouse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expired || time.Since(s.readAt) > 2*s.interval {
		if err := s.read(ctx); err != nil {
			return nil, err
		}
	}
	return s.now.Load(), nil
}

// expire makes the next fresh read: ClickHouse has said that the tables are not as they were read.
func (s *schemas) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expired = true
}

// reload reads now.
func (s *schemas) reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(ctx)
}

// read must be called with mu held. A reading that finds nothing changed leaves the Warehouse in place, so that batches
// can tell by the pointer whether their blocks still fit.
func (s *schemas) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	began := time.Now()
	w, err := schema.Load(ctx, s.conn, s.database)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(w, s.now.Load()) {
		s.now.Store(w)
		s.metrics.schemaRevision.Set(float64(w.Revision))
		s.log.Info().Uint32("revision", w.Revision).Int("tables", len(w.Tables)).Strs("warnings", w.Warnings).Msg("schema read")
	}
	s.readAt, s.expired = began, false
	return nil
}

// run reads on a timer until ctx ends.
func (s *schemas) run(ctx context.Context) {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch err := s.reload(ctx); {
		case err == nil:
			s.health.over("schema")
		case ctx.Err() == nil:
			s.health.trouble("schema", cause(err), describe(err))
		}
	}
}
