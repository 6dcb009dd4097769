// Package deadletters is what an operator does about dead_letters: look at them, replay those whose cause is mended, and
// discard the others. A dead letter is a Kafka record that is no event, or one whose row ClickHouse refused; sink writes
// it with its bytes, and goes on.
//
//	Select ─▶ Selection: counts, and how far each partition goes ─┬─▶ Each: read them
//	                                                              ├─▶ Replay: event row ─▶ ledger ─▶ status replayed
//	                                                              └─▶ Discard: status discarded
//
// # Promises
//
//   - **Nothing is deleted.** A replay and a discard write a new row of dead_letters with another status; bytes, key and
//     headers stay. Only a TTL that somebody has asked for (backfill --dead-letters-ttl) removes rows, and only an erasure
//     blanks them.
//   - **A replay is what a sink would do**: today's decoder, the columns the warehouse has now, the table of the event's
//     entity, the same _version. Whatever comes again collapses on the event ID.
//   - **The ledger says inserted only of what is in its table, and replayed follows the ledger**: event row, then
//     deliveries, then the status. A replay that is killed between two of them is finished by the next, which does the
//     same again; nothing is doubled.
//   - **What is about an erased lead stays erased.** Its event goes into its table blanked, and the ledger says erased; a
//     letter that is written again has no bytes any more. The tombstones are read before each of these inserts.
//   - **Who puts an event into its table wins.** Of a replay and a discard at the same moment the status becomes replayed,
//     whoever writes last; and of both over what sink writes when it fetches the record once more.
//   - **Memory is bounded**: a page of positions, and a chunk of letters by rows and bytes; one letter larger than a chunk
//     is a chunk.
//
// # What happens when
//
//	a body still is no event                  it stays open, with what today's decoder says of it
//	ClickHouse refuses a chunk's rows         halved until the guilty ones are alone: these stay open, rejected, with its
//	                                          code and message; the others go in
//	the schema changed                        read anew, typed anew, tried again
//	ClickHouse is away, or says later         tried again for Config.RetryFor without a chunk done; then an error, and the
//	                                          next run goes on
//	its answer to an insert is lost           the same rows again: they collapse
//	killed, at any point                      the next replay that selects the letter ends in the same state
//	two replays at once                       both write the same rows, which collapse
//	a replay and a discard at once            replayed; a discard finds it by the ledger, and so does the next replay
//	an event that is in its table already     replayed, since it is there; the ledger's entry follows
//	  is discarded, or refused
//	a replayed letter is selected again       inserted again, and collapses: the way to refill a table that lost rows
//	a discarded one is replayed               replayed, if it can be; else it stays discarded
//	sink has inserted the record since        the ledger says so: the letter is replayed
//	a tombstone covers a letter's event       replayed, blanked; the letter's bytes go with its new status
//	an erasure has blanked the letter         left alone, and counted; where its event is in its table, replayed
//	the ledger says that the event was        left alone, and counted
//	  erased, and no tombstone covers it
//	sink writes more letters meanwhile        left for the next run: a Selection ends where the partitions did
package deadletters
