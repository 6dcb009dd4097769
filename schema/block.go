package schema

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Record is where and when a delivery lies in Kafka.
type Record struct {
	Epoch      uint32    // topic epoch
	Partition  int32     // Kafka partition
	Offset     int64     // Kafka offset
	ReceivedAt time.Time // the record's time: when ingest took it
	LoadedAt   time.Time // when this row is written
}

// The version of a row packs the revision it was typed with and the time ingest took the delivery: a typing with newer
// columns beats an older one of the same delivery, whenever either is written, and the sink's clock has no say.
const (
	versionTimeBits = 44                     // milliseconds since the epoch: until the year 2527
	maxVersionTime  = 1<<versionTimeBits - 1 // ms
	maxRevision     = 1<<20 - 1              // the 20 bits left: a schema change every minute for two years
	rowOverhead     = 160                    // bytes a row costs beside its payload, about: 10 fixed columns and 6 pointers
)

func rowVersion(revision uint32, received time.Time) uint64 {
	ms := min(max(received.UnixMilli(), 0), maxVersionTime)
	return uint64(revision)<<versionTimeBits | uint64(ms)
}

// target is a column as the extraction sees it.
type target struct {
	Column
	cells cells
	field string // its name in _invalid_fields
}

// node is a key of data, or below it, that columns want.
type node struct {
	targets  []*target
	children map[string]*node
}

// EventBlock collects rows of one event table, column by column, typed with the columns the table had when the Warehouse
// was loaded. It aliases the payloads given to Append until Reset. Not for concurrent use.
type EventBlock struct {
	database, table string
	revision        uint32
	root            *node // of all columns
	kept            *node // of those that outlive an erasure
	targets         []*target

	eventID, eventType, payload      []string
	occurredAt, receivedAt, loadedAt []int64 // ms since the epoch, as clickhouse-go takes them: a third of a time.Time, and no pointer
	schema                           []uint32
	version                          []uint64
	partition                        []int32
	offset                           []int64
	invalid                          [][]string
	anyInvalid                       bool
	bytes                            int
	rowInvalid                       []string // of the row under way
}

// NewEventBlock makes an empty block for a table of the warehouse.
func NewEventBlock(w *Warehouse, t *Table) *EventBlock {
	b := &EventBlock{database: w.Database, table: t.Name, revision: w.Revision, root: &node{}, kept: &node{}}
	for _, c := range t.Columns {
		to := &target{c, newCells(c.Kind), c.field()}
		b.targets = append(b.targets, to)
		b.root.want(to)
		if c.OutlivesErasure() {
			b.kept.want(to)
		}
	}
	return b
}

// want adds a column below the node.
func (n *node) want(to *target) {
	for _, key := range to.Path {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		if n.children[key] == nil {
			n.children[key] = &node{}
		}
		n = n.children[key]
	}
	n.targets = append(n.targets, to)
}

// Table is the table's name.
func (b *EventBlock) Table() string { return b.table }

// Rows is how many rows the block holds.
func (b *EventBlock) Rows() int { return len(b.eventID) }

// Bytes is about what the rows hold in memory.
func (b *EventBlock) Bytes() int { return b.bytes }

// Append types one event and adds its row. It cannot fail: **what does not fit its column becomes NULL, is named in
// _invalid_fields and stays in payload.**
func (b *EventBlock) Append(e *Event, payload []byte, rec Record) {
	b.rowInvalid = nil
	b.typed(b.root, e)
	b.add(e, payload, rec)
}

// AppendErased adds the row of an event that a tombstone covers: **no payload, and of the typed columns only those that
// outlive an erasure.** Its version is the ordinary row's, so that either replaces the other; see Tombstones.
func (b *EventBlock) AppendErased(e *Event, rec Record) {
	b.typed(b.kept, e)
	b.rowInvalid = nil
	b.add(e, nil, rec)
}

// typed fills the columns of the row under way.
func (b *EventBlock) typed(columns *node, e *Event) {
	for _, f := range e.fields {
		if n := columns.children[f.key]; n != nil && f.keyOK {
			b.set(n, b.Rows(), e.Type, f.value)
		}
	}
}

// add adds the row with what is not typed.
func (b *EventBlock) add(e *Event, payload []byte, rec Record) {
	b.eventID = append(b.eventID, e.ID)
	b.eventType = append(b.eventType, e.Type)
	b.occurredAt = append(b.occurredAt, e.OccurredAt.UnixMilli())
	b.payload = append(b.payload, alias(payload))
	b.receivedAt = append(b.receivedAt, rec.ReceivedAt.UnixMilli())
	b.loadedAt = append(b.loadedAt, rec.LoadedAt.UnixMilli())
	b.schema = append(b.schema, b.revision)
	b.version = append(b.version, rowVersion(b.revision, rec.ReceivedAt))
	b.partition = append(b.partition, rec.Partition)
	b.offset = append(b.offset, rec.Offset)
	b.invalid = append(b.invalid, b.rowInvalid)
	b.anyInvalid = b.anyInvalid || b.rowInvalid != nil
	b.bytes += len(payload) + rowOverhead
}

// set gives a value to every column that wants it, and looks for the columns below it.
func (b *EventBlock) set(n *node, row int, eventType string, v span) {
	for _, to := range n.targets {
		if to.EventType != "" && to.EventType != eventType {
			continue
		}
		switch {
		case to.cells.has(row): // the key stands there twice: nobody can tell which was meant
			to.cells.clear(row)
			b.refuse(to)
		case v.kind() == 'n': // null is NULL, and not invalid
			to.cells.clear(row)
		case v.deep || !to.cells.set(row, v):
			to.cells.clear(row)
			b.refuse(to)
		}
	}
	if n.children == nil || v.kind() != '{' {
		return
	}
	s := scanner{b: v.raw}
	_ = s.object(func(key span) error { // the scanner has been over it already: it cannot fail
		value, err := s.value()
		if err != nil {
			return err
		}
		if name, ok := unquote(key); ok {
			if child := n.children[name]; child != nil {
				b.set(child, row, eventType, value)
			}
		}
		return nil
	})
}

// refuse names the field in _invalid_fields, once.
func (b *EventBlock) refuse(to *target) {
	for _, f := range b.rowInvalid {
		if f == to.field {
			return
		}
	}
	b.rowInvalid = append(b.rowInvalid, to.field)
}

// Reset empties the block and keeps its memory.
func (b *EventBlock) Reset() {
	clear(b.eventID)
	clear(b.eventType)
	clear(b.payload)
	clear(b.invalid)
	b.eventID, b.eventType, b.payload, b.invalid = b.eventID[:0], b.eventType[:0], b.payload[:0], b.invalid[:0]
	b.occurredAt, b.receivedAt, b.loadedAt = b.occurredAt[:0], b.receivedAt[:0], b.loadedAt[:0]
	b.schema, b.version = b.schema[:0], b.version[:0]
	b.partition, b.offset = b.partition[:0], b.offset[:0]
	b.bytes, b.anyInvalid = 0, false
	for _, to := range b.targets {
		to.cells.reset()
	}
}

// Insert writes all rows as one block of one INSERT and returns when ClickHouse has them. token is the
// insert_deduplication_token; with "" the block is written in any case, even if one with the same bytes has been. After
// an error the rows are still there: the same call may be made again.
func (b *EventBlock) Insert(ctx context.Context, conn driver.Conn, token string) error {
	rows := b.Rows()
	columns := []insertColumn{
		{"event_id", b.eventID},
		{"event_type", b.eventType},
		{"occurred_at", b.occurredAt},
		{"payload", b.payload},
		{"_received_at", b.receivedAt},
		{"_loaded_at", b.loadedAt},
		{"_schema", b.schema},
		{"_version", b.version},
		{"_partition", b.partition},
		{"_offset", b.offset},
	}
	if b.anyInvalid {
		columns = append(columns, insertColumn{"_invalid_fields", b.invalid})
	}
	for _, to := range b.targets {
		if to.cells.used() { // the others are left to their default, NULL or empty
			columns = append(columns, insertColumn{to.Name, to.cells})
		}
	}
	return insert(ctx, conn, b.database, b.table, columns, rows, token)
}
