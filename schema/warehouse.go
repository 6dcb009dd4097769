package schema

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Warehouse is what a database holds at one moment, as sink and fill type rows for it.
type Warehouse struct {
	Database string
	Revision uint32 // the newest: rows typed with these columns carry it in _schema
	Tables   []*Table
	Warnings []string    // what is left alone, and what to do about it
	Erased   *Tombstones // whose events are blanked

	byEntity map[string]*Table
	other    *Table
}

// ErrNotSetUp is in Load's error where backfill has not been: backfill itself has to tell it from others.
var ErrNotSetUp = errors.New("set it up with `leadhouse backfill`, or `leadhouse backfill --catalog builtin` without an API key")

// Load reads the warehouse. Where `leadhouse backfill` has not been, the error is ErrNotSetUp and says to run it.
func Load(ctx context.Context, conn driver.Conn, database string) (*Warehouse, error) {
	return load(ctx, conn, database, nil)
}

// Reload is Load for who has read the warehouse before: what is large and has not changed is not read again.
func (w *Warehouse) Reload(ctx context.Context, conn driver.Conn) (*Warehouse, error) {
	return load(ctx, conn, w.Database, w.Erased)
}

func load(ctx context.Context, conn driver.Conn, database string, erased *Tombstones) (*Warehouse, error) {
	s, err := inspect(ctx, conn, database, false)
	if err != nil {
		return nil, err
	}
	w, err := s.warehouse()
	if err != nil {
		return nil, err
	}
	if s.tables[erasuresTable.name] == nil { // of an older version
		w.Warnings = append(w.Warnings, "there is no table erasures, so nothing counts as erased: run `leadhouse backfill`")
		w.Erased = NewTombstones()
		return w, nil
	}
	w.Erased, err = erased.reload(ctx, conn, database)
	return w, err
}

// TableFor is the table an event type goes to: that of its entity, else other_events.
func (w *Warehouse) TableFor(eventType string) *Table {
	if entity, _, ok := splitType(eventType); ok {
		if t := w.byEntity[entity]; t != nil {
			return t
		}
	}
	return w.other
}

// State is a database as it is: its tables and columns, and what schema_changes says of them.
type State struct {
	Database string
	exists   bool
	tables   map[string]*dbTable
	changes  []change
}

type dbTable struct {
	engine, sortingKey, comment string
	settings                    string            // as SQL
	columns                     map[string]string // name → type
	order                       []string          // the names by position
}

// change is a row of schema_changes.
type change struct {
	revision  uint32
	table     string
	column    string
	kind      string
	entity    string
	path      []string
	eventType string
	comment   string
	statement string
}

// The kinds of schema_changes that are no Kind.
const (
	kindTable   = "table"
	kindView    = "view"
	kindComment = "comment" // a column's comment changed, which makes no row's typing stale
	kindSetting = "setting" // nor does a table's setting
)

// Inspect reads the state. A database that does not exist is an empty one.
func Inspect(ctx context.Context, conn driver.Conn, database string) (*State, error) {
	return inspect(ctx, conn, database, true)
}

// inspect leaves out the views and all statements when a sink asks, which does so every few seconds: they are most of it.
func inspect(ctx context.Context, conn driver.Conn, database string, views bool) (*State, error) {
	if err := CheckDatabase(database); err != nil {
		return nil, err
	}
	s := &State{Database: database, tables: map[string]*dbTable{}}
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", database).Scan(&n); err != nil {
		return nil, fmt.Errorf("read system.databases: %w", err)
	}
	if s.exists = n > 0; !s.exists {
		return s, nil
	}
	// The changes first, the columns after: **a revision is never read without the columns it made**, since backfill
	// writes it after them. Read the other way round, a row could carry a revision whose columns it was not typed with,
	// and no fill would ever look at it again.
	statement, without := "''", []string{"View", "MaterializedView"}
	if views {
		statement, without = "statement", []string{""}
	}
	if err := s.readChanges(ctx, conn, statement); err != nil {
		return nil, err
	}
	return s, s.readTables(ctx, conn, without)
}

func (s *State) readChanges(ctx context.Context, conn driver.Conn, statement string) error {
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = ?", s.Database, changesTable.name).Scan(&n); err != nil {
		return fmt.Errorf("read system.tables: %w", err)
	}
	if n == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT revision, table_name, column_name, kind, entity, json_path, event_type, comment, %s
		FROM %s.%s ORDER BY revision, changed_at, table_name, column_name`, statement, quote(s.Database), quote(changesTable.name)))
	if err != nil {
		return fmt.Errorf("read schema_changes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c change
		if err := rows.Scan(&c.revision, &c.table, &c.column, &c.kind, &c.entity, &c.path, &c.eventType, &c.comment, &c.statement); err != nil {
			return fmt.Errorf("read schema_changes: %w", err)
		}
		s.changes = append(s.changes, c)
	}
	return rows.Err()
}

func (s *State) readTables(ctx context.Context, conn driver.Conn, without []string) error {
	rows, err := conn.Query(ctx, `SELECT t.name, t.engine, t.sorting_key, t.comment, t.engine_full, c.name, c.type
		FROM system.tables AS t INNER JOIN system.columns AS c ON c.database = t.database AND c.table = t.name
		WHERE t.database = ? AND c.database = ? AND t.engine NOT IN ? ORDER BY t.name, c.position`, s.Database, s.Database, without)
	if err != nil {
		return fmt.Errorf("read system.columns: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, engine, sorting, comment, full, column, typ string
		if err := rows.Scan(&table, &engine, &sorting, &comment, &full, &column, &typ); err != nil {
			return fmt.Errorf("read system.columns: %w", err)
		}
		t := s.tables[table]
		if t == nil {
			_, settings, _ := strings.Cut(full, " SETTINGS ")
			t = &dbTable{engine: engine, sortingKey: sorting, comment: comment, settings: settings, columns: map[string]string{}}
			s.tables[table] = t
		}
		t.columns[column] = typ
		t.order = append(t.order, column)
	}
	return rows.Err()
}

// recorded is what schema_changes knows of one event table.
type recorded struct {
	entity   string
	revision uint32
	columns  []Column // in the order they came
}

// recorded reads the history: the newest row about a column stands.
func (s *State) recorded() (tables map[string]*recorded, order []string) {
	tables = map[string]*recorded{}
	for _, c := range s.changes {
		if c.kind == kindView || c.kind == kindSetting {
			continue
		}
		t := tables[c.table]
		if t == nil {
			t = &recorded{}
			tables[c.table] = t
			order = append(order, c.table)
		}
		t.add(c)
	}
	return tables, order
}

func (t *recorded) add(c change) {
	if c.kind == kindTable {
		t.entity = c.entity
		t.revision = max(t.revision, c.revision)
		return
	}
	i := 0
	for i < len(t.columns) && t.columns[i].Name != c.column {
		i++
	}
	if c.kind == kindComment {
		if i < len(t.columns) {
			t.columns[i].Comment = c.comment
		}
		return
	}
	t.revision = max(t.revision, c.revision)
	column := Column{Name: c.column, Kind: Kind(c.kind), Path: c.path, EventType: c.eventType, Comment: c.comment}
	if i < len(t.columns) {
		t.columns[i] = column
	} else {
		t.columns = append(t.columns, column)
	}
}

func (s *State) revision() uint32 {
	var r uint32
	for _, c := range s.changes {
		r = max(r, c.revision)
	}
	return r
}

// warehouse keeps of the recorded columns those that exist and can hold their kind.
func (s *State) warehouse() (*Warehouse, error) {
	w := &Warehouse{Database: s.Database, Revision: s.revision(), byEntity: map[string]*Table{}}
	records, order := s.recorded()
	for _, name := range order {
		r, db := records[name], s.tables[name]
		if db == nil || !strings.HasSuffix(name, "_events") {
			continue // dropped since, or not an event table
		}
		t := &Table{Name: name, Entity: r.entity, Revision: r.revision}
		for _, c := range r.columns {
			switch typ, ok := db.columns[c.Name]; {
			case !ok: // dropped since: its values stay in payload
			case !c.Kind.accepts(typ):
				w.Warnings = append(w.Warnings, wrongType(name, c, typ))
			default:
				t.Columns = append(t.Columns, c)
			}
		}
		w.Tables = append(w.Tables, t)
		if name == OtherEvents {
			w.other = t
		} else {
			w.byEntity[r.entity] = t
		}
	}
	for _, fixed := range []string{OtherEvents, "deliveries", "dead_letters"} {
		if s.tables[fixed] == nil || w.other == nil {
			return nil, fmt.Errorf("database %s has no table %s: %w", s.Database, fixed, ErrNotSetUp)
		}
	}
	return w, nil
}

func wrongType(table string, c Column, typ string) string {
	return fmt.Sprintf("%s.%s has the type %s, not %s: it is left empty. To have it filled, rename it (ALTER TABLE %s RENAME COLUMN %s TO %s_old) and run `leadhouse backfill`",
		table, c.Name, typ, c.Kind.ClickHouseType(), table, c.Name, c.Name)
}
