package backfill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
)

const (
	// moveRows bounds a chunk of a move. Its IDs and versions stand in the DELETE's text, which ClickHouse keeps for the
	// last 100 mutations: half a megabyte each.
	moveRows = 10_000

	// moveQueryBytes lets a text hold them: 10,000 IDs of 128 characters, every one escaped.
	moveQueryBytes = 4 << 20
)

// errNotThere says that ClickHouse took rows and does not show them yet: another replica answered. Time mends it.
var errNotThere = errors.New("moved rows are not to be seen in their table yet")

// move takes rows out of other_events into the table that their entity has now: typed and inserted there, **checked to
// stand there, and then deleted here in exactly the versions that were checked**. A sink with an older view of the schema
// may write to other_events all the while; what it writes is left for the next sweep.
//
// All versions are read, without FINAL: deleting the one that wins would bring the ones that lost back.
func (b *Backfill) move(ctx context.Context, w *schema.Warehouse, todo tableRows, result *Result) error {
	t, other := todo.table, w.TableFor("")
	b.cfg.Progress.Start(fmt.Sprintf("move %s into %s", other.Name, t.Name), todo.rows)
	defer b.cfg.Progress.Done()

	m := &moving{chunk: newChunk(w, other, t)}
	flush := func() error {
		if len(m.chunk.rows) == 0 {
			return nil
		}
		if err := b.moveChunk(ctx, m); err != nil {
			return err
		}
		result.Moved += uint64(len(m.chunk.rows))
		result.Carried += uint64(len(m.chunk.odd))
		result.Erased += m.chunk.covered
		b.cfg.Progress.Add(len(m.chunk.rows))
		m.reset()
		return nil
	}
	// The types of an entity, as Warehouse.TableFor tells them: its name, a dot, and something more.
	prefix := t.Entity + "."
	query := "SELECT " + storedColumns + " FROM " + b.name(other.Name) + " WHERE startsWith(event_type, ?) AND length(event_type) > ?"
	err := b.stream(ctx, query, []any{prefix, len(prefix)}, func(s stored) error {
		m.add(s)
		if m.chunk.full(min(b.cfg.ChunkRows, moveRows), b.cfg.ChunkBytes) {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("move rows of %s into %s: %w", other.Name, t.Name, err)
	}
	return nil
}

// moving is a chunk, and what of other_events it holds.
type moving struct {
	chunk    *chunk
	ids      []string
	versions []uint64 // as read from other_events
	received []time.Time
}

func (m *moving) add(s stored) {
	m.chunk.add(s)
	m.ids = append(m.ids, s.eventID)
	m.versions = append(m.versions, s.version)
	m.received = append(m.received, s.record.ReceivedAt)
}

func (m *moving) reset() {
	m.chunk.reset()
	clear(m.ids)
	m.ids, m.versions, m.received = m.ids[:0], m.versions[:0], m.received[:0]
}

func (b *Backfill) moveChunk(ctx context.Context, m *moving) error {
	if err := m.chunk.write(ctx, b); err != nil {
		return err
	}
	if err := b.checkMoved(ctx, m); err != nil {
		return err
	}
	return b.deleteMoved(ctx, m)
}

// checkMoved compares what the table shows with what was written: for every event ID a row typed with these columns or
// newer ones, of this delivery or a later one. Rows that lost may be gone already: an INSERT collapses its own.
func (b *Backfill) checkMoved(ctx context.Context, m *moving) error {
	type typing struct {
		schema   uint32
		received time.Time
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_query_size": moveQueryBytes}))
	rows, err := b.cfg.ClickHouse.Query(ctx, "SELECT event_id, argMax(_schema, _version), argMax(_received_at, _version) FROM "+
		b.name(m.chunk.to.Name)+" WHERE event_id IN (SELECT arrayJoin(?)) GROUP BY event_id", m.ids)
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	defer rows.Close()
	there := make(map[string]typing, len(m.ids))
	for rows.Next() {
		var id string
		var t typing
		if err := rows.Scan(&id, &t.schema, &t.received); err != nil {
			return fmt.Errorf("check: %w", err)
		}
		there[id] = t
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	revision, missing := m.chunk.warehouse.Revision, 0
	for i, id := range m.ids {
		t, ok := there[id]
		if !ok || t.schema < revision || t.schema == revision && t.received.Before(m.received[i]) {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d: %w; nothing of them was deleted", missing, len(m.ids), errNotThere)
	}
	return nil
}

// deleteMoved deletes what was checked. It is a lightweight DELETE, which masks rows and does not rewrite payloads, and
// it touches only parts that exist when it is given: a row written at the same moment stays, even an equal one.
//
// The pairs stand in arrays, which are read three times as fast as a list of tuples. They make it a subquery, though one
// that reads no table: on replicated tables ClickHouse wants to be told that it may be trusted.
func (b *Backfill) deleteMoved(ctx context.Context, m *moving) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_query_size":                   moveQueryBytes,
		"lightweight_deletes_sync":         1, // other replicas may take their time: the view events hides what is in both
		"allow_nondeterministic_mutations": 1,
	}))
	err := b.cfg.ClickHouse.Exec(ctx, "DELETE FROM "+b.name(m.chunk.from.Name)+
		" WHERE (event_id, _version) IN (SELECT arrayJoin(arrayZip(?, ?)))", m.ids, m.versions)
	if err != nil {
		return fmt.Errorf("delete what was moved: %w", err)
	}
	return nil
}
