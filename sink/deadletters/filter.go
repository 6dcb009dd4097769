package deadletters

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// Position is where a record lies in Kafka.
type Position struct {
	Epoch     uint32 // of the topic; see schema.EpochStart
	Partition int32
	Offset    int64
}

// String is "3:42", and "1/3:42" in an epoch other than 0.
func (p Position) String() string {
	text := fmt.Sprintf("%d:%d", p.Partition, p.Offset)
	if p.Epoch > 0 {
		text = fmt.Sprintf("%d/%s", p.Epoch, text)
	}
	return text
}

// Place is a Position, in one epoch or in any.
type Place struct {
	Position
	AnyEpoch bool // Epoch is not meant
}

// ParsePlace reads [EPOCH/]PARTITION:OFFSET. Without an epoch it is in any.
func ParsePlace(text string) (Place, error) {
	p := Place{AnyEpoch: true}
	rest := text
	if epoch, after, ok := strings.Cut(text, "/"); ok {
		n, err := strconv.ParseUint(epoch, 10, 32)
		if err != nil {
			return Place{}, fmt.Errorf("%q is not [EPOCH/]PARTITION:OFFSET", text)
		}
		p.Epoch, p.AnyEpoch, rest = uint32(n), false, after
	}
	partition, offset, ok := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(partition, 10, 31)
	m, err2 := strconv.ParseUint(offset, 10, 63)
	if err = cmp.Or(err, err2); !ok || err != nil {
		return Place{}, fmt.Errorf("%q is not [EPOCH/]PARTITION:OFFSET", text)
	}
	p.Partition, p.Offset = int32(n), int64(m)
	return p, nil
}

// Filter says which dead letters are meant: those that every field which is set applies to. The zero Filter means all.
type Filter struct {
	Statuses     []schema.Status
	Reasons      []schema.Reason
	Types        []string  // event types, where the record still shows one; see typeSQL
	Since, Until time.Time // received at Since or later, and before Until; to the millisecond
	Partitions   []int32
	Places       []Place
	Limit        int // at most so many, in the order of positions; 0 is no limit
}

// typeSQL is what still shows of a record's event type: the header that ingest wrote, else the envelope's member, else, in
// a body that is no JSON, the first text that looks like one. Empty where nothing does.
const typeSQL = `coalesce(
	nullIf(arrayFirst((v, n) -> n = 'event-type', headers.value, headers.name), ''),
	nullIf(JSONExtractString(payload, 'type'), ''),
	extract(payload, '"type"[ \t\r\n]*:[ \t\r\n]*"([!#-\[\\]-~]{1,128})"'))`

// where is a condition with its bound values. **Nothing of a Filter stands in the SQL itself.**
type where struct {
	sql  []string
	args []any
}

func (w *where) and(sql string, args ...any) {
	w.sql = append(w.sql, sql)
	w.args = append(w.args, args...)
}

func (w *where) String() string {
	if len(w.sql) == 0 {
		return "true"
	}
	return strings.Join(w.sql, " AND ")
}

func (f Filter) where() *where {
	w := &where{}
	if len(f.Statuses) > 0 {
		w.and("has(?, toString(status))", texts(f.Statuses))
	}
	if len(f.Reasons) > 0 {
		w.and("has(?, toString(reason))", texts(f.Reasons))
	}
	if len(f.Types) > 0 {
		w.and("has(?, "+typeSQL+")", f.Types)
	}
	if !f.Since.IsZero() {
		w.and("received_at >= fromUnixTimestamp64Milli(toInt64(?))", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		w.and("received_at < fromUnixTimestamp64Milli(toInt64(?))", f.Until.UnixMilli())
	}
	if len(f.Partitions) > 0 {
		w.and("has(CAST(?, 'Array(Int32)'), kafka_partition)", f.Partitions)
	}
	if len(f.Places) > 0 {
		var anys []bool
		var epochs []uint32
		var partitions []int32
		var offsets []int64
		for _, p := range f.Places {
			anys, epochs = append(anys, p.AnyEpoch), append(epochs, p.Epoch)
			partitions, offsets = append(partitions, p.Partition), append(offsets, p.Offset)
		}
		w.and("arrayExists((any, e, p, o) -> p = kafka_partition AND o = kafka_offset AND (any OR e = topic_epoch), ?, ?, ?, ?)",
			anys, epochs, partitions, offsets)
	}
	return w
}

func texts[T ~string](words []T) []string {
	plain := make([]string, len(words))
	for i, w := range words {
		plain[i] = string(w)
	}
	return plain
}
