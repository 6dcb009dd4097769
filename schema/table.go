package schema

import (
	"fmt"
	"slices"
	"strings"
)

// columnDef is a column every installation has. more is its DEFAULT or CODEC.
type columnDef struct{ name, typ, more, comment string }

// sql is the column as CREATE TABLE and ADD COLUMN spell it: the comment stands behind a DEFAULT and before a CODEC.
func (c columnDef) sql() string {
	parts := []string{quote(c.name), c.typ, c.more, "COMMENT " + literal(c.comment)}
	if strings.HasPrefix(c.more, "CODEC") {
		parts[2], parts[3] = parts[3], parts[2]
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
}

// tableDef is a whole table.
type tableDef struct {
	name    string
	comment string
	columns []columnDef
	extra   string // indexes, after the columns
	engine  string
	order   string
}

// tableSettings of every table:
//   - Without a window the insert_deduplication_token does nothing on a table that is not replicated (0 by default). 1000
//     blocks are a quarter of an hour of one sink's flushes, far longer than it retries one block blindly.
//   - A table at rest for ten minutes is merged into one part, which FINAL reads as fast as if there were no duplicates.
//     Only at rest: were its old parts merged while new ones come, the whole table would be rewritten every ten minutes.
var tableSettings = []setting{
	{"non_replicated_deduplication_window", "1000"},
	{"min_age_to_force_merge_seconds", "600"},
	{"min_age_to_force_merge_on_partition_only", "1"},
}

// setting is one of a table's.
type setting struct{ name, value string }

func settingsSQL(settings []setting) string {
	list := make([]string, len(settings))
	for i, s := range settings {
		list[i] = s.name + " = " + s.value
	}
	return strings.Join(list, ", ")
}

func (t tableDef) createSQL(database string) string {
	lines := make([]string, 0, len(t.columns)+1)
	for _, c := range t.columns {
		lines = append(lines, c.sql())
	}
	if t.extra != "" {
		lines = append(lines, t.extra)
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s\n(\n    %s\n)\nENGINE = %s\nORDER BY %s\nSETTINGS %s\nCOMMENT %s",
		quote(database), quote(t.name), strings.Join(lines, ",\n    "), t.engine, t.order, settingsSQL(tableSettings), literal(t.comment))
}

const utcMillis = "DateTime64(3, 'UTC')"

// Every event table begins and ends with these; the typed columns stand between.
var (
	headColumns = []columnDef{
		{"event_id", "String", "", "Leadron's event ID, the table's key: FINAL shows one row per event ID"},
		{"event_type", "LowCardinality(String)", "", "Leadron's event type, <entity>.<verb>"},
		{"occurred_at", utcMillis, "CODEC(Delta, ZSTD(1))", "when it happened in Leadron (createdAt of the delivery), UTC"},
	}
	tailColumns = []columnDef{
		{"payload", "String", "CODEC(ZSTD(3))", "the delivery's body, byte for byte"},
		{"_received_at", utcMillis, "CODEC(Delta, ZSTD(1))", "when ingest took the delivery, UTC"},
		{"_loaded_at", utcMillis, "CODEC(Delta, ZSTD(1))", "when sink wrote the row, UTC"},
		{"_schema", "UInt32", "CODEC(T64, ZSTD(1))", "revision of the columns the row was typed with (schema_changes.revision)"},
		{"_version", "UInt64", "CODEC(Delta, ZSTD(1))", "which typing of an event ID wins: _schema, then _received_at"},
		{"_partition", "Int32", "CODEC(T64, ZSTD(1))", "the Kafka partition the delivery lies in"},
		{"_offset", "Int64", "CODEC(Delta, ZSTD(1))", "its offset there"},
		{"_invalid_fields", "Array(LowCardinality(String))", "", "fields of the catalog whose value did not fit its column; payload keeps them"},
	}
)

// def is an event table in full.
func (t *Table) def() tableDef {
	columns := append([]columnDef{}, headColumns...)
	for _, c := range t.Columns {
		columns = append(columns, c.def())
	}
	comment := fmt.Sprintf("Leadron's %s events, one row per event ID with FINAL", t.Entity)
	if t.Entity == "" {
		comment = "Leadron events of types that have no table of their own, one row per event ID with FINAL"
	}
	return tableDef{
		name: t.Name, comment: comment, columns: append(columns, tailColumns...),
		extra:  "INDEX occurred_at_minmax occurred_at TYPE minmax GRANULARITY 1",
		engine: "ReplacingMergeTree(_version)", order: "event_id",
	}
}

func (c Column) def() columnDef { return columnDef{c.Name, c.Kind.ClickHouseType(), "", c.Comment} }

// The tables beside the event tables.
var fixedTables = []tableDef{
	{
		name:    "deliveries",
		comment: "the ledger: one row per Kafka record that sink has dealt with (FINAL); merges of the event tables erase losing duplicates, this still knows them",
		columns: []columnDef{
			{"topic_epoch", "UInt32", "", "counts the topic's recreations: offsets start again with each"},
			{"kafka_partition", "Int32", "", "the partition the record lies in"},
			{"kafka_offset", "Int64", "CODEC(Delta, ZSTD(1))", "its offset there"},
			{"event_id_hash", "FixedString(16)", "", "left(SHA256(event_id), 16); 16 zero bytes for a dead letter"},
			{"body_hash", "UInt64", "", "xxHash64 of the body"},
			{"received_at", utcMillis, "CODEC(Delta, ZSTD(1))", "when ingest took the delivery (the record's time), UTC"},
			{"loaded_at", utcMillis, "CODEC(Delta, ZSTD(1))", "when sink wrote it, UTC"},
			{"outcome", "Enum8('inserted' = 1, 'dead_lettered' = 2, 'erased' = 3)", "", "what became of the record"},
			{"version", "UInt64", "CODEC(T64, ZSTD(1))", "0 as sink writes it; a replay of a dead letter writes a higher one"},
		},
		engine: "ReplacingMergeTree(version)", order: "(topic_epoch, kafka_partition, kafka_offset)",
	},
	{
		name:    "dead_letters",
		comment: "records that are no event, each with its bytes and the reason; one row per Kafka record with FINAL",
		columns: []columnDef{
			{"topic_epoch", "UInt32", "", "counts the topic's recreations"},
			{"kafka_partition", "Int32", "", "the partition the record lies in"},
			{"kafka_offset", "Int64", "", "its offset there"},
			{"reason", "LowCardinality(String)", "", "why: invalid_utf8, invalid_json, duplicate_key, bad_envelope, or rejected (ClickHouse refused its row)"},
			{"detail", "String", "", "the same in words"},
			{"record_key", "String", "", "the record's key, empty when it has none"},
			{"payload", "String", "CODEC(ZSTD(3))", "the delivery's body, byte for byte"},
			{"headers", "Array(Tuple(name String, value String))", "", "the record's headers in order"},
			{"received_at", utcMillis, "", "when ingest took the delivery, UTC"},
			{"loaded_at", utcMillis, "", "when sink wrote it, UTC"},
			{"status", "Enum8('open' = 1, 'replayed' = 2, 'discarded' = 3)", "DEFAULT 'open'", "what has been done about it"},
			{"version", "UInt64", "", "0 as sink writes it, higher with every change of status"},
		},
		engine: "ReplacingMergeTree(version)", order: "(topic_epoch, kafka_partition, kafka_offset)",
	},
	{
		name:    "offset_gaps",
		comment: "runs of offsets that were lost before sink could read them, each until somebody has taken note of it (FINAL); runs may overlap",
		columns: []columnDef{
			{"topic_epoch", "UInt32", "", "counts the topic's recreations"},
			{"kafka_partition", "Int32", "", "the partition"},
			{"first_offset", "Int64", "", "the first offset lost"},
			{"next_offset", "Int64", "", "the first offset after it that is not lost"},
			{"detail", "String", "", "how it was noticed, in words"},
			{"noticed_at", utcMillis, "", "when, UTC"},
			{"status", "Enum8('open' = 1, 'acknowledged' = 2)", "DEFAULT 'open'", "acknowledged with leadhouse verify --acknowledge"},
			{"version", "UInt64", "", "0 as sink writes it, higher once it is acknowledged"},
		},
		engine: "ReplacingMergeTree(version)", order: "(topic_epoch, kafka_partition, first_offset, next_offset)",
	},
	{
		name:    "topic_epochs",
		comment: "the topic's recreations that somebody has accepted; without a row it is epoch 0 (FINAL)",
		columns: []columnDef{
			{"topic_epoch", "UInt32", "", "counts them, from 1"},
			{"kafka_partition", "Int32", "", "a partition of the new topic"},
			{"first_offset", "Int64", "", "where the new epoch begins in it"},
			{"detail", "String", "", "what was seen of the old topic, in words"},
			{"accepted_at", utcMillis, "", "when, UTC"},
		},
		engine: "ReplacingMergeTree(accepted_at)", order: "(topic_epoch, kafka_partition)",
	},
	{
		name:    "catalog",
		comment: "what each pull of Leadron's event catalog said",
		columns: []columnDef{
			{"pulled_at", utcMillis, "", "when, UTC"},
			{"source", "String", "", "where from: the API's address, a file, or builtin"},
			{"event_group", "LowCardinality(String)", "", "the catalog's group"},
			{"event_type", "LowCardinality(String)", "", "<entity>.<verb>"},
			{"description", "String", "", "Leadron's description"},
			{"example_payload", "String", "CODEC(ZSTD(3))", "the example, as JSON"},
		},
		engine: "MergeTree", order: "(pulled_at, event_type)",
	},
	erasuresTable,
	changesTable,
}

// changesTable is the schema's own history, and the one place that knows which field of data is behind a column.
var changesTable = tableDef{
	name:    "schema_changes",
	comment: "every change backfill made to this database; the rows of one revision are one run's",
	columns: []columnDef{
		{"revision", "UInt32", "", "counts the runs that changed something"},
		{"changed_at", utcMillis, "", "when it was done, UTC"},
		{"leadhouse_version", "LowCardinality(String)", "", "the version that did it"},
		{"run_id", "String", "", "the run: two at the same time do not share a revision"},
		{"table_name", "LowCardinality(String)", "", "the table or view changed"},
		{"column_name", "String", "", "the typed column added; empty for a table or view"},
		{"kind", "LowCardinality(String)", "", "table, view, or what the field is: text, time, number, bool, object, array, mixed"},
		{"entity", "LowCardinality(String)", "", "of a table: the entity whose events it holds"},
		{"json_path", "Array(String)", "", "of a column: the keys from data down to its field"},
		{"event_type", "LowCardinality(String)", "", "of a column that only one event type fills: that type"},
		{"comment", "String", "", "the comment given to the column"},
		{"statement", "String", "CODEC(ZSTD(3))", "the statement applied; empty for a column that came with its table or stood there already"},
	},
	engine: "MergeTree", order: "(revision, table_name, column_name)",
}
