package deadletters

import (
	"context"
	"fmt"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
)

// Count is a number of dead letters that have these in common.
type Count struct {
	Reason  schema.Reason
	Status  schema.Status
	Letters uint64
}

// Selection is what a Filter meant at one moment: letters that come later are not in it.
type Selection struct {
	// Counts are by reason and status, the most first, without regard to Limit.
	Counts []Count

	filter Filter
	ends   []end
}

// end is the last letter of a partition in one epoch.
type end struct {
	epoch     uint32
	partition int32
	offset    int64
}

// Total is how many were found, without regard to Limit.
func (s *Selection) Total() (n uint64) {
	for _, c := range s.Counts {
		n += c.Letters
	}
	return n
}

// Letters is how many there are to go through.
func (s *Selection) Letters() uint64 {
	if s.filter.Limit > 0 {
		return min(s.Total(), uint64(s.filter.Limit))
	}
	return s.Total()
}

// Select counts what a filter means now.
func (t *Table) Select(ctx context.Context, f Filter) (*Selection, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.QueryTimeout)
	defer cancel()
	s := &Selection{filter: f}
	w := f.where()
	rows, err := t.cfg.ClickHouse.Query(ctx, `SELECT toString(reason), toString(status), count() AS letters
FROM `+t.name("dead_letters")+` FINAL WHERE `+w.String()+` GROUP BY reason, status ORDER BY letters DESC, reason, status`, w.args...)
	if sink.Judge(err) == sink.Mistyped {
		return nil, fmt.Errorf("count dead letters: %w (%w)", err, schema.ErrNotSetUp)
	}
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var reason, status string
		var n uint64
		if err := rows.Scan(&reason, &status, &n); err != nil {
			return nil, fmt.Errorf("count dead letters: %w", err)
		}
		s.Counts = append(s.Counts, Count{schema.Reason(reason), schema.Status(status), n})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	s.ends, err = t.ends(ctx, w)
	return s, err
}

func (t *Table) ends(ctx context.Context, w *where) (ends []end, err error) {
	rows, err := t.cfg.ClickHouse.Query(ctx, `SELECT topic_epoch, kafka_partition, max(kafka_offset)
FROM `+t.name("dead_letters")+` FINAL WHERE `+w.String()+` GROUP BY topic_epoch, kafka_partition ORDER BY topic_epoch, kafka_partition`, w.args...)
	if err != nil {
		return nil, fmt.Errorf("find where the dead letters end: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e end
		if err := rows.Scan(&e.epoch, &e.partition, &e.offset); err != nil {
			return nil, fmt.Errorf("find where the dead letters end: %w", err)
		}
		ends = append(ends, e)
	}
	return ends, rows.Err()
}
