// Package sink moves Leadron's deliveries from a Kafka topic into ClickHouse: consume, decode, batch, insert, commit.
//
// # Promises
//
//   - **An offset is committed only when ClickHouse has acknowledged everything below it**: every event row, every dead
//     letter, and last of all the ledger, deliveries. Offsets are committed as a contiguous prefix of each partition.
//   - **No record is dropped.** One that is no event, or whose row ClickHouse refuses, becomes a dead letter with its bytes,
//     key, headers and reason; what is refused for any other reason is kept and sent again, for as long as it takes. What
//     Kafka itself has removed too early is
//     recorded, to the offset, before the sink goes on behind it, and no sink is ready until somebody has acknowledged it.
//   - **Only a row that was refused alone is blamed, and only while the others of its table go in.** Of a table's last 1,000
//     rows a tenth may be refused (Config.RejectPercent): beyond that it is the table that is wrong, and nothing becomes a
//     dead letter for its sake.
//   - **A topic that was recreated is not read as the one before.** Before a partition is read, the ledger's last entry is
//     compared with the record that lies there now; another record, or a log that has lost its end, stops the sink until
//     somebody accepts the topic as a new epoch.
//   - **An event is there once, whatever happens to the sink.** Blocks that are sent again carry the same
//     insert_deduplication_token; whatever comes a second time in another block (after a crash, a rebalance, from a zombie)
//     collapses on the event ID, a dead letter and a ledger entry on their position.
//   - **A row is typed and marked with one and the same reading of the schema**, which began no more than two reload
//     intervals before its insert was sent.
//   - **Two reload intervals after a lead's tombstone nothing personal of the lead is sent to ClickHouse any more**, neither in
//     a row nor in a dead letter, however long a batch has waited: the tombstones are part of that reading. What is about an
//     erased lead is as complete as the rest; see schema.Tombstones for what is kept of it.
//   - **Memory is bounded**: two batches, and one fetch a partition.
//
// # How
//
//	Run ─┬─ admin listener
//	     └─ group: one generation after another ─▶ pipeline
//
//	fetcher, one a partition ─┐                              ┌─ insert ─┐
//	fetcher ──────────────────┼─▶ gather: decode, type ─▶ insert         ├─▶ settle: deliveries, commit
//	fetcher ──────────────────┘     ▲                        └─ insert ─┘       │
//	                                └───────────────── free ◀───────────────────┘
//
// A batch holds records of all partitions; it ends by rows, bytes or age. There are two: one fills while the other is
// inserted, or is inserted while the other is entered into deliveries and committed, in their order: a batch that is given
// up takes the one behind it along. Where a batch stands is a state, and what is done about an error depends on classify
// alone:
//
//	            rows are in          refused ones        ledger is in        Kafka knows
//	            or blamed            are buried
//	inserting ───────────▶ burying ───────────▶ recording ────────▶ committing ────────▶ finished
//	  ▲  │                  ▲  │                  ▲  │                 ▲  │
//	  │  ├─ retryable, fatal: wait ───────────────┘  └─────────────────┘  │   the same rows, the same tokens
//	  │  ├─ schema: read it anew, type the rows that are not in again, wait
//	  │  ├─ poison, oversize: halve the block, and the halves; a row that is refused alone is blamed (bisect.go)
//	  │  ├─ tripped: blame no more, wait, try one of the blamed rows (breaker.go)
//	  └──┴─ generation over, or the shutdown's time up: abandoned, not committed, read again by the next owner
//
// # What happens when
//
//	ClickHouse is away, or says later       the batch waits; both batches full: fetching stops; heartbeats go on; not ready
//	its disk is full                        likewise
//	its answer to an insert is lost         the same rows under the same token: ClickHouse writes nothing twice
//	it refuses a block for its content      halved until the rows to blame are alone: they become dead letters with its code
//	                                        and message, the others go in; refused by the dozen: kept and sent again, not
//	                                        ready, nothing is committed, the log says what to look at
//	  and that of deliveries                kept and sent again: it has no row that could be left out
//	  and the sink is killed meanwhile      all is read and judged again; what was in or a dead letter collapses
//	  and takes the row the next time       the ledger says what happened last; what the first time left stays: a row in its
//	    it is read, or the other way round  table, or a dead letter that is open and may be replayed or discarded
//	  for a materialized view's sake        as for a row's; that the table itself has the row already, ClickHouse does not
//	                                        rule out: then it is there and a dead letter
//	too many parts (252)                    the batch waits
//	too many partitions in a block (252)    halved, in order, until it goes in; nothing is blamed
//	it refuses the account                  at the start: Run returns the error (Kafka's too); later: kept and sent again
//	a certificate is not to be trusted      likewise, theirs and ours
//	a column was added, dropped, changed    the schema is read again by the timer or the error; rows are typed anew
//	a lead is erased                        what is about it and not in ClickHouse yet is typed anew, blanked, under other
//	                                        tokens; the ledger says erased, of dead letters what it said before
//	  while an insert's answer is awaited   what it has written stays, for `leadhouse erase` to blank; what follows is blanked
//	  and all is read again from Kafka      it arrives blanked, and the ledger says erased now
//	there is no table erasures              a warehouse of an older version: nothing counts as erased, the log says so
//	a table is missing                      waited for; the log says to run `leadhouse backfill`
//	Kafka is away                           fetchers dial on; the generation ends; joined again when it is back
//	a record is larger than every limit     read and stored: a fetch brings one record batch at least, a batch takes one record
//	clocks differ, or are set back          order is the offsets', and which row of an event stays its record times' and schema's
//	a leader moves                          a new connection, the same offset; the group notices nothing
//	a commit fails                          tried again until the generation ends; the next owner reads the batch again
//	the group rebalances in mid-batch       what is on its way has HandoverTimeout; then it is abandoned
//	the sink was frozen past its session    Kafka refuses its commit; its late rows collapse
//	the sink is killed                      what was not committed is read again
//	the sink is stopped                     it flushes for ShutdownTimeout at most, commits, leaves the group
//	a broker accepts and says nothing       no call waits without a deadline (kafka-go's SASL exchange would)
//	a record batch is empty (compaction)    read around with kafka.Client; kafka-go's Conn panics over it
//	a transaction's marker                  no record: only the offset moves on
//	retention has taken the next offset     the range goes into offset_gaps, nothing moves before it is there; then on from
//	                                        the log's start; not ready on any sink until `leadhouse verify --acknowledge`
//	  while ClickHouse is away              the same, once it is back; what was fetched before is no part of the range
//	  and the sink is killed then           the same range is recorded again, as the same row
//	  of a group without offsets            a new group's first record is where the log begins, that is no gap; where the
//	                                        ledger has entries, its end counts as the group's offset
//	the next offset is past the log's end   Run returns an error that says what to do; a start with AcceptNewTopic reads the
//	the ledger's last entry is another        topic from its start as a new epoch, and what comes again collapses
//	  record than the one that is there
//	a new epoch's start is killed half-way  every sink stops as before; the next start with AcceptNewTopic finishes it
//	the topic is compacted                  Run returns an error
//	the topic is not there                  waited for
//
// # Figures
//
// Inserting a batch's tables one at a time took 366 MiB of memory, two together 420, four together 470, without a difference
// in rows per second beyond the noise of two cores that ClickHouse and Kafka shared (1 M mixed events, batches of 50,000).
// Two hide one table's wait for the disk behind the other's encoding, and the spare memory is better kept.
package sink
