package schema

import (
	"fmt"
	"strings"
)

// The books: views over the ledger. **A flush that was recorded twice or late changes none of their sums**: they read the
// ledger with FINAL, one entry a position, and an event belongs to the partition of its first position, so that the
// partitions add up to the total.

// bookViews stand on the view events, so that they need not be made anew when a table comes.
func bookViews(database string) []viewDef {
	return []viewDef{balanceView(database), conflictsView(database), redeliveriesView(database)}
}

// balanceView counts entries by position and events by ID. A position is compared as a whole, epoch first, and not by the
// time of receipt: clocks step back, positions do not. It is packed into one number, because ClickHouse keeps the least of
// tuples in several times the memory.
func balanceView(database string) viewDef {
	return viewDef{
		name:    "delivery_balance",
		comment: "the books, a row per partition: fetched = inserted + collapsed + dead_lettered + erased; sums over the rows are the total",
		columns: []columnDef{
			{name: "topic_epoch", typ: "UInt32", comment: "counts the topic's recreations"},
			{name: "kafka_partition", typ: "Int32", comment: "the partition"},
			{name: "fetched", typ: "UInt64", comment: "Kafka records that sink has dealt with"},
			{name: "inserted", typ: "UInt64", comment: "events, each counted where it was delivered first"},
			{name: "collapsed", typ: "UInt64", comment: "further deliveries of events that were there already"},
			{name: "dead_lettered", typ: "UInt64", comment: "records that are no event, in dead_letters"},
			{name: "erased", typ: "UInt64", comment: "deliveries about persons who had been erased before"},
		},
		query: strings.ReplaceAll(`SELECT topic_epoch, kafka_partition, sum(entries) AS fetched, sum(firsts) AS inserted,
  toUInt64(sum(events) - sum(firsts)) AS collapsed, sum(letters) AS dead_lettered, sum(erasures) AS erased
FROM
(
  SELECT topic_epoch, kafka_partition, count() AS entries, toUInt64(0) AS firsts, countIf(outcome = 'inserted') AS events,
    countIf(outcome = 'dead_lettered') AS letters, countIf(outcome = 'erased') AS erasures
  FROM {deliveries} FINAL GROUP BY topic_epoch, kafka_partition
  UNION ALL
  SELECT toUInt32(bitShiftRight(first, 96)) AS topic_epoch, toInt32(bitShiftRight(first, 64)) AS kafka_partition,
    toUInt64(0), count(), toUInt64(0), toUInt64(0), toUInt64(0)
  FROM
  (
    SELECT min(bitOr(bitOr(bitShiftLeft(toUInt128(topic_epoch), 96), bitShiftLeft(toUInt128(kafka_partition), 64)), toUInt128(kafka_offset))) AS first
    FROM {deliveries} FINAL WHERE outcome = 'inserted' GROUP BY event_id_hash
  )
  GROUP BY topic_epoch, kafka_partition
)
GROUP BY topic_epoch, kafka_partition
ORDER BY topic_epoch, kafka_partition`, "{deliveries}", quote(database)+".deliveries"),
	}
}

// positionsShown bounds the positions that a row of the views below lists: a sender that repeats one delivery a million
// times must not make them unreadable.
const positionsShown = 100

// positionsOf lists the first of them in order.
const positionsOf = "arraySlice(arraySort(groupArray(10000)((d.topic_epoch, d.kafka_partition, d.kafka_offset))), 1, %d)"

var positionsColumn = columnDef{
	name: "positions", typ: "Array(Tuple(topic_epoch UInt32, kafka_partition Int32, kafka_offset Int64))",
	comment: fmt.Sprintf("where its deliveries lie in Kafka, the first %d of them", positionsShown),
}

var eventIDColumn = columnDef{name: "event_id", typ: "String", comment: "the event's ID; its hash in hex where no event table has it"}

// conflictsView finds hashes with more than one body first, which keeps little, and then looks at their entries.
func conflictsView(database string) viewDef {
	return viewDef{
		name:    "event_id_conflicts",
		reads:   []string{"events"},
		comment: "event IDs that came with more than one body: the event tables hold one of them, deliveries knows of all",
		columns: []columnDef{
			eventIDColumn,
			{name: "bodies", typ: "UInt64", comment: "how many different bodies came under this ID"},
			{name: "deliveries", typ: "UInt64", comment: "how many deliveries there were"},
			{name: "first_received_at", typ: utcMillis, comment: "when the first came, UTC"},
			{name: "last_received_at", typ: utcMillis, comment: "when the last came, UTC"},
			positionsColumn,
		},
		query: repeated(database, "uniqExact(d.body_hash) AS bodies, count() AS deliveries", "min(body_hash) != max(body_hash)", "bodies, deliveries"),
	}
}

func redeliveriesView(database string) viewDef {
	return viewDef{
		name:    "redeliveries",
		reads:   []string{"events"},
		comment: "event IDs that were delivered more than once",
		columns: []columnDef{
			eventIDColumn,
			{name: "deliveries", typ: "UInt64", comment: "how often"},
			{name: "same_bytes", typ: "Bool", comment: "whether every delivery had the same body; if not, see event_id_conflicts"},
			{name: "first_received_at", typ: utcMillis, comment: "when the first came, UTC"},
			{name: "last_received_at", typ: utcMillis, comment: "when the last came, UTC"},
			positionsColumn,
		},
		query: repeated(database, "count() AS deliveries, toBool(min(d.body_hash) = max(d.body_hash)) AS same_bytes", "count() > 1", "deliveries, same_bytes"),
	}
}

// repeated is a query over the event IDs whose entries fulfil a condition. Dead letters have no ID.
func repeated(database, what, having, names string) string {
	db := quote(database)
	hashes := fmt.Sprintf("SELECT event_id_hash FROM %s.deliveries FINAL WHERE outcome != 'dead_lettered' GROUP BY event_id_hash HAVING %s", db, having)
	return fmt.Sprintf(`SELECT if(n.event_id = '', lower(hex(r.hash)), n.event_id) AS event_id, %s, first_received_at, last_received_at, positions
FROM
(
  SELECT d.event_id_hash AS hash, %s, min(d.received_at) AS first_received_at, max(d.received_at) AS last_received_at,
    %s AS positions
  FROM %s.deliveries AS d FINAL
  WHERE d.outcome != 'dead_lettered' AND d.event_id_hash IN (%s)
  GROUP BY d.event_id_hash
) AS r
LEFT ANY JOIN
(
  SELECT event_id, %s AS hash FROM %s.events WHERE hash IN (%s)
) AS n ON n.hash = r.hash`,
		names, what, fmt.Sprintf(positionsOf, positionsShown), db, hashes, EventIDHash, db, hashes)
}

// EventIDHash is deliveries.event_id_hash of an event table's row, in SQL.
const EventIDHash = "toFixedString(left(SHA256(event_id), 16), 16)"
