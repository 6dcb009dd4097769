package schema

import (
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"
)

// cells is one typed column of a block under construction.
type cells interface {
	// set gives row a value; the rows before it that had none become NULL. false: it does not fit, row is NULL.
	set(row int, v span) bool
	// clear takes row's value back.
	clear(row int)
	// has reports whether row has been set or cleared.
	has(row int) bool
	// used reports whether any row holds a value: a column without one is left out of the INSERT.
	used() bool
	// send appends all rows to a column of a batch.
	send(to driver.BatchColumn, rows int) error
	reset()
}

func newCells(k Kind) cells {
	switch k {
	case Time:
		return &nullable[time.Time]{parse: parseTime}
	case Number:
		return &nullable[decimal.Decimal]{parse: parseNumber}
	case Bool:
		return &nullable[bool]{parse: parseBool}
	case Array:
		return &plain[[]string]{parse: parseArray}
	case Object:
		return &plain[members]{parse: parseObject}
	case Mixed:
		return &nullable[string]{parse: parseMixed}
	case Text:
	}
	return &nullable[string]{parse: parseText}
}

// arenaChunk values are allocated at once: a pointer for each row is what clickhouse-go takes for Nullable. (It also takes
// []sql.NullString, but writes an empty text for every NULL of it, and panics on a nil *sql.NullString.)
const arenaChunk = 1024

// nullable holds a Nullable column: a pointer per row, nil for NULL.
type nullable[T any] struct {
	parse func(span) (T, bool)
	rows  []*T
	arena []T
	some  bool
}

func (c *nullable[T]) has(row int) bool { return len(c.rows) > row }
func (c *nullable[T]) used() bool       { return c.some }
func (c *nullable[T]) clear(row int)    { c.fill(row + 1); c.rows[row] = nil }

func (c *nullable[T]) fill(rows int) {
	for len(c.rows) < rows {
		c.rows = append(c.rows, nil)
	}
}

func (c *nullable[T]) set(row int, v span) bool {
	c.fill(row + 1)
	value, ok := c.parse(v)
	if !ok {
		return false
	}
	if len(c.arena) == cap(c.arena) {
		c.arena = make([]T, 0, arenaChunk) // the full chunk lives on through the pointers into it
	}
	c.arena = append(c.arena, value)
	c.rows[row] = &c.arena[len(c.arena)-1]
	c.some = true
	return true
}

func (c *nullable[T]) send(to driver.BatchColumn, rows int) error {
	c.fill(rows)
	return to.Append(c.rows)
}

func (c *nullable[T]) reset() {
	clear(c.rows) // let go of the payloads behind the pointers
	clear(c.arena)
	c.rows, c.arena, c.some = c.rows[:0], c.arena[:0], false
}

// plain holds a column that cannot be Nullable, an Array or a Map: its zero value stands for none.
type plain[T any] struct {
	parse func(span) (T, bool)
	rows  []T
	some  bool
}

func (c *plain[T]) has(row int) bool { return len(c.rows) > row }
func (c *plain[T]) used() bool       { return c.some }

func (c *plain[T]) fill(rows int) {
	var none T
	for len(c.rows) < rows {
		c.rows = append(c.rows, none)
	}
}

func (c *plain[T]) clear(row int) {
	var none T
	c.fill(row + 1)
	c.rows[row] = none
}

func (c *plain[T]) set(row int, v span) bool {
	c.fill(row + 1)
	value, ok := c.parse(v)
	if ok {
		c.rows[row] = value
		c.some = true
	}
	return ok
}

func (c *plain[T]) send(to driver.BatchColumn, rows int) error {
	c.fill(rows)
	return to.Append(c.rows)
}

func (c *plain[T]) reset() {
	clear(c.rows)
	c.rows, c.some = c.rows[:0], false
}
