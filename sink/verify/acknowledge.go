package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// acknowledge records the ranges that it is told to, or none of them: first it looks at all, however old they are.
func (v *Verifier) acknowledge(ctx context.Context) error {
	s, err := v.readScope(ctx, time.Time{})
	if err != nil {
		return err
	}
	var (
		errs []error
		gaps []schema.Gap
	)
	for _, a := range v.cfg.Acknowledge {
		lost, err := v.lostIn(ctx, s, a)
		if err != nil {
			errs = append(errs, fmt.Errorf("acknowledge %s: %w", a, err))
		}
		for _, r := range lost {
			gaps = append(gaps, schema.Gap{
				Epoch: a.Epoch, Partition: a.Partition, First: r.first, Next: r.next,
				Detail: "acknowledged as " + a.String(), NoticedAt: time.Now().UTC(), Acknowledged: true,
			})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, g := range gaps {
		if err := schema.RecordGap(ctx, v.cfg.ClickHouse, v.cfg.Database, g); err != nil {
			return err
		}
	}
	return nil
}

// lostIn is what of a range is lost for good: recorded gaps, and what is missing and no longer in Kafka. What has been
// acknowledged before is no error, so that a command that was cut off can be given again.
func (v *Verifier) lostIn(ctx context.Context, s *scope, a Range) (runs, error) {
	p := s.byKey[key{a.Epoch, a.Partition}]
	if p == nil {
		return nil, errors.New("neither Kafka nor the ledger has this partition in this epoch")
	}
	of := run{a.First, a.Last + 1}
	if p.log != nil && of.next > p.log.start {
		return nil, fmt.Errorf("the log begins at %d: what is missing from there on is not lost; set the group's offset back to it, and sink reads it again", p.log.start)
	}
	lost := runs{of}.within(p.open)
	missing, err := v.missingIn(ctx, p, of)
	if err != nil {
		return nil, err
	}
	lost = join(append(lost, missing.without(p.accepted)...)...)
	if len(lost) == 0 && len(runs{of}.within(p.accepted)) == 0 {
		return nil, errors.New("nothing is lost there")
	}
	return lost, nil
}

// missingIn is what of a run is without an entry, without its event's row, or without its dead letter.
func (v *Verifier) missingIn(ctx context.Context, p *part, of run) (found runs, err error) {
	of = run{max(of.first, p.all.first), min(of.next, p.all.next)}
	for of.len() > 0 {
		c, err := v.chunk(ctx, p, of, chunkRows)
		if err != nil {
			return nil, err
		}
		var bare []int64
		if bare, err = v.bare(ctx, p, c.of); err != nil {
			return nil, err
		}
		found = append(found, c.holes...)
		found = append(found, together(bare)...)
		of.first = c.of.next
	}
	return join(found...), nil
}

// bare are the offsets of a run whose entries say inserted, erased or dead_lettered, and nothing is there.
func (v *Verifier) bare(ctx context.Context, p *part, of run) (offsets []int64, err error) {
	hashes := "SELECT event_id_hash FROM {db}.deliveries FINAL WHERE outcome != 'dead_lettered' AND " + p.where(of)
	rows := ""
	for i, t := range v.tables {
		if i > 0 {
			rows += " UNION ALL "
		}
		rows += fmt.Sprintf("SELECT %s AS hash FROM {db}.%s WHERE hash IN (%s)", schema.EventIDHash, t, hashes)
	}
	err = v.cfg.ClickHouse.QueryRow(ctx, v.sql(fmt.Sprintf(`SELECT groupArray(kafka_offset) FROM {db}.deliveries FINAL WHERE %s
  AND (outcome != 'dead_lettered' AND event_id_hash NOT IN (%s)
    OR outcome = 'dead_lettered' AND {kept} AND kafka_offset NOT IN (SELECT kafka_offset FROM {db}.dead_letters WHERE %s))`,
		p.where(of), rows, p.where(of)))).Scan(&offsets)
	if err != nil {
		return nil, fmt.Errorf("look for what is lost in partition %d: %w", p.partition, err)
	}
	return offsets, nil
}
