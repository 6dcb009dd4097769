package sink

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// schemas keeps the warehouse as it is in ClickHouse, which is the schema's home. **An insert is sent only with rows typed
// by a reading that began no more than two reload intervals before**, however long its batch has waited: backfill relies
// on it when it waits for the last rows that sinks typed with the columns before its change, and so does an erasure, whose
// tombstones belong to the reading.
type schemas struct {
	conn     driver.Conn
	database string
	interval time.Duration
	timeout  time.Duration // of one reading
	health   *health
	log      zerolog.Logger
	metrics  *metrics
	gaps     *gaps // read on the same timer

	now  atomic.Pointer[schema.Warehouse] // nil until the first reading
	turn chan struct{}                    // holds the one turn to read, so that readings do not overtake each other

	// Only for whoever has the turn:
	readAt  time.Time // when the reading of now began
	expired bool      // ClickHouse has said that the tables are not as they were read
}

// current is the last reading, for typing new rows.
func (s *schemas) current() *schema.Warehouse { return s.now.Load() }

// fresh is a reading young enough to write rows with; with expired, one that begins now.
func (s *schemas) fresh(ctx context.Context) (*schema.Warehouse, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.give()
	if s.expired || time.Since(s.readAt) > 2*s.interval {
		if err := s.read(ctx); err != nil {
			return nil, err
		}
	}
	return s.now.Load(), nil
}

// expire makes the next fresh read.
func (s *schemas) expire(ctx context.Context) {
	if s.take(ctx) == nil { // else the batch is being given up
		s.expired = true
		s.give()
	}
}

// reload reads now.
func (s *schemas) reload(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	return s.read(ctx)
}

// take waits for the turn, but not for longer than ctx: a handover does not wait for somebody's reading from a ClickHouse
// that hangs.
func (s *schemas) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the schema: %w", ctx.Err())
	}
}

func (s *schemas) give() { <-s.turn }

// read is for whoever has the turn. A reading that finds nothing changed leaves the Warehouse in place, so that batches
// can tell by the pointer whether their blocks still fit.
func (s *schemas) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	began := time.Now()
	w, err := s.load(ctx)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(w, s.now.Load()) {
		s.now.Store(w)
		s.metrics.schemaRevision.Set(float64(w.Revision))
		s.log.Info().Uint32("revision", w.Revision).Int("tables", len(w.Tables)).Int("erased", w.Erased.Len()).Strs("warnings", w.Warnings).Msg("schema read")
	}
	s.readAt, s.expired = began, false
	return nil
}

func (s *schemas) load(ctx context.Context) (*schema.Warehouse, error) {
	if last := s.now.Load(); last != nil {
		return last.Reload(ctx, s.conn)
	}
	return schema.Load(ctx, s.conn, s.database)
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
		s.note(ctx, "schema", s.reload(ctx))
		s.note(ctx, "gaps", s.gaps.read(ctx))
	}
}

func (s *schemas) note(ctx context.Context, part string, err error) {
	switch {
	case err == nil:
		s.health.over(part)
	case ctx.Err() == nil:
		s.health.trouble(part, cause(err), describe(err))
	}
}
