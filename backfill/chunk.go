package backfill

import (
	"context"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// insertTimeout bounds one INSERT of one chunk, or one DELETE: after it the outcome is unknown, and the sweep is begun again.
const insertTimeout = 5 * time.Minute

// chunk is what one INSERT of one block writes into a table.
type chunk struct {
	warehouse *schema.Warehouse
	from, to  *schema.Table
	decoder   schema.Decoder
	block     *schema.EventBlock
	odd       []string // event IDs of rows to be carried as they are
	rows      int
}

func newChunk(w *schema.Warehouse, from, to *schema.Table) *chunk {
	return &chunk{warehouse: w, from: from, to: to, block: schema.NewEventBlock(w, to)}
}

// add types a row. What its payload says must be about the row: an envelope with another ID would make another row, and
// this one would stay stale for ever; one of another table's type would be typed with the wrong columns.
func (c *chunk) add(s stored) {
	c.rows++
	e, err := c.decoder.Decode(s.payload)
	if err != nil || e.ID != s.eventID || c.to.Entity != "" && c.warehouse.TableFor(e.Type) != c.to {
		c.odd = append(c.odd, s.eventID)
		return
	}
	c.block.Append(e, s.payload, s.record)
}

func (c *chunk) full(rows, bytes int) bool { return c.rows >= rows || c.block.Bytes() >= bytes }

// write inserts the rows. There is no insert_deduplication_token: a chunk written twice collapses by its versions, while
// a token for each would push the sinks' own out of the table's window, and one made of the rows would make ClickHouse
// drop them, unsaid, where an operator has restored an older part since.
func (c *chunk) write(ctx context.Context, b *Backfill) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	if err := c.block.Insert(ctx, b.cfg.ClickHouse, ""); err != nil {
		return err
	}
	return c.warehouse.Carry(ctx, b.cfg.ClickHouse, c.from, c.to, c.odd)
}

func (c *chunk) reset() {
	c.block.Reset()
	clear(c.odd)
	c.odd, c.rows = c.odd[:0], 0
}
