package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Blanking is what erasure does to a row of an event table, as the assignments of an ALTER TABLE … UPDATE: of the columns
// that the table has now, **also those that somebody has renamed or added by hand**, all but the ones that are kept.
func (w *Warehouse) Blanking(ctx context.Context, conn driver.Conn, t *Table) (string, error) {
	columns, err := w.blanked(ctx, conn, t)
	if err != nil {
		return "", err
	}
	assignments := make([]string, len(columns))
	for i, c := range columns {
		assignments[i] = fmt.Sprintf("%s = defaultValueOfTypeName(%s)", quote(c.name), literal(c.typ))
	}
	return strings.Join(assignments, ", "), nil
}

// Unblanked is what is true of a row of an event table that Blanking would change, in SQL.
func (w *Warehouse) Unblanked(ctx context.Context, conn driver.Conn, t *Table) (string, error) {
	columns, err := w.blanked(ctx, conn, t)
	if err != nil {
		return "", err
	}
	conditions := make([]string, len(columns))
	for i, c := range columns {
		conditions[i] = c.holdsSomething()
	}
	return "(" + strings.Join(conditions, " OR ") + ")", nil
}

// holdsSomething is true where a column is not what Blanking makes it.
func (c columnDef) holdsSomething() string {
	name, inner := quote(c.name), strings.TrimPrefix(c.typ, "LowCardinality(")
	switch {
	case strings.HasPrefix(inner, "Nullable("):
		return "isNotNull(" + name + ")"
	case strings.HasPrefix(inner, "String"), strings.HasPrefix(inner, "Array("), strings.HasPrefix(inner, "Map("):
		return "notEmpty(" + name + ")"
	}
	return fmt.Sprintf("toString(%s) != toString(defaultValueOfTypeName(%s))", name, literal(c.typ)) // somebody's own, of any type
}

// blanked are the columns that Blanking changes.
func (w *Warehouse) blanked(ctx context.Context, conn driver.Conn, t *Table) (columns []columnDef, err error) {
	var kept []string
	for _, d := range slices.Concat(headColumns, tailColumns) {
		if !slices.Contains(erasedColumns, d.name) {
			kept = append(kept, d.name)
		}
	}
	for _, c := range t.Columns {
		if c.OutlivesErasure() {
			kept = append(kept, c.Name)
		}
	}
	// What is computed from other columns follows them.
	rows, err := conn.Query(ctx, `SELECT name, type FROM system.columns WHERE database = ? AND table = ?
AND default_kind NOT IN ('ALIAS', 'MATERIALIZED', 'EPHEMERAL') AND NOT has(?, name) ORDER BY position`, w.Database, t.Name, kept)
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", t.Name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var c columnDef
		if err := rows.Scan(&c.name, &c.typ); err != nil {
			return nil, fmt.Errorf("read the columns of %s: %w", t.Name, err)
		}
		columns = append(columns, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", t.Name, err)
	}
	if len(columns) == 0 {
		return nil, errors.New("the table " + t.Name + " has gone")
	}
	return columns, nil
}

// ErasedDetail is dead_letters.detail of a letter that was erased. It is what tells one: a body may be empty by itself.
const ErasedDetail = "erased: the record was about a lead whose data has been erased"

// keptHeaders are those that ingest writes, with nothing personal in them.
var keptHeaders = []string{"event-id", "event-type", "signature-secret-id", "traceparent"}

// BlankingLetters is what erasure does to a dead letter, as the assignments of an ALTER TABLE … UPDATE. Position, key, reason,
// status and times are kept.
func BlankingLetters() string {
	return fmt.Sprintf("payload = '', detail = %s, headers = arrayMap(h -> CAST((h.1, if(h.1 IN (%s), h.2, '')), 'Tuple(name String, value String)'), headers)",
		literal(ErasedDetail), keptHeadersSQL())
}

// UnblankedLetters is what is true of a dead letter that BlankingLetters would change, in SQL.
func UnblankedLetters() string {
	return fmt.Sprintf("(notEmpty(payload) OR detail != %s OR arrayExists(h -> h.1 NOT IN (%s) AND notEmpty(h.2), headers))", literal(ErasedDetail), keptHeadersSQL())
}

func keptHeadersSQL() string {
	names := make([]string, len(keptHeaders))
	for i, n := range keptHeaders {
		names[i] = literal(n)
	}
	return strings.Join(names, ", ")
}

// AppendErased adds a dead letter whose bytes are gone.
func (b *DeadLetterBlock) AppendErased(key []byte, headers []Header, reason Reason, rec Record) {
	blank := make([]Header, len(headers))
	for i, h := range headers {
		blank[i] = Header{Name: h.Name}
		if slices.Contains(keptHeaders, h.Name) {
			blank[i].Value = h.Value
		}
	}
	b.Append(key, nil, blank, reason, ErasedDetail, rec)
}
