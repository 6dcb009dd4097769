package deadletters

import (
	"context"
	"fmt"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// outcomes reads what the ledger says of letters of one partition. One that it does not know is absent: its sink was
// killed before the ledger, and will read the record again.
func (t *Table) outcomes(ctx context.Context, letters []*Letter) (map[Position]schema.Outcome, error) {
	found := map[Position]schema.Outcome{}
	if len(letters) == 0 {
		return found, nil
	}
	at := letters[0].Position
	rows, err := t.cfg.ClickHouse.Query(ctx, "SELECT kafka_offset, toString(outcome) FROM "+t.name("deliveries")+
		" FINAL WHERE topic_epoch = ? AND kafka_partition = ? AND kafka_offset IN (SELECT arrayJoin(CAST(?, 'Array(Int64)')))",
		at.Epoch, at.Partition, offsets(letters))
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var outcome string
		if err := rows.Scan(&at.Offset, &outcome); err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		found[at] = schema.Outcome(outcome)
	}
	return found, rows.Err()
}

func offsets(letters []*Letter) []int64 {
	all := make([]int64, len(letters))
	for i, l := range letters {
		all[i] = l.Offset
	}
	return all
}

// settle makes letters whose record the ledger calls inserted or erased replayed: a sink has inserted it since, or a replay
// was killed before the status. First the ledger's entry is made to win for good, then the status follows it.
func (t *Table) settle(ctx context.Context, letters []*Letter) error {
	if len(letters) == 0 {
		return nil
	}
	at := letters[0].Position
	const columns = "topic_epoch, kafka_partition, kafka_offset, event_id_hash, body_hash, received_at, loaded_at, outcome"
	err := t.write(ctx, func(ctx context.Context) error {
		return t.cfg.ClickHouse.Exec(ctx, fmt.Sprintf(`INSERT INTO %s (%s, version) SELECT %s, %d FROM %s FINAL
WHERE topic_epoch = ? AND kafka_partition = ? AND kafka_offset IN (SELECT arrayJoin(CAST(?, 'Array(Int64)'))) AND outcome IN ('inserted', 'erased') AND version < %d`,
			t.name("deliveries"), columns, columns, schema.ReplayVersion, t.name("deliveries"), schema.ReplayVersion),
			at.Epoch, at.Partition, offsets(letters))
	})
	if err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return t.become(ctx, schema.Replayed, letters)
}

// become writes letters again with a status. **Each attempt reads the tombstones first**: the bytes of a letter that was
// read before an erasure must not be written back after it.
func (t *Table) become(ctx context.Context, status schema.Status, letters []*Letter) error {
	if len(letters) == 0 {
		return nil
	}
	err := t.write(ctx, func(ctx context.Context) error {
		stones, err := schema.LoadTombstones(ctx, t.cfg.ClickHouse, t.cfg.Database)
		if err != nil {
			return err
		}
		var decoder schema.Decoder
		block := schema.NewDeadLetterBlock(t.cfg.Database)
		for _, l := range letters {
			if l.Erased() || stones.CoversLetter(&decoder, l.Key, l.Payload) {
				block.AppendErased(l.Key, l.Headers, l.Reason, l.record(l.LoadedAt))
			} else {
				block.Append(l.Key, l.Payload, l.Headers, l.Reason, l.Detail, l.record(l.LoadedAt))
			}
			block.Become(status, l.version)
		}
		return block.Insert(ctx, t.cfg.ClickHouse, "")
	})
	if err != nil {
		return fmt.Errorf("write dead_letters: %w", err)
	}
	return nil
}

// enter writes the ledger's entries of letters whose event is in its table.
func (t *Table) enter(ctx context.Context, letters []*pending) error {
	block, now := schema.NewReplayBlock(t.cfg.Database), time.Now()
	for _, l := range letters {
		outcome := schema.Inserted
		if l.erased {
			outcome = schema.Erased
		}
		block.Append(l.eventID, l.Payload, l.record(now), outcome)
	}
	if err := t.write(ctx, func(ctx context.Context) error { return block.Insert(ctx, t.cfg.ClickHouse, "") }); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}
