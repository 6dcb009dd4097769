package backfill

import (
	"context"
	"reflect"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// insertTimeout bounds one INSERT of one chunk, or one DELETE: after it the outcome is unknown, and the sweep is begun again.
const insertTimeout = 5 * time.Minute

// chunk is what one INSERT of one block writes into a table.
type chunk struct {
	warehouse *schema.Warehouse
	from, to  *schema.Table
	erased    *schema.Tombstones // that its rows were typed with
	decoder   schema.Decoder
	block     *schema.EventBlock
	rows      []stored
	bytes     int      // of their payloads
	odd       []string // event IDs of rows to be carried as they are
	blank     []string // of these, the ones that name an erased lead
	covered   uint64   // rows that a tombstone has blanked
}

func newChunk(w *schema.Warehouse, from, to *schema.Table) *chunk {
	return &chunk{warehouse: w, from: from, to: to, erased: w.Erased, block: schema.NewEventBlock(w, to)}
}

// add takes a row, and types it.
func (c *chunk) add(s stored) {
	c.rows = append(c.rows, s)
	c.bytes += len(s.payload)
	c.typed(s)
}

// typed types a row. What its payload says must be about the row: an envelope with another ID would make another row, and
// this one would stay stale for ever; one of another table's type would be typed with the wrong columns.
func (c *chunk) typed(s stored) {
	e, err := c.decoder.Decode(s.payload)
	if err != nil || e.ID != s.eventID || c.to.Entity != "" && c.warehouse.TableFor(e.Type) != c.to {
		c.odd = append(c.odd, s.eventID)
		if c.erased.CoversLetter(&c.decoder, nil, s.payload) {
			c.blank = append(c.blank, s.eventID)
			c.covered++
		}
		return
	}
	if c.erased.Covers(e) {
		c.block.AppendErased(e, s.record)
		c.covered++
		return
	}
	c.block.Append(e, s.payload, s.record)
}

func (c *chunk) full(rows, bytes int) bool {
	return len(c.rows) >= rows || max(c.bytes, c.block.Bytes()) >= bytes
}

// write inserts the rows. There is no insert_deduplication_token: a chunk written twice collapses by its versions, while
// a token for each would push the sinks' own out of the table's window, and one made of the rows would make ClickHouse
// drop them, unsaid, where an operator has restored an older part since.
func (c *chunk) write(ctx context.Context, b *Backfill) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	if err := c.heed(ctx, b); err != nil {
		return err
	}
	if err := c.block.Insert(ctx, b.cfg.ClickHouse, ""); err != nil {
		return err
	}
	return c.warehouse.Carry(ctx, b.cfg.ClickHouse, c.from, c.to, c.odd, c.blank)
}

// heed reads the tombstones, **after the rows were read and right before they are written**: a lead that was erased between
// the two would have its data written back. Where one has come since the rows were typed, they are typed again. What comes
// between this and the end of the insert is found by erase, which waits and then looks again.
func (c *chunk) heed(ctx context.Context, b *Backfill) error {
	now, err := schema.LoadTombstones(ctx, b.cfg.ClickHouse, b.cfg.Database)
	if err != nil || reflect.DeepEqual(now, c.erased) {
		return err
	}
	c.erased = now
	c.clear()
	for _, s := range c.rows {
		c.typed(s)
	}
	return nil
}

func (c *chunk) reset() {
	c.clear()
	clear(c.rows)
	c.rows, c.bytes = c.rows[:0], 0
}

// clear forgets what was typed.
func (c *chunk) clear() {
	c.block.Reset()
	clear(c.odd)
	clear(c.blank)
	c.odd, c.blank, c.covered = c.odd[:0], c.blank[:0], 0
}
