package schema

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/schema/views"
)

// RefreshViews fills every materialized view anew, one after the other and each after those that it reads, and returns
// when the last has what the event tables held when it was called. A refresh that is under way is not enough, so another
// follows it. Where nothing is materialized it does nothing.
func RefreshViews(ctx context.Context, conn driver.Conn, database string) error {
	refreshing, err := refreshes(ctx, conn, database)
	if err != nil {
		return err
	}
	for _, view := range refreshing {
		name := quote(database) + "." + quote(refreshName(view))
		if err := conn.Exec(ctx, "SYSTEM REFRESH VIEW "+name); err != nil {
			return fmt.Errorf("refresh %s: %w", view, err)
		}
		if err := waitFor(ctx, conn, name); err != nil {
			return fmt.Errorf("refresh %s: %w", view, err)
		}
	}
	return nil
}

// waitFor waits again when clickhouse-go has given up (5 minutes by default): ClickHouse says nothing while it waits.
func waitFor(ctx context.Context, conn driver.Conn, name string) error {
	for {
		err := conn.Exec(ctx, "SYSTEM WAIT VIEW "+name)
		if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}

// CheckRefreshes is an error for the views whose last refresh has failed: they show what they did before.
func CheckRefreshes(ctx context.Context, conn driver.Conn, database string) error {
	refreshing, err := refreshes(ctx, conn, database)
	if err != nil || len(refreshing) == 0 {
		return err
	}
	rows, err := conn.Query(ctx, `SELECT view, splitByString(', Stack trace', exception)[1] FROM system.view_refreshes
		WHERE database = ? AND exception != '' ORDER BY view`, database)
	if err != nil {
		return fmt.Errorf("read system.view_refreshes: %w", err)
	}
	defer rows.Close()
	var failed []string
	for rows.Next() {
		var view, cause string
		if err := rows.Scan(&view, &cause); err != nil {
			return fmt.Errorf("read system.view_refreshes: %w", err)
		}
		if name := strings.TrimSuffix(view, refreshSuffix); slices.Contains(refreshing, name) {
			failed = append(failed, name+": "+cause)
		}
	}
	if err := rows.Err(); err != nil || len(failed) == 0 {
		return err
	}
	return fmt.Errorf("views that could not be refreshed, and show what they did before: %s", strings.Join(failed, "; "))
}

// refreshes are the materialized views, in the order of their making.
func refreshes(ctx context.Context, conn driver.Conn, database string) ([]string, error) {
	rows, err := conn.Query(ctx, "SELECT name FROM system.tables WHERE database = ? AND engine = 'MaterializedView' AND endsWith(comment, ?)", database, viewMark)
	if err != nil {
		return nil, fmt.Errorf("read system.tables: %w", err)
	}
	defer rows.Close()
	found := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("read system.tables: %w", err)
		}
		found[name] = true
	}
	return slices.DeleteFunc(views.Names(), func(name string) bool { return !found[refreshName(name)] }), rows.Err()
}

// refreshSuffix is what the name of the view that refreshes a table has behind the table's.
const refreshSuffix = "_refresh"

func refreshName(view string) string { return view + refreshSuffix }
