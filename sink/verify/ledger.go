package verify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/sink"
)

// chunkRows is how many entries of the ledger are asked about at a time: 8 MB of offsets for ClickHouse, a few for us.
const chunkRows = 1_000_000

// What seems missing is looked at again, after a pause in which a replica or a sink catches up, until two looks agree.
const (
	looks     = 3
	lookPause = time.Second
)

// count fills in what the ledger says of each outcome. FINAL: an entry that was written again counts once, by its last word.
// It comes after the events were counted: a dead letter may be replayed in between, and then collapsed is what grows.
func (v *Verifier) count(ctx context.Context, s *scope) error {
	rows, err := v.cfg.ClickHouse.Query(settings(ctx), v.sql(`SELECT topic_epoch, kafka_partition, countIf(outcome = 'inserted'), countIf(outcome = 'dead_lettered'), countIf(outcome = 'erased')
FROM {db}.deliveries FINAL WHERE `+s.where()+` GROUP BY topic_epoch, kafka_partition`))
	if err != nil {
		return fmt.Errorf("count the ledger's entries: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			k                         key
			inserted, letters, erased uint64
		)
		if err := rows.Scan(&k.epoch, &k.partition, &inserted, &letters, &erased); err != nil {
			return fmt.Errorf("count the ledger's entries: %w", err)
		}
		if p := s.byKey[k]; p != nil {
			p.sheet.Fetched = inserted + letters + erased
			p.sheet.Inserted = min(p.events, inserted)
			p.sheet.Collapsed = inserted - p.sheet.Inserted
			p.sheet.DeadLettered, p.sheet.Erased = letters, erased
		}
	}
	return rows.Err()
}

// settings are for queries that spell out the scope, which grows with the number of partitions.
func settings(ctx context.Context, options ...clickhouse.QueryOption) context.Context {
	return clickhouse.Context(ctx, append(options, clickhouse.WithSettings(clickhouse.Settings{
		"max_query_size":                     16 << 20,
		"max_bytes_before_external_group_by": spill, "max_bytes_ratio_before_external_group_by": 0,
	}))...)
}

// where is the condition on deliveries that leaves the scope. Its size is the number of partitions.
func (s *scope) where() string {
	text := "topic_epoch IN ("
	var keys, firsts, nexts string
	for i, p := range s.parts {
		comma := ", "
		if i == 0 {
			comma = ""
		}
		text += fmt.Sprintf("%s%d", comma, p.epoch)
		keys += fmt.Sprintf("%s%d", comma, uint64(p.epoch)<<32|uint64(uint32(p.partition)))
		firsts += fmt.Sprintf("%stoInt64(%d)", comma, p.all.first)
		nexts += fmt.Sprintf("%stoInt64(%d)", comma, p.all.next)
	}
	const k = "bitOr(bitShiftLeft(toUInt64(topic_epoch), 32), toUInt64(kafka_partition))"
	return fmt.Sprintf("%s) AND kafka_offset >= transform(%s, [%s], [%s], toInt64(0)) AND kafka_offset < transform(%s, [%s], [%s], toInt64(0))",
		text, k, keys, firsts, k, keys, nexts)
}

// offsets accounts for every offset of a partition.
func (v *Verifier) offsets(ctx context.Context, r *findings, p *part) error {
	kafka := v.reader(p)
	defer kafka.Close()
	at := p.all.first
	for at < p.all.next {
		c, err := v.chunk(ctx, p, run{at, p.all.next}, chunkRows)
		if err != nil {
			return err
		}
		if err := v.account(ctx, r, p, kafka, c); err != nil {
			return err
		}
		if p.letters {
			if err := v.letters(ctx, r, p, c.of); err != nil {
				return err
			}
		}
		v.cfg.Progress.Add(int(c.of.len()))
		at = c.of.next
	}
	return nil
}

// chunk is some of the ledger.
type chunk struct {
	of    run
	holes runs // offsets without an entry
}

// chunk reads so many entries of a run from its beginning on, and stands for all of the run's offsets up to the last of
// them.
func (v *Verifier) chunk(ctx context.Context, p *part, of run, rows int) (c chunk, err error) {
	var (
		n         uint64
		low, high int64
		ends      []int64 // the entry after each hole
		widths    []int64 // from the entry before it
	)
	err = v.cfg.ClickHouse.QueryRow(ctx, v.sql(fmt.Sprintf(`SELECT length(a), a[1], a[-1], arrayFilter((o, d) -> d > 1, a, d), arrayFilter(d -> d > 1, d)
FROM (SELECT arraySort(groupArray(kafka_offset)) AS a, arrayDifference(a) AS d FROM
  (SELECT kafka_offset FROM {db}.deliveries WHERE %s ORDER BY topic_epoch, kafka_partition, kafka_offset LIMIT %d))`, p.where(of), rows))).
		Scan(&n, &low, &high, &ends, &widths)
	if err != nil {
		return c, fmt.Errorf("read the ledger of partition %d: %w", p.partition, err)
	}
	if n == 0 {
		return chunk{of, runs{of}}, nil
	}
	c.of = run{of.first, high + 1}
	if n < uint64(rows) {
		c.of.next = of.next // there is no more
	}
	if low > of.first {
		c.holes = append(c.holes, run{of.first, low})
	}
	for i, end := range ends {
		c.holes = append(c.holes, run{end - widths[i] + 1, end})
	}
	if c.of.next > high+1 {
		c.holes = append(c.holes, run{high + 1, c.of.next})
	}
	return c, nil
}

// where is the condition that leaves a run of the partition, in the order of deliveries' key.
func (p *part) where(of run) string {
	return fmt.Sprintf("topic_epoch = %d AND kafka_partition = %d AND kafka_offset >= %d AND kafka_offset < %d", p.epoch, p.partition, of.first, of.next)
}

// account says what the holes of a chunk are, once two looks agree.
func (v *Verifier) account(ctx context.Context, r *findings, p *part, kafka *reader, c chunk) error {
	for look := 1; ; look++ {
		found, err := v.explain(ctx, p, kafka, c)
		if err != nil {
			return err
		}
		if len(found.missing) == 0 || look == looks {
			r.unrecorded(p, found)
			return nil
		}
		if !sink.Wait(ctx, lookPause) {
			return ctx.Err()
		}
		again, err := v.chunk(ctx, p, c.of, 2*chunkRows)
		if err != nil {
			return err
		}
		if again.of != c.of || slices.Equal(again.holes, c.holes) {
			r.unrecorded(p, found)
			return nil
		}
		c = again
	}
}

// explained is what the holes of a chunk are.
type explained struct {
	open, accepted int64 // offsets lost
	recordless     int64 // offsets that Kafka covers without a record
	missing        []missing
}

// missing is records without an entry.
type missing struct {
	run
	records int64
	inKafka bool
	events  []Event
}

// explain takes what is known to be lost from the holes, and asks Kafka about the rest.
func (v *Verifier) explain(ctx context.Context, p *part, kafka *reader, c chunk) (found explained, err error) {
	found.open, found.accepted = c.holes.within(p.open).offsets(), c.holes.within(p.accepted).offsets()
	rest := c.holes.without(p.lost())
	covered := p.inKafka(rest)
	for _, gone := range rest.without(covered) {
		found.missing = append(found.missing, missing{run: gone, records: gone.len()})
	}
	for _, hole := range covered {
		m, err := kafka.look(ctx, hole)
		if err != nil {
			return found, err
		}
		found.recordless += hole.len()
		for _, m := range m {
			if m.inKafka {
				found.recordless -= m.records
			} else { // retention has been here meanwhile
				found.recordless -= m.len()
			}
			found.missing = append(found.missing, m)
		}
	}
	return found, nil
}

// letters looks for entries of a run that say dead_lettered and have no dead letter, and for open dead letters that have
// been inserted.
func (v *Verifier) letters(ctx context.Context, r *findings, p *part, of run) error {
	var lost, superseded []int64
	for look := 1; ; look++ {
		before := lost
		err := v.cfg.ClickHouse.QueryRow(ctx, v.sql(fmt.Sprintf(`SELECT groupArrayIf(kafka_offset, outcome = 'dead_lettered'), groupArrayIf(kafka_offset, outcome != 'dead_lettered')
FROM {db}.deliveries FINAL WHERE %s
  AND (outcome = 'dead_lettered' AND {kept} AND kafka_offset NOT IN (SELECT kafka_offset FROM {db}.dead_letters WHERE %s)
    OR outcome != 'dead_lettered' AND kafka_offset IN (SELECT kafka_offset FROM {db}.dead_letters FINAL WHERE %s AND status = 'open'))`,
			p.where(of), p.where(of), p.where(of)))).Scan(&lost, &superseded)
		if err != nil {
			return fmt.Errorf("compare the ledger of partition %d with the dead letters: %w", p.partition, err)
		}
		if len(lost)+len(superseded) == 0 || look == looks || look > 1 && slices.Equal(lost, before) {
			break
		}
		if !sink.Wait(ctx, lookPause) {
			return ctx.Err()
		}
	}
	r.offsets(p, NoDeadLetter, lost)
	r.offsets(p, SupersededDeadLetter, superseded)
	return nil
}
