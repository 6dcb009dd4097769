package backfill

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
)

// storedColumns are what a row must be typed from, and keeps.
const storedColumns = "event_id, payload, _version, _partition, _offset, _received_at, _loaded_at"

// stored is one row as it lies in an event table.
type stored struct {
	eventID string
	payload []byte
	version uint64
	record  schema.Record
}

const (
	// streamTimeout bounds one query that streams a table. It must be given: clickhouse-go sets its read deadline, 5 minutes
	// by default, once for a whole result and not for each block of it. A day is a billion rows.
	streamTimeout = 24 * time.Hour

	// streamIdle ends a stream of which nothing has come for so long, not even ClickHouse's own progress, which it reports
	// ten times a second. It is longer than insertTimeout: while a chunk is inserted nobody reads.
	streamIdle = 2 * insertTimeout
)

// streamSettings bound what a stream costs. FINAL holds a block of every part it merges, payloads and all, and we hold four:
// so blocks are a sixteenth of their default. Two threads, since the insert is slower than what one of them reads.
var streamSettings = clickhouse.Settings{"max_threads": 2, "max_final_threads": 2, "max_block_size": 4096}

// stream runs one query over storedColumns and hands each row to take. The row's payload is take's to keep.
func (b *Backfill) stream(ctx context.Context, query string, args []any, take func(stored) error) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	idle := time.AfterFunc(streamIdle, cancel)
	defer idle.Stop()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(streamSettings), clickhouse.WithBlockBufferSize(1),
		clickhouse.WithProgress(func(*clickhouse.Progress) { idle.Reset(streamIdle) }))
	rows, err := b.cfg.ClickHouse.Query(ctx, query, args...)
	if err != nil {
		cancel()
		return err
	}
	defer rows.Close()
	defer cancel() // before Close, which reads the result to its end: all of it, if the query goes on
	for rows.Next() {
		var s stored
		r := &s.record
		if err := rows.Scan(&s.eventID, &s.payload, &s.version, &r.Partition, &r.Offset, &r.ReceivedAt, &r.LoadedAt); err != nil {
			return fmt.Errorf("read a row: %w", err)
		}
		if err := take(s); err != nil {
			return err
		}
	}
	return rows.Err()
}
