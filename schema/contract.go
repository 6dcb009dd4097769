package schema

// Signatures the other packages build against while the bodies are written; this file disappears with the last of them.

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// ---- the warehouse as it is ----

// Table is one event table as it is in ClickHouse now, with the catalog field behind each typed column.
type Table struct {
	Name     string // "lead_events"
	Entity   string // "lead"; "" for other_events
	Revision uint32 // the last revision that changed its columns: rows whose _schema is below want re-typing
}

// Warehouse is what a database holds, at one moment.
type Warehouse struct {
	Database string
	Revision uint32 // the newest revision: what rows typed with it carry in _schema
	Tables   map[string]*Table
}

// Load reads it from schema_changes and system.columns. A missing database or table is an error that says to run `leadhouse backfill`.
func Load(ctx context.Context, conn driver.Conn, database string) (*Warehouse, error) {
	panic("contract")
}

// TableFor is the table a type goes to: that of its entity, else other_events.
func (w *Warehouse) TableFor(eventType string) *Table { panic("contract") }

// ---- blocks: rows on their way into one table ----

// Record is where and when a delivery lies in Kafka.
type Record struct {
	Epoch      uint32 // topic epoch
	Partition  int32
	Offset     int64
	ReceivedAt time.Time // the Kafka record's time
	LoadedAt   time.Time // when this row is written
}

// EventBlock collects rows of one event table, column by column. It aliases the payloads given to Append until Reset.
type EventBlock struct{}

// NewEventBlock makes an empty block for a table of the warehouse.
func NewEventBlock(w *Warehouse, t *Table) *EventBlock { panic("contract") }

// Append types one event and adds its row. It cannot fail: what does not fit is NULL and named in _invalid_fields.
func (b *EventBlock) Append(e *Event, payload []byte, rec Record) { panic("contract") }

// DeliveryBlock collects rows of the ledger, `deliveries`.
type DeliveryBlock struct{}

// Outcome of a Kafka record in the ledger.
type Outcome int8

// The outcomes.
const (
	Inserted     Outcome = 1
	DeadLettered Outcome = 2
	Erased       Outcome = 3
)

// NewDeliveryBlock makes an empty one.
func NewDeliveryBlock(database string) *DeliveryBlock { panic("contract") }

// Append adds one record's entry. eventID is "" for a dead letter.
func (b *DeliveryBlock) Append(eventID string, body []byte, rec Record, o Outcome) { panic("contract") }

// DeadLetterBlock collects rows of dead_letters.
type DeadLetterBlock struct{}

// NewDeadLetterBlock makes an empty one.
func NewDeadLetterBlock(database string) *DeadLetterBlock { panic("contract") }

// Header is one Kafka record header.
type Header struct {
	Name  string
	Value []byte
}

// Append adds one dead letter. detail is Refusal.Detail or ClickHouse's message.
func (b *DeadLetterBlock) Append(key, value []byte, headers []Header, reason Reason, detail string, rec Record) {
	panic("contract")
}

// Every block (EventBlock, DeliveryBlock, DeadLetterBlock) also has:
//
//	Table() string
//	Rows() int
//	Reset()                                                     // empties it, keeps its memory
//	Insert(ctx, conn driver.Conn, token string) error           // one INSERT, one block; async_insert=0; token = insert_deduplication_token; may be called again with the same rows after an error
