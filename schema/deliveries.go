package schema

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cespare/xxhash/v2"
)

// Outcome is what became of a Kafka record.
type Outcome string

// The outcomes, as deliveries.outcome has them.
const (
	Inserted     Outcome = "inserted"      // its event table holds it, or a winning row of the same event ID
	DeadLettered Outcome = "dead_lettered" // dead_letters holds it
	Erased       Outcome = "erased"        // its event's person was erased before it came
)

// DeliveryBlock collects rows of deliveries, the ledger.
type DeliveryBlock struct {
	database             string
	epoch                []uint32
	partition            []int32
	offset               []int64
	eventIDHash          []byte   // hashSize a row, in one piece: 100,000 small ones would be the collector's work
	hashes               [][]byte // eventIDHash by rows, while Insert runs
	bodyHash             []uint64
	receivedAt, loadedAt []int64 // ms since the epoch
	outcome              []string
	replays              bool // the rows are a replay's
}

// NewDeliveryBlock makes an empty one.
func NewDeliveryBlock(database string) *DeliveryBlock { return &DeliveryBlock{database: database} }

// ReplayVersion is deliveries.version of an entry that a replay of a dead letter has written. It beats what sink writes, 0,
// also when sink fetches the record again later; and it is the same for all replays, which say the same.
const ReplayVersion = 1

// NewReplayBlock makes an empty one whose entries win over sink's.
func NewReplayBlock(database string) *DeliveryBlock {
	return &DeliveryBlock{database: database, replays: true}
}

// Table is the table's name.
func (b *DeliveryBlock) Table() string { return "deliveries" }

// Rows is how many rows the block holds.
func (b *DeliveryBlock) Rows() int { return len(b.offset) }

// hashSize is of an event ID's hash, left(SHA256(event_id), 16) in SQL, or zeros for a record without one. 128 bits, because
// "how many distinct events" must still be exact at 100 billion, where 64 bits would collide hundreds of times.
const hashSize = 16

// Append adds one record's entry. eventID is "" for a dead letter. The body's hash (xxHash64 in SQL) tells two contents
// under one event ID apart; it is never compared across IDs, so 64 bits do.
func (b *DeliveryBlock) Append(eventID string, body []byte, rec Record, o Outcome) {
	b.epoch = append(b.epoch, rec.Epoch)
	b.partition = append(b.partition, rec.Partition)
	b.offset = append(b.offset, rec.Offset)
	var hash [sha256.Size]byte
	if eventID != "" {
		hash = sha256.Sum256([]byte(eventID))
	}
	b.eventIDHash = append(b.eventIDHash, hash[:hashSize]...)
	b.bodyHash = append(b.bodyHash, xxhash.Sum64(body))
	b.receivedAt = append(b.receivedAt, rec.ReceivedAt.UnixMilli())
	b.loadedAt = append(b.loadedAt, rec.LoadedAt.UnixMilli())
	b.outcome = append(b.outcome, string(o))
}

// Reset empties the block and keeps its memory.
func (b *DeliveryBlock) Reset() {
	b.epoch, b.partition, b.offset = b.epoch[:0], b.partition[:0], b.offset[:0]
	b.eventIDHash, b.bodyHash = b.eventIDHash[:0], b.bodyHash[:0]
	b.receivedAt, b.loadedAt, b.outcome = b.receivedAt[:0], b.loadedAt[:0], b.outcome[:0]
}

// Insert is as EventBlock.Insert.
func (b *DeliveryBlock) Insert(ctx context.Context, conn driver.Conn, token string) error {
	b.hashes = b.hashes[:0]
	for i := 0; i < len(b.eventIDHash); i += hashSize {
		b.hashes = append(b.hashes, b.eventIDHash[i:i+hashSize])
	}
	columns := []insertColumn{
		{"topic_epoch", b.epoch},
		{"kafka_partition", b.partition},
		{"kafka_offset", b.offset},
		{"event_id_hash", b.hashes},
		{"body_hash", b.bodyHash},
		{"received_at", b.receivedAt},
		{"loaded_at", b.loadedAt},
		{"outcome", b.outcome},
	}
	if b.replays { // else it is left to its default, 0
		columns = append(columns, insertColumn{"version", slices.Repeat([]uint64{ReplayVersion}, b.Rows())})
	}
	return insert(ctx, conn, b.database, b.Table(), columns, b.Rows(), token)
}

// Header is one Kafka record header.
type Header struct {
	Name  string
	Value []byte
}

// Reasons are all that a dead letter may have.
func Reasons() []Reason {
	return []Reason{InvalidUTF8, InvalidJSON, DuplicateKey, BadEnvelope, Rejected}
}

// Status is what has been done about a dead letter.
type Status string

// The statuses, as dead_letters.status has them.
const (
	Open      Status = "open"      // nothing yet, or nothing that helped
	Discarded Status = "discarded" // somebody has decided that nothing will be; its row and bytes stay
	Replayed  Status = "replayed"  // its event is in its table, and the ledger says inserted
)

// statusBits of dead_letters.version, the low ones, count the changes; those above are the status's rank.
const statusBits = 32

// rank decides between two that change a dead letter at once, whoever is last: **the one that has put the event into its
// table wins**, because that, and the ledger's entry about it, cannot be taken back by a status.
func (s Status) rank() uint64 {
	switch s {
	case Replayed:
		return 2
	case Discarded:
		return 1
	default:
		return 0
	}
}

// Version is dead_letters.version of a row with this status that follows one with the version before. What sink writes, 0,
// it beats also when sink fetches the record again later.
func (s Status) Version(before uint64) uint64 {
	changes := before & (1<<statusBits - 1)
	return s.rank()<<statusBits | (changes + 1)
}

// DeadLetterBlock collects rows of dead_letters. Dead letters are few: it keeps rows and not columns.
type DeadLetterBlock struct {
	database                   string
	epoch                      []uint32
	partition                  []int32
	offset                     []int64
	reason, detail, key, value []string
	headers                    [][]map[string]any
	receivedAt, loadedAt       []time.Time
	status                     []string
	version                    []uint64
}

// NewDeadLetterBlock makes an empty one.
func NewDeadLetterBlock(database string) *DeadLetterBlock {
	return &DeadLetterBlock{database: database}
}

// Table is the table's name.
func (b *DeadLetterBlock) Table() string { return "dead_letters" }

// Rows is how many rows the block holds.
func (b *DeadLetterBlock) Rows() int { return len(b.offset) }

// Append adds one dead letter with its bytes. detail is Refusal.Detail, or ClickHouse's message.
func (b *DeadLetterBlock) Append(key, payload []byte, headers []Header, reason Reason, detail string, rec Record) {
	b.epoch = append(b.epoch, rec.Epoch)
	b.partition = append(b.partition, rec.Partition)
	b.offset = append(b.offset, rec.Offset)
	b.reason = append(b.reason, string(reason))
	b.detail = append(b.detail, detail)
	b.key = append(b.key, string(key))
	b.value = append(b.value, alias(payload))
	tuples := make([]map[string]any, len(headers))
	for i, h := range headers {
		tuples[i] = map[string]any{"name": h.Name, "value": string(h.Value)}
	}
	b.headers = append(b.headers, tuples)
	b.receivedAt = append(b.receivedAt, rec.ReceivedAt)
	b.loadedAt = append(b.loadedAt, rec.LoadedAt)
	b.status = append(b.status, string(Open))
	b.version = append(b.version, 0)
}

// Become says of the dead letter appended last what has been done about it. before is the version it was read with.
func (b *DeadLetterBlock) Become(s Status, before uint64) {
	last := b.Rows() - 1
	b.status[last], b.version[last] = string(s), s.Version(before)
}

// Reset empties the block.
func (b *DeadLetterBlock) Reset() { *b = DeadLetterBlock{database: b.database} }

// Insert is as EventBlock.Insert.
func (b *DeadLetterBlock) Insert(ctx context.Context, conn driver.Conn, token string) error {
	return insert(ctx, conn, b.database, b.Table(), []insertColumn{
		{"topic_epoch", b.epoch},
		{"kafka_partition", b.partition},
		{"kafka_offset", b.offset},
		{"reason", b.reason},
		{"detail", b.detail},
		{"record_key", b.key},
		{"payload", b.value},
		{"headers", b.headers},
		{"received_at", b.receivedAt},
		{"loaded_at", b.loadedAt},
		{"status", b.status},
		{"version", b.version},
	}, b.Rows(), token)
}
