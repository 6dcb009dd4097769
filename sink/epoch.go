package sink

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/schema"
)

// epoch is one of the topic's lives: offsets start again when a topic is recreated, so every entry in the ledger and every
// dead letter names the epoch beside its position. Somebody accepts a new one while the group has no members; so a
// generation, which reads it after joining, is of one epoch from its beginning to its end.
type epoch struct {
	number uint32
	starts map[int32]int64 // by partition, where it begins; empty for epoch 0
}

// readEpoch reads the newest.
func readEpoch(ctx context.Context, conn driver.Conn, database string) (now epoch, err error) {
	starts, err := schema.EpochStarts(ctx, conn, database)
	if err != nil {
		return epoch{}, err
	}
	for _, s := range starts { // in order
		if s.Epoch != now.number {
			now = epoch{number: s.Epoch}
		}
		if now.starts == nil {
			now.starts = map[int32]int64{}
		}
		now.starts[s.Partition] = s.First
	}
	return now, nil
}

// awaitEpoch reads the newest epoch, for as long as it takes; false once ctx has ended.
func (s *Sink) awaitEpoch(ctx context.Context) (now epoch, ok bool) {
	const part = "epoch"
	defer s.health.drop(part)
	never := func(error) bool { return false }
	_ = s.await(ctx, part, never, func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, s.schemas.timeout)
		defer cancel()
		now, err = readEpoch(ctx, s.cfg.ClickHouse, s.cfg.Database)
		return err
	})
	return now, ctx.Err() == nil
}
