package schema

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// carryQueryBytes bounds the text of one Carry: 50,000 event IDs of 128 characters are 7 MB.
const carryQueryBytes = 16 << 20

// Carry writes rows from one event table into another, or into the same one, under the warehouse's revision **without
// typing them again**. It is for rows whose payload is no envelope, or one of another event: a hand may have written them, or
// an erasure has blanked them. There is nothing to type them from, but they must neither be lost nor stay stale and be looked
// at for ever. Within a table typed columns keep what they hold; in another table they begin empty.
//
// **What a tombstone covers is carried blanked**: rows whose lead_id has one at the moment of the statement, and those of
// erased, which the caller has found to be about such a lead.
func (w *Warehouse) Carry(ctx context.Context, conn driver.Conn, from, to *Table, eventIDs, erased []string) error {
	if len(eventIDs) == 0 {
		return nil
	}
	blank := func(name, typ string) string {
		return fmt.Sprintf("if(_covered, defaultValueOfTypeName(%s), %s)", literal(typ), quote(name))
	}
	names, blanked := []string{}, map[string]string{}
	for _, d := range headColumns {
		names = append(names, d.name)
	}
	if from.Name == to.Name {
		for _, c := range to.Columns {
			names = append(names, c.Name)
			if !c.OutlivesErasure() {
				blanked[c.Name] = blank(c.Name, c.Kind.ClickHouseType())
			}
		}
	}
	for _, d := range tailColumns {
		names = append(names, d.name)
		if slices.Contains(erasedColumns, d.name) {
			blanked[d.name] = blank(d.name, d.typ)
		}
	}
	columns, values := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		columns[i], values[i] = quote(name), cmp.Or(blanked[name], quote(name))
		switch name {
		case "_schema":
			values[i] = fmt.Sprintf("toUInt32(%d)", w.Revision)
		case "_version": // rowVersion in SQL
			values[i] = fmt.Sprintf("bitOr(bitShiftLeft(toUInt64(%d), %d), bitAnd(%s, %d))", w.Revision, versionTimeBits, quote(name), uint64(maxVersionTime))
		}
	}
	settings := clickhouse.Settings{"max_query_size": carryQueryBytes}
	err := conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), fmt.Sprintf(
		"INSERT INTO %s.%s (%s) SELECT %s FROM (SELECT *, %s AS _covered FROM %s.%s FINAL WHERE event_id IN (SELECT arrayJoin(?)))",
		quote(w.Database), quote(to.Name), strings.Join(columns, ", "), strings.Join(values, ", "),
		w.covered(from), quote(w.Database), quote(from.Name)), erased, eventIDs)
	if err != nil {
		return fmt.Errorf("carry rows of %s to %s: %w", from.Name, to.Name, err)
	}
	return nil
}

// covered is true of a row about an erased lead, in Carry's statement, where ? stands for the IDs that its caller has found.
func (w *Warehouse) covered(from *Table) string {
	condition := "event_id IN (SELECT arrayJoin(CAST(?, 'Array(String)')))"
	if lead := from.LeadColumn(); lead != "" {
		condition += fmt.Sprintf(" OR ifNull(%s IN (SELECT entity_id FROM %s.%s WHERE entity = %s), false)",
			quote(lead), quote(w.Database), quote(erasuresTable.name), literal(erasedEntity))
	}
	return condition
}
