package schema

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// ExpireDeadLetters adds to a plan that ClickHouse deletes dead letters so long after their receipt, in whole seconds; if it
// does so already, nothing. The ledger's entries stay. Merges delete, so it may take a while longer.
//
// The time counts from received_at, which all rows of a letter share, and not only for those that are settled: a row that
// says replayed could else be deleted before the older one that says open has been merged into it, and the letter would be
// open again.
func (p *Plan) ExpireDeadLetters(ctx context.Context, conn driver.Conn, after time.Duration) error {
	const table = "dead_letters"
	var created string // empty when it is yet to be made
	err := conn.QueryRow(ctx, "SELECT max(create_table_query) FROM system.tables WHERE database = ? AND name = ?", p.Database, table).Scan(&created)
	if err != nil {
		return fmt.Errorf("read the TTL of %s: %w", table, err)
	}
	// As ClickHouse itself spells it, so that it is found again.
	ttl := fmt.Sprintf("TTL toDateTime(received_at) + toIntervalSecond(%d)", int64(after/time.Second))
	if strings.Contains(created, ttl+" ") {
		return nil
	}
	p.step(fmt.Sprintf("~ %s: rows are deleted %v after their receipt, open ones too", table, after),
		fmt.Sprintf("ALTER TABLE %s.%s MODIFY %s", quote(p.Database), quote(table), ttl), change{table: table, kind: kindTable})
	return nil
}
