package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// part is one partition in one epoch, as far as it is looked at.
type part struct {
	epoch     uint32
	partition int32
	log       *log   // what Kafka says; nil for an epoch that is over
	all       run    // of offsets to account for
	open      runs   // lost
	accepted  runs   // lost, and somebody has taken note
	letters   bool   // it has dead letters
	events    uint64 // that were delivered first here
	sheet     Sheet  // so far
}

// lost are both kinds.
func (p *part) lost() runs { return join(append(slices.Clone(p.open), p.accepted...)...) }

// inKafka is what of some runs Kafka still covers.
func (p *part) inKafka(rs runs) runs {
	if p.log == nil {
		return nil
	}
	return rs.within(runs{{p.log.start, p.log.end}})
}

type key struct {
	epoch     uint32
	partition int32
}

// scope is all that is looked at, in the order it was read.
type scope struct {
	epoch uint32
	parts []*part
	byKey map[key]*part
	gaps  []schema.Gap
}

// extent is what the ledger has of a partition.
type extent struct {
	Epoch     uint32 `ch:"topic_epoch"`
	Partition int32  `ch:"kafka_partition"`
	Low       int64  `ch:"low"`
	High      int64  `ch:"high"`
	Letters   bool   `ch:"letters"`
}

// readScope takes the snapshot. The gaps come after the committed offsets: sink records one before it commits past it.
func (v *Verifier) readScope(ctx context.Context, since time.Time) (*scope, error) {
	starts, err := schema.EpochStarts(ctx, v.cfg.ClickHouse, v.cfg.Database)
	if err != nil {
		return nil, err
	}
	logs, err := v.logs(ctx, since)
	if err != nil {
		return nil, err
	}
	s := &scope{byKey: map[key]*part{}}
	for _, start := range starts {
		s.epoch = max(s.epoch, start.Epoch)
	}
	if s.gaps, err = schema.Gaps(ctx, v.cfg.ClickHouse, v.cfg.Database); err != nil {
		return nil, err
	}
	extents, err := v.extents(ctx, since)
	if err != nil {
		return nil, err
	}
	s.fill(logs, starts, extents, !since.IsZero())
	return s, nil
}

// extents reads where the ledger begins and ends, of what was received since.
func (v *Verifier) extents(ctx context.Context, since time.Time) (found []extent, err error) {
	err = v.cfg.ClickHouse.Select(ctx, &found, v.sql(`SELECT topic_epoch, kafka_partition, min(kafka_offset) AS low, max(kafka_offset) AS high,
  countIf(outcome = 'dead_lettered') > 0 OR (SELECT count() > 0 FROM {db}.dead_letters) AS letters
FROM {db}.deliveries WHERE received_at >= `+millis(since)+` GROUP BY topic_epoch, kafka_partition`))
	if err != nil {
		return nil, fmt.Errorf("read where the ledger begins and ends: %w", err)
	}
	return found, nil
}

func (s *scope) part(epoch uint32, partition int32) *part {
	k := key{epoch, partition}
	if s.byKey[k] == nil {
		s.byKey[k] = &part{epoch: epoch, partition: partition, all: run{-1, -1}}
		s.parts = append(s.parts, s.byKey[k])
	}
	return s.byKey[k]
}

// fill says of each partition from where to where it is looked at.
func (s *scope) fill(logs map[int32]*log, starts []schema.EpochStart, extents []extent, since bool) {
	for partition, l := range logs {
		p := s.part(s.epoch, partition)
		p.log = l
		p.all = run{l.start, max(min(l.committed, l.end), l.start)} // past the log's end there is nothing, if the ledger has nothing
		if since {
			p.all.first = l.since
		}
	}
	for _, e := range extents {
		p := s.part(e.Epoch, e.Partition)
		p.letters = e.Letters
		if p.log == nil {
			p.all = run{e.Low, e.High + 1}
			continue
		}
		p.all.first = min(p.all.first, e.Low)
		p.all.next = max(p.all.next, min(e.High+1, p.log.committed))
	}
	if !since {
		for _, start := range starts {
			if p := s.byKey[key{start.Epoch, start.Partition}]; p != nil {
				p.all.first = start.First
			}
		}
	}
	for _, g := range s.gaps {
		s.gap(g, since)
	}
	for _, p := range s.parts {
		p.open = join(p.open...).without(join(p.accepted...))
		p.accepted = join(p.accepted...)
		p.all.next = max(p.all.next, p.all.first)
		if p.log != nil && p.log.committed < 0 { // nothing is committed, so nothing is owed
			p.all.next = p.all.first
		}
	}
	slices.SortFunc(s.parts, func(a, b *part) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.partition, b.partition))
	})
}

// gap counts in full, also where the ledger begins after it.
func (s *scope) gap(g schema.Gap, since bool) {
	p := s.byKey[key{g.Epoch, g.Partition}]
	if p == nil {
		if since {
			return
		}
		p = s.part(g.Epoch, g.Partition)
		p.all = run{g.First, g.Next}
	}
	if !since {
		p.all.first = min(p.all.first, g.First)
		if p.log == nil {
			p.all.next = max(p.all.next, g.Next)
		}
	}
	if g.Acknowledged {
		p.accepted = append(p.accepted, run{g.First, g.Next})
	} else {
		p.open = append(p.open, run{g.First, g.Next})
	}
}
