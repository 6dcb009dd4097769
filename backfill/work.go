package backfill

import (
	"context"
	"fmt"

	"github.com/leadhouse/leadhouse/schema"
)

// work is what a warehouse's rows wait for.
type work struct {
	stale []tableRows // rows typed with columns older than their table's revision
	moves []tableRows // rows of other_events whose entity has this table
}

// tableRows is a table with a number of rows.
type tableRows struct {
	table *schema.Table
	rows  uint64
}

func (w work) empty() bool { return len(w.stale)+len(w.moves) == 0 }

// look counts. It is cheap where nothing waits: one narrow column of each table, without FINAL.
func (b *Backfill) look(ctx context.Context, w *schema.Warehouse) (work, error) {
	var found work
	for _, t := range w.Tables {
		rows, err := b.stale(ctx, t)
		if err != nil {
			return work{}, fmt.Errorf("count old rows of %s: %w", t.Name, err)
		}
		if rows > 0 {
			found.stale = append(found.stale, tableRows{t, rows})
		}
	}
	var err error
	if found.moves, err = b.movable(ctx, w); err != nil {
		return work{}, fmt.Errorf("count rows of %s: %w", schema.OtherEvents, err)
	}
	return found, nil
}

// stale counts a table's rows with an older typing. Only FINAL tells the truth, since rows that lost linger until a merge;
// but where even those are none, FINAL would find none.
func (b *Backfill) stale(ctx context.Context, t *schema.Table) (rows uint64, err error) {
	from := b.name(t.Name)
	for _, final := range []string{"", " FINAL"} {
		err = b.cfg.ClickHouse.QueryRow(ctx, "SELECT count() FROM "+from+final+" WHERE _schema < ?", t.Revision).Scan(&rows)
		if err != nil || rows == 0 {
			return 0, err
		}
	}
	return rows, nil
}

// movable counts the rows of other_events by the table they belong to. Which that is, schema alone knows.
func (b *Backfill) movable(ctx context.Context, w *schema.Warehouse) ([]tableRows, error) {
	rows, err := b.cfg.ClickHouse.Query(ctx, "SELECT toString(event_type), count() FROM "+b.name(schema.OtherEvents)+" GROUP BY event_type")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[*schema.Table]uint64{}
	for rows.Next() {
		var eventType string
		var n uint64
		if err := rows.Scan(&eventType, &n); err != nil {
			return nil, err
		}
		counts[w.TableFor(eventType)] += n
	}
	var moves []tableRows
	for _, t := range w.Tables { // in their order, not the map's
		if t.Name != schema.OtherEvents && counts[t] > 0 {
			moves = append(moves, tableRows{t, counts[t]})
		}
	}
	return moves, rows.Err()
}

// name is a table's full name. Both parts are checked by schema to need no quotes; it quotes them all the same.
func (b *Backfill) name(table string) string { return "`" + b.cfg.Database + "`.`" + table + "`" }
