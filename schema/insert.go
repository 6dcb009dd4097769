package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// insertColumn is a column's name with its values: a slice with one value a row, or cells.
type insertColumn struct {
	name   string
	values any
}

// ColumnError is Insert's error where clickhouse-go does not take a column's values. Nothing was sent then.
type ColumnError struct {
	Table, Column string
	Err           error // clickhouse-go's; it may quote a value
}

func (e *ColumnError) Error() string {
	return fmt.Sprintf("insert into %s: column %s: %v", e.Table, e.Column, e.Err)
}

// Unwrap is clickhouse-go's error.
func (e *ColumnError) Unwrap() error { return e.Err }

// insert is the one place where rows leave for ClickHouse: one INSERT of one block, in columns (half the CPU of rows).
//
// async_insert=0 because 26.2 turned it on by default: the answer to an asynchronous insert is not about its rows alone.
// An error after the block was sent tells nothing of whether it was written: the caller repeats it with the same token.
// Without a token nothing is deduplicated, and the block does not push a sink's token out of the table's window.
func insert(ctx context.Context, conn driver.Conn, database, table string, columns []insertColumn, rows int, token string) error {
	if rows == 0 {
		return nil
	}
	settings, err := insertSettings(conn, token)
	if err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = quote(c.name)
	}
	batch, err := conn.PrepareBatch(clickhouse.Context(ctx, clickhouse.WithSettings(settings)),
		fmt.Sprintf("INSERT INTO %s.%s (%s)", quote(database), quote(table), strings.Join(names, ", ")))
	if err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	for i, c := range columns {
		if err := sendColumn(batch.Column(i), c.values, rows); err != nil {
			_ = batch.Abort() // the error that matters is the column's
			return &ColumnError{table, c.name, err}
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	return nil
}

// insertSettings: since 26.2 deduplicate_insert overrides insert_deduplicate, and is on; before, it may not be there.
func insertSettings(conn driver.Conn, token string) (clickhouse.Settings, error) {
	settings := clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 1}
	if token != "" {
		settings["insert_deduplication_token"] = token
		return settings, nil
	}
	settings["insert_deduplicate"] = 0
	server, err := conn.ServerVersion()
	if err != nil {
		return nil, err
	}
	if v := server.Version; v.Major > 26 || v.Major == 26 && v.Minor >= 2 {
		settings["deduplicate_insert"] = "disable"
	}
	return settings, nil
}

func sendColumn(to driver.BatchColumn, values any, rows int) error {
	if c, ok := values.(cells); ok {
		return c.send(to, rows)
	}
	return to.Append(values)
}
