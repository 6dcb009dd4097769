package sink

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// gaps are the runs of offsets that retention took before any sink had read them and that nobody has acknowledged. Their
// home is the warehouse's table offset_gaps, which is read again on the schema's timer: so **every sink of the group shows
// all of them, in readiness, metrics and log, until somebody has taken note**, and no restart makes them forgotten.
type gaps struct {
	conn     driver.Conn
	database string
	timeout  time.Duration // of one call
	log      zerolog.Logger
	metrics  *metrics

	reading sync.Mutex // held through a reading, so that an older one does not overtake a newer

	mu   sync.Mutex // guards open
	open []schema.Gap
}

// record writes a gap and shows it. The same gap may be recorded again.
func (g *gaps) record(ctx context.Context, lost schema.Gap) error {
	writing, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	if err := schema.RecordGap(writing, g.conn, g.database, lost); err != nil {
		return fmt.Errorf("record the lost offsets %s: %w", lost.Range(), err)
	}
	return g.read(ctx)
}

// read reads what is open, now.
func (g *gaps) read(ctx context.Context) error {
	g.reading.Lock()
	defer g.reading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	all, err := schema.Gaps(ctx, g.conn, g.database)
	if err != nil {
		return err
	}
	g.show(schema.OpenGaps(all))
	return nil
}

// show is for whoever reads. It logs each gap once, when this sink learns of it: at its noticing, and again at each start.
func (g *gaps) show(open []schema.Gap) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before, now := ranges(g.open), ranges(open)
	lost := map[int32]int64{}
	for _, gap := range g.open {
		lost[gap.Partition] = 0 // a series that has been there goes back to 0
		if !now[gap.Range()] {
			g.log.Info().Str("range", gap.Range()).Msg("lost offsets have been acknowledged, or have become part of more")
		}
	}
	for _, gap := range open {
		lost[gap.Partition] += gap.Next - gap.First
		if !before[gap.Range()] {
			g.log.Error().Uint32("epoch", gap.Epoch).Int32("partition", gap.Partition).
				Int64("first_offset", gap.First).Int64("last_offset", gap.Next-1).Int64("offsets", gap.Next-gap.First).
				Time("noticed_at", gap.NoticedAt).Str("acknowledge_with", acknowledge(gap)).
				Msg("Kafka's retention has removed records before they were inserted: they are lost here")
		}
	}
	for partition, n := range lost {
		g.metrics.openGaps.WithLabelValues(label(partition)).Set(float64(n))
	}
	g.open = open
}

func ranges(of []schema.Gap) map[string]bool {
	named := make(map[string]bool, len(of))
	for _, gap := range of {
		named[gap.Range()] = true
	}
	return named
}

func acknowledge(gap schema.Gap) string { return "leadhouse verify --acknowledge " + gap.Range() }

// problems are the open gaps, for readiness.
func (g *gaps) problems() []Problem {
	g.mu.Lock()
	defer g.mu.Unlock()
	problems := make([]Problem, len(g.open))
	for i, gap := range g.open {
		problems[i] = Problem{
			Part: "gap " + gap.Range(), Cause: "offsets lost", Since: gap.NoticedAt,
			Detail: fmt.Sprintf("partition %d, epoch %d: offsets %d to %d were removed by Kafka's retention before they were inserted (%s); the sink goes on after them; to take note of the loss: %s",
				gap.Partition, gap.Epoch, gap.First, gap.Next-1, gap.Detail, acknowledge(gap)),
		}
	}
	return problems
}
