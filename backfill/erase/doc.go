// Package erase blanks what a warehouse holds about a lead: payloads, typed columns and dead letters, in every version of
// every row, and keeps that the events happened.
//
//	tombstone ─▶ blank at once ─▶ wait until every sink has read the tombstone ─▶ look again, and blank, until nothing is found
//	                                                                                   └─▶ views ─▶ what is not within reach
//
// An event is about a lead when data.leadId is its ID, in any table. What is kept of it, schema.Column.OutlivesErasure and
// schema.Warehouse.Blanking say: event ID, type, times, position, other entities' IDs.
//
// # Promises
//
//   - **The tombstone comes first.** It is written and read back before anything is blanked; sinks, fills, moves and replays
//     that have read it bring the lead's events in blank.
//   - **Every version is blanked**, also rows that FINAL hides, and rows that a lightweight DELETE has only masked. The bytes
//     leave the tables' active parts: they are rewritten by mutations. A lightweight UPDATE would leave them where they are
//     and lay a patch over them.
//   - **Nobody else's rows are touched.** A row is chosen by its typed lead_id, or by what sink's own decoder reads in its
//     payload; a search for bytes only proposes.
//   - **Idempotent and resumable.** It may be cut anywhere; the next run finishes it, and finds nothing to blank after that.
//   - **It says what it cannot reach**, always.
//   - **Nothing personal goes into a log, an error, a report or the text of a statement**: IDs alone. E-mail addresses, which
//     it looks for in others' rows, go to ClickHouse as data.
//
// # What happens when
//
//	a lead is unknown                         the tombstone is written all the same: its events may yet come
//	a sink has not read the tombstone         what it writes is found by the sweep after Config.SettleFor
//	a sink never does                         an error after ten times that: it is of an older version, or hangs
//	a fill or a move runs beside              it reads the tombstones before each insert; what was on its way is found
//	                                          by the sweep
//	killed, at any point                      mutations go on by themselves; the next run finishes the rest
//	two runs at once                          both blank the same rows
//	ClickHouse goes away                      an error; run it again
//	a mutation fails, ours or an earlier one  an error with ClickHouse's reason, and how to look at it and end it
//	a mutation takes longer than WaitFor      an error; it goes on by itself, and a later run waits for the rest
//	an ID is spelt with escapes               found in events; in bodies that are no events only where it needs none
//	leadId stands there twice                 any that matches is enough
//	a column was renamed or added by hand     blanked as well
//	a replica is away                         waited for, up to WaitFor
package erase
