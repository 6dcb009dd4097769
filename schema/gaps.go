package schema

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Gap is a run of offsets that retention took before sink could read them: First and those after it, up to but not
// including Next. Gaps of one partition may overlap.
type Gap struct {
	Epoch        uint32    `ch:"topic_epoch"`
	Partition    int32     `ch:"kafka_partition"`
	First        int64     `ch:"first_offset"`
	Next         int64     `ch:"next_offset"`
	Detail       string    `ch:"detail"`     // how it was noticed, or why it was accepted
	NoticedAt    time.Time `ch:"noticed_at"` // UTC
	Acknowledged bool      `ch:"acknowledged"`
}

// RecordGap writes a gap. The same gap may be recorded again: an acknowledged one stays acknowledged.
func RecordGap(ctx context.Context, conn driver.Conn, database string, g Gap) error {
	status, version := "open", uint64(0)
	if g.Acknowledged {
		status, version = "acknowledged", 1
	}
	return insert(ctx, conn, database, "offset_gaps", []insertColumn{
		{"topic_epoch", []uint32{g.Epoch}},
		{"kafka_partition", []int32{g.Partition}},
		{"first_offset", []int64{g.First}},
		{"next_offset", []int64{g.Next}},
		{"detail", []string{g.Detail}},
		{"noticed_at", []time.Time{g.NoticedAt}},
		{"status", []string{status}},
		{"version", []uint64{version}},
	}, 1, "")
}

// Gaps are all that were recorded, in order of position. A database from before there were gaps has none.
func Gaps(ctx context.Context, conn driver.Conn, database string) (gaps []Gap, err error) {
	err = conn.Select(ctx, &gaps, fmt.Sprintf(`SELECT topic_epoch, kafka_partition, first_offset, next_offset, detail, noticed_at, status = 'acknowledged' AS acknowledged
FROM %s.offset_gaps FINAL ORDER BY topic_epoch, kafka_partition, first_offset, next_offset`, quote(database)))
	if err != nil && !isUnknownTable(err) {
		return nil, fmt.Errorf("read the gaps: %w", err)
	}
	return gaps, nil
}

// Range is the gap as `leadhouse verify --acknowledge` takes it and people read it: partition, first and last offset, and
// the epoch before them where it is not 0.
func (g Gap) Range() string {
	r := fmt.Sprintf("%d:%d-%d", g.Partition, g.First, g.Next-1)
	if g.Epoch > 0 {
		r = fmt.Sprintf("%d/%s", g.Epoch, r)
	}
	return r
}

// OpenGaps are the runs of offsets that were lost and that nobody has acknowledged, in order of position: recorded gaps
// that overlap or touch are one, and what acknowledged ones cover is left out, whichever way it was cut.
func OpenGaps(gaps []Gap) (open []Gap) {
	gaps = slices.Clone(gaps)
	slices.SortStableFunc(gaps, func(a, b Gap) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.First, b.First))
	})
	for _, g := range gaps {
		if g.Acknowledged {
			continue
		}
		for _, rest := range g.without(gaps) {
			if last := len(open) - 1; last >= 0 && open[last].sameLog(rest) && rest.First <= open[last].Next {
				open[last].Next = max(open[last].Next, rest.Next)
				continue
			}
			open = append(open, rest)
		}
	}
	return open
}

// without is what acknowledged gaps, which come in order, leave of a gap.
func (g Gap) without(gaps []Gap) (left []Gap) {
	for _, a := range gaps {
		if !a.Acknowledged || !a.sameLog(g) || a.Next <= g.First || a.First >= g.Next {
			continue
		}
		if a.First > g.First {
			before := g
			before.Next = a.First
			left = append(left, before)
		}
		g.First = a.Next
	}
	if g.First < g.Next {
		left = append(left, g)
	}
	return left
}

func (g Gap) sameLog(other Gap) bool { return g.Epoch == other.Epoch && g.Partition == other.Partition }

// EpochStart is where an epoch of the topic begins in a partition.
type EpochStart struct {
	Epoch     uint32 `ch:"topic_epoch"`
	Partition int32  `ch:"kafka_partition"`
	First     int64  `ch:"first_offset"`
}

// EpochStarts are those of all epochs that somebody has accepted, in order: the last is the topic's now. Of a topic that
// was never recreated there are none: it is epoch 0, from whatever offset its ledger begins with.
func EpochStarts(ctx context.Context, conn driver.Conn, database string) (starts []EpochStart, err error) {
	err = conn.Select(ctx, &starts, fmt.Sprintf(`SELECT topic_epoch, kafka_partition, first_offset
FROM %s.topic_epochs FINAL ORDER BY topic_epoch, kafka_partition`, quote(database)))
	if err != nil && !isUnknownTable(err) {
		return nil, fmt.Errorf("read the topic's epochs: %w", err)
	}
	return starts, nil
}

// RecordEpoch writes a new epoch with all its partitions, as one block.
func RecordEpoch(ctx context.Context, conn driver.Conn, database string, starts []EpochStart, detail string, at time.Time) error {
	var (
		epochs     []uint32
		partitions []int32
		firsts     []int64
		details    []string
		times      []time.Time
	)
	for _, s := range starts {
		epochs, partitions, firsts = append(epochs, s.Epoch), append(partitions, s.Partition), append(firsts, s.First)
		details, times = append(details, detail), append(times, at)
	}
	return insert(ctx, conn, database, "topic_epochs", []insertColumn{
		{"topic_epoch", epochs},
		{"kafka_partition", partitions},
		{"first_offset", firsts},
		{"detail", details},
		{"accepted_at", times},
	}, len(starts), "")
}

// isUnknownTable tells ClickHouse's UNKNOWN_TABLE.
func isUnknownTable(err error) bool {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	return ok && exception.Code == 60
}
