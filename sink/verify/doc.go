// Package verify proves the books: it compares what Kafka holds and what the group has committed with the ledger
// (deliveries), the event tables and dead_letters.
//
// # Promises
//
//   - **Every Kafka record below the committed offset is accounted for, or named.** It has one entry in the ledger; the
//     entry's event has a row, or its dead letter is there; or its offset is in a report, with its event ID while Kafka
//     still has the record.
//   - **No false alarm.** Offsets that Kafka covers and has no record at (control records, compaction) are no loss. Sinks
//     may run, rebalance, be killed meanwhile: what seems missing is looked at again before it is named.
//   - **It changes nothing**, except that Acknowledge records ranges of offsets as lost and accepted, and only such as are
//     lost for good.
//   - **Memory is bounded**, here and in ClickHouse: the ledger is read in chunks of offsets, the tables in slices of the
//     event IDs' hashes.
//
// # How
//
//	committed offsets ─▶ the log's bounds ─▶ gaps ─▶ ledger ─▶ event tables, dead letters ─▶ Kafka's last records
//
// The order is that of the writing, backwards: sink commits last of all, so whatever is read after the committed offsets has
// at least what is below them.
//
// # What is found
//
//	unrecorded              below the committed offset, and no entry in the ledger           not balanced
//	no_event_row            the ledger says inserted or erased, no event table has that ID   not balanced
//	no_dead_letter          the ledger says dead_lettered, dead_letters has no such row      not balanced
//	differs                 Kafka's record has other bytes than the ledger knows             not balanced
//	committed_past_end      the group has committed what the log does not have               not balanced
//	open_gap                lost to retention, and nobody has taken note                     not balanced
//	not_erased              a row or dead letter of a lead that was erased an hour ago or    not balanced
//	                          earlier still has its bytes
//	acknowledged_gap        the same, and somebody has                                       told, no more
//	superseded_dead_letter  open, but the ledger says inserted or erased: replayed by halves told, no more
//	unknown_event_row       an event row from below the committed offset without an entry    told, no more
//
// not_erased is no loss, and breaks the balance so that it is not overlooked: `leadhouse erase` again mends it. Where a table
// has no column lead_id, a leadId in payload that is no plain string is not found.
//
// Of offsets that Kafka no longer covers nobody can tell whether there was a record: without an entry they are missing, and
// can be acknowledged. ingest leaves no such offsets; a producer of somebody's that uses transactions does.
//
// A dead letter older than the TTL that backfill has set is not asked for. An event that a TTL has removed is missing to verify:
// where the event tables have one, look no further back (Since).
package verify
