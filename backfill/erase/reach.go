package erase

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"

	"github.com/leadhouse/leadhouse/schema"
)

const (
	// idsAtOnce bounds the event IDs that one query names.
	idsAtOnce = 10_000

	// addressesAtOnce are looked for in one pass: multiSearchAny takes 255.
	addressesAtOnce = 250

	// shownIDs are named in the query that shows rows elsewhere.
	shownIDs = 20

	// elsewhereMost bounds the rows that are looked at in one table for one batch of addresses.
	elsewhereMost = 1_000_000
)

// reach finds out what this run cannot reach.
func (r *run) reach(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"where the records lie in Kafka", r.kafka},
		{"the tables' parts", r.parts},
		{"the database's other tables", r.foreign},
		{"their addresses in other rows", r.elsewhere},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("look for %s: %w", step.what, err)
		}
	}
	return nil
}

// kafka asks the ledger, which knows of every delivery of an event, where the events' records are. Of a row whose event the
// ledger does not know the row itself says where it was read, in the topic's present epoch.
func (r *run) kafka(ctx context.Context) error {
	positions, known := maps.Clone(r.letters), map[place]bool{}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(r.events)), idsAtOnce) {
		err := r.deliveries(ctx, ids, func(p Position) {
			positions[p] = true
			known[place{p.Partition, p.Offset}] = true
		})
		if err != nil {
			return err
		}
	}
	starts, err := schema.EpochStarts(ctx, r.cfg.ClickHouse, r.cfg.Database)
	if err != nil {
		return err
	}
	var epoch uint32
	for _, s := range starts {
		epoch = max(epoch, s.Epoch)
	}
	for p := range r.places {
		if !known[p] {
			positions[Position{epoch, p.partition, p.offset}] = true
		}
	}
	r.report.NotReached.Kafka = ranges(positions)
	return nil
}

func (r *run) deliveries(ctx context.Context, eventIDs []string, take func(Position)) error {
	ctx, cancel := searching(ctx)
	defer cancel()
	rows, err := r.cfg.ClickHouse.Query(ctx, "SELECT DISTINCT topic_epoch, kafka_partition, kafka_offset FROM "+r.name("deliveries")+
		" WHERE event_id_hash IN (SELECT "+schema.EventIDHash+" FROM (SELECT arrayJoin(?) AS event_id))", eventIDs)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p Position
		if err := rows.Scan(&p.Epoch, &p.Partition, &p.Offset); err != nil {
			return err
		}
		take(p)
	}
	return rows.Err()
}

func ranges(positions map[Position]bool) []Range {
	all := slices.SortedFunc(maps.Keys(positions), func(a, b Position) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	joined := []Range{}
	for _, p := range all {
		if last := len(joined) - 1; last >= 0 && joined[last].Epoch == p.Epoch && joined[last].Partition == p.Partition && joined[last].Last+1 == p.Offset {
			joined[last].Last++
			continue
		}
		joined = append(joined, Range{p.Epoch, p.Partition, p.Offset, p.Offset})
	}
	return joined
}

func (r *run) parts(ctx context.Context) error {
	n := &r.report.NotReached
	err := r.cfg.ClickHouse.QueryRow(ctx, `SELECT (SELECT count() FROM system.parts WHERE database = ? AND NOT active),
(SELECT count() FROM system.detached_parts WHERE database = ?),
(SELECT toUInt64(any(value)) FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime')`,
		r.cfg.Database, r.cfg.Database).Scan(&n.Inactive, &n.Detached, &n.OldPartsFor)
	return err
}

// foreign are tables that schema_changes does not know. Views hold nothing, materialized ones their target does.
func (r *run) foreign(ctx context.Context) error {
	rows, err := r.cfg.ClickHouse.Query(ctx, `SELECT name FROM system.tables WHERE database = ? AND engine NOT IN ('View', 'MaterializedView')
AND name NOT IN (SELECT toString(table_name) FROM `+r.name("schema_changes")+`) ORDER BY name`, r.cfg.Database)
	if err != nil {
		return err
	}
	defer rows.Close()
	r.report.NotReached.ForeignTables = []string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		r.report.NotReached.ForeignTables = append(r.report.NotReached.ForeignTables, printable(name))
	}
	return rows.Err()
}

// elsewhere looks for the leads' e-mail addresses in rows that are not about them.
func (r *run) elsewhere(ctx context.Context) error {
	n := &r.report.NotReached
	n.Addresses, n.Elsewhere = len(r.emails), []Elsewhere{}
	if len(r.emails) == 0 {
		return nil
	}
	for _, t := range r.warehouse.Tables {
		ids, err := r.holding(ctx, t.Name, "event_id")
		if err != nil {
			return err
		}
		var others []string
		for _, id := range ids {
			if !r.events[id] {
				others = append(others, literal(id))
			}
		}
		n.add(r.cfg.Database+"."+t.Name, t.Name, "event_id", others)
	}
	places, err := r.holding(ctx, deadLetters, "toString((topic_epoch, kafka_partition, kafka_offset))")
	if err != nil {
		return err
	}
	places = slices.DeleteFunc(places, func(at string) bool {
		var p Position
		_, err := fmt.Sscanf(at, "(%d,%d,%d)", &p.Epoch, &p.Partition, &p.Offset)
		return err == nil && r.letters[p]
	})
	n.add(r.cfg.Database+"."+deadLetters, deadLetters, "(topic_epoch, kafka_partition, kafka_offset)", places)
	return nil
}

func (n *Reach) add(name, table, key string, values []string) {
	if len(values) == 0 {
		return
	}
	n.Elsewhere = append(n.Elsewhere, Elsewhere{
		table, uint64(len(values)),
		fmt.Sprintf("SELECT * FROM %s FINAL WHERE %s IN (%s)", name, key, strings.Join(values[:min(len(values), shownIDs)], ", ")),
	})
}

// holding are the keys of a table's rows whose payload holds one of the addresses.
func (r *run) holding(ctx context.Context, table, key string) ([]string, error) {
	keys := map[string]bool{}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(r.emails)), addressesAtOnce) {
		if err := r.holdingSome(ctx, table, key, some, keys); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(keys)), nil
}

// holdingSome: **the addresses go as a table of data beside the query**; in its text they would stand in ClickHouse's query log
// and on its disk.
func (r *run) holdingSome(ctx context.Context, table, key string, some []string, keys map[string]bool) error {
	ctx, cancel := searching(ctx)
	defer cancel()
	addresses, err := ext.NewTable("addresses", ext.Column("address", "String"))
	if err != nil {
		return err
	}
	for _, one := range some {
		if err := addresses.Append(one); err != nil {
			return err
		}
	}
	rows, err := r.cfg.ClickHouse.Query(clickhouse.Context(ctx, clickhouse.WithExternalTable(addresses)), fmt.Sprintf(
		"SELECT DISTINCT %s FROM %s WHERE multiSearchAnyCaseInsensitive(payload, (SELECT groupArray(address) FROM addresses)) LIMIT %d",
		key, r.name(table), elsewhereMost))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var k string
		if err := rows.Scan(&k); err != nil {
			return err
		}
		keys[k] = true
	}
	return rows.Err()
}

// literal is a text as SQL spells it. Event IDs are printable ASCII.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// printable replaces what would move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
