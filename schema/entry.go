package schema

import (
	"context"
	"fmt"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cespare/xxhash/v2"
)

// Entry is what the ledger has at one position.
type Entry struct {
	Offset int64
	bodies []uint64 // more than one only where two records were entered at one position
}

// Is says whether the ledger's record may be one with this body.
func (e Entry) Is(body []byte) bool { return slices.Contains(e.bodies, xxhash.Sum64(body)) }

// LastEntry is the ledger's last one below an offset, false if there is none. It reads the end of the key's range and no
// more, however long the ledger is: 49,152 rows of 5 million, where WITH TIES or max read all of the partition's. So what has
// been entered more than once, and not been merged yet, is looked for in some more rows.
func LastEntry(ctx context.Context, conn driver.Conn, database string, epoch uint32, partition int32, below int64) (e Entry, found bool, err error) {
	var rows []struct {
		Offset   int64  `ch:"kafka_offset"`
		BodyHash uint64 `ch:"body_hash"`
	}
	err = conn.Select(ctx, &rows, fmt.Sprintf(`SELECT kafka_offset, body_hash FROM %s.deliveries
WHERE topic_epoch = ? AND kafka_partition = ? AND kafka_offset < ?
ORDER BY kafka_offset DESC LIMIT 100`, quote(database)), epoch, partition, below)
	if err != nil {
		return e, false, fmt.Errorf("read the ledger: %w", err)
	}
	for _, r := range rows {
		if r.Offset == rows[0].Offset {
			e.Offset, e.bodies = r.Offset, append(e.bodies, r.BodyHash)
		}
	}
	return e, len(rows) > 0, nil
}

// HasEntries says whether the ledger has any of an epoch.
func HasEntries(ctx context.Context, conn driver.Conn, database string, epoch uint32) (bool, error) {
	var n uint64
	err := conn.QueryRow(ctx, fmt.Sprintf(`SELECT count() FROM (SELECT 1 FROM %s.deliveries WHERE topic_epoch = ? LIMIT 1)`, quote(database)), epoch).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read the ledger: %w", err)
	}
	return n > 0, nil
}
