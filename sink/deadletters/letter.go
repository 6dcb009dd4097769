package deadletters

import (
	"context"
	"fmt"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// Summary is a dead letter without its bytes.
type Summary struct {
	Position
	Status     schema.Status
	Reason     schema.Reason
	Detail     string    // the reason in words; of a rejected one ClickHouse's, which may quote values
	Type       string    // the event type, where the record still shows one
	ReceivedAt time.Time // when ingest took it, UTC
	LoadedAt   time.Time // when sink wrote it, UTC
	Bytes      uint64    // of the body
}

// Letter is a whole one.
type Letter struct {
	Summary
	Key     []byte // empty when the record has none
	Headers []schema.Header
	Payload []byte // the body, byte for byte

	version uint64
}

func (l *Letter) record(loaded time.Time) schema.Record {
	return schema.Record{Epoch: l.Epoch, Partition: l.Partition, Offset: l.Offset, ReceivedAt: l.ReceivedAt, LoadedAt: loaded}
}

// Erased says that the letter's bytes are gone: it was about a lead that has been erased.
func (s *Summary) Erased() bool { return s.Detail == schema.ErasedDetail && s.Bytes == 0 }

// pageRows is how many summaries are read at a time: 10 MB where all details are as long as sink makes them. A page of a
// million letters takes ClickHouse 150 ms (measured), however many rows it has, so they are not small.
const pageRows = 5000

const summaryColumns = "topic_epoch, kafka_partition, kafka_offset, toString(status), toString(reason), detail, " + typeSQL + ", received_at, loaded_at, length(payload)"

func (s *Summary) fields() []any {
	return []any{&s.Epoch, &s.Partition, &s.Offset, (*string)(&s.Status), (*string)(&s.Reason), &s.Detail, &s.Type, &s.ReceivedAt, &s.LoadedAt, &s.Bytes}
}

// Each hands the selection's summaries to take, in the order of positions.
func (t *Table) Each(ctx context.Context, s *Selection, take func(Summary) error) error {
	return t.pages(ctx, s, func(page []Summary) error {
		for _, one := range page {
			if err := take(one); err != nil {
				return err
			}
		}
		return nil
	})
}

// EachLetter hands the selection's letters to take, in the order of positions: a chunk of them is in memory.
func (t *Table) EachLetter(ctx context.Context, s *Selection, take func(*Letter) error) error {
	return t.chunks(ctx, s, func(chunk []*Letter) error {
		for _, l := range chunk {
			if err := take(l); err != nil {
				return err
			}
		}
		return nil
	})
}

// pages walks through a selection, partition by partition: each query then reads a range of the table's key. What take
// does to letters that it was given does not disturb the walk, which never looks back.
func (t *Table) pages(ctx context.Context, s *Selection, take func([]Summary) error) error {
	left := s.Letters()
	for _, e := range s.ends {
		for after := int64(-1); left > 0; {
			page, err := try(ctx, t, func(ctx context.Context) ([]Summary, error) {
				return t.page(ctx, s, e, after, min(left, pageRows))
			})
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			if err := take(page); err != nil {
				return err
			}
			left -= uint64(len(page))
			after = page[len(page)-1].Offset
		}
	}
	return nil
}

func (t *Table) page(ctx context.Context, s *Selection, e end, after int64, rows uint64) (page []Summary, err error) {
	w := s.filter.where()
	w.and("topic_epoch = ? AND kafka_partition = ? AND kafka_offset > ? AND kafka_offset <= ?", e.epoch, e.partition, after, e.offset)
	found, err := t.cfg.ClickHouse.Query(ctx, fmt.Sprintf("SELECT %s FROM %s FINAL WHERE %s ORDER BY topic_epoch, kafka_partition, kafka_offset LIMIT %d",
		summaryColumns, t.name("dead_letters"), w, rows), w.args...)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	defer found.Close()
	for found.Next() {
		var one Summary
		if err := found.Scan(one.fields()...); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		page = append(page, one)
	}
	return page, found.Err()
}

// chunks walks through a selection by whole letters, as many at a time as a chunk may hold.
func (t *Table) chunks(ctx context.Context, s *Selection, take func([]*Letter) error) error {
	return t.pages(ctx, s, func(page []Summary) error {
		for len(page) > 0 {
			n, bytes := 1, page[0].Bytes
			for n < len(page) && n < t.cfg.ChunkRows && bytes+page[n].Bytes <= uint64(t.cfg.ChunkBytes) {
				bytes += page[n].Bytes
				n++
			}
			chunk, err := try(ctx, t, func(ctx context.Context) ([]*Letter, error) { return t.letters(ctx, page[:n]) })
			if err != nil {
				return err
			}
			if err := take(chunk); err != nil {
				return err
			}
			page = page[n:]
		}
		return nil
	})
}

// letters reads some of one partition whole.
func (t *Table) letters(ctx context.Context, of []Summary) (letters []*Letter, err error) {
	offsets := make([]int64, len(of))
	for i, s := range of {
		offsets[i] = s.Offset
	}
	rows, err := t.cfg.ClickHouse.Query(ctx, "SELECT "+summaryColumns+", record_key, headers.name, headers.value, payload, version FROM "+t.name("dead_letters")+
		" FINAL WHERE topic_epoch = ? AND kafka_partition = ? AND kafka_offset IN (SELECT arrayJoin(CAST(?, 'Array(Int64)'))) ORDER BY kafka_offset",
		of[0].Epoch, of[0].Partition, offsets)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		l := &Letter{}
		var names, values []string
		if err := rows.Scan(append(l.fields(), &l.Key, &names, &values, &l.Payload, &l.version)...); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		for i := range names {
			l.Headers = append(l.Headers, schema.Header{Name: names[i], Value: []byte(values[i])})
		}
		letters = append(letters, l)
	}
	return letters, rows.Err()
}
