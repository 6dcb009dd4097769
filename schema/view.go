package schema

import (
	"fmt"
	"slices"
	"strings"
)

// viewDef is a view. Its columns are named one by one: SELECT * in a view is frozen when the view is made. ClickHouse casts
// what a query gives to the declared type, and leaves out what is not declared.
type viewDef struct {
	name, comment, query string
	columns              []columnDef // with their comments; nil: as the query has them
	reads                []string    // views it stands on, among others
	key                  string      // see views.View
	eventType            string      // of a view of one event type
}

func (v viewDef) createSQL(database string) string {
	columns := ""
	if len(v.columns) > 0 {
		lines := make([]string, len(v.columns))
		for i, c := range v.columns {
			lines[i] = c.sql()
		}
		columns = "\n(\n    " + strings.Join(lines, ",\n    ") + "\n)"
	}
	return fmt.Sprintf("CREATE OR REPLACE VIEW %s.%s%s AS\n%s\nCOMMENT %s",
		quote(database), quote(v.name), columns, v.settledSQL(), literal(v.comment+viewMark))
}

// settledSQL is the query under the settings that it means what it says with.
func (v viewDef) settledSQL() string {
	return fmt.Sprintf("SELECT * FROM\n(\n%s\n)\nSETTINGS %s", v.query, viewSettings)
}

// viewSettings are those that would change what a view's query means, or make it fail: **its numbers do not hang on what a BI
// tool sets for its session** (join_use_nulls: dbt, SQL workbenches). They stand around the query, because those behind a UNION
// belong to its last SELECT.
const viewSettings = "join_use_nulls = 0, aggregate_functions_null_for_empty = 0, transform_null_in = 0, prefer_column_name_to_alias = 0"

const eventsColumns = "event_id, event_type, occurred_at, payload, _received_at, _loaded_at, _partition, _offset"

// eventsDefs are eventsColumns as the event tables describe them: a BI tool shows the comments.
func eventsDefs() (columns []columnDef) {
	for _, name := range strings.Split(eventsColumns, ", ") {
		for _, c := range slices.Concat(headColumns, tailColumns) {
			if c.name == name {
				columns = append(columns, columnDef{name: c.name, typ: c.typ, comment: c.comment})
			}
		}
	}
	return columns
}

// eventsView unites the event tables, each event once. While backfill moves rows out of other_events into a new table,
// they stand in both: the table wins. The inner IN keeps that cheap: it looks up only IDs of types whose entity has a
// table, which after the move are none, by the tables' primary key.
//
// **other_events stands first**: ClickHouse takes its snapshots of the tables one after the other, though only one of
// each (enable_shared_storage_snapshot_in_query, on since 25.12). The other way round, a row that is inserted into its
// table after the table's snapshot and deleted from other_events before other_events' is in neither (seen).
func eventsView(database string, tables []*Table) viewDef {
	var parts, entities, moved []string
	for _, t := range tables {
		if t.Entity == "" {
			continue
		}
		from := quote(database) + "." + quote(t.Name)
		parts = append(parts, fmt.Sprintf("SELECT %s FROM %s FINAL", eventsColumns, from))
		entities = append(entities, literal(t.Entity))
		moved = append(moved, fmt.Sprintf("SELECT event_id FROM %s WHERE event_id IN (SELECT event_id FROM %s.%s WHERE %s = %s)",
			from, quote(database), quote(OtherEvents), entityOf, literal(t.Entity)))
	}
	other := fmt.Sprintf("SELECT %s FROM %s.%s FINAL", eventsColumns, quote(database), quote(OtherEvents))
	if len(moved) > 0 {
		other += fmt.Sprintf("\nWHERE %s NOT IN (%s) OR event_id NOT IN (\n  %s)", entityOf, strings.Join(entities, ", "), strings.Join(moved, "\n  UNION ALL "))
	}
	return viewDef{
		name:    "events",
		comment: "every Leadron event once, of all types, with its envelope and payload; times are UTC",
		columns: eventsDefs(),
		query:   strings.Join(append([]string{other}, parts...), "\nUNION ALL\n"),
	}
}

// entityOf is splitType in SQL: the part of event_type before the first dot, ” when there is none or nothing follows.
const entityOf = `if(match(event_type, '^[^.]+[.].'), splitByChar('.', assumeNotNull(toString(event_type)))[1], '')`
