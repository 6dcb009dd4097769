// Package schema is what the stages of leadhouse agree on: how a delivery is read, which table and columns it goes to,
// and how those tables come to be. It holds no state and starts nothing.
//
// # Promises
//
//   - **One row per event ID.** Every event table is a ReplacingMergeTree ordered by event_id alone, without partitions;
//     _version decides between rows of one ID by the revision of the columns they were typed with and then by the time
//     of receipt, never by the clock of who wrote them.
//   - **A value in a typed column is exact.** What does not fit is NULL there, named in _invalid_fields, and stays in
//     payload. Nothing is rounded; times are truncated to milliseconds.
//   - **A plan is additive.** No statement drops a table or a column or changes a type. The one exception holds nothing that
//     was delivered: tables that views have filled (see materialize.go), each exchanged for the next at one moment.
//   - **Nobody else's table or view is replaced or read.** What a plan may replace bears a mark in its comment.
//   - **What is about an erased lead is blanked by one rule**, whoever writes or rewrites it: Tombstones say whose,
//     Column.OutlivesErasure what is kept.
//   - **A revision is read only with its columns.** Rows marked with it were typed with all of them.
//
// # What happens when
//
//	a body is no envelope                  Decode returns a *Refusal with a reason of a closed set; the record is a dead letter
//	a field of data is odd (twice, half a  that field is invalid; the event is not
//	  surrogate pair, nested 65 deep)
//	a type has no table                    other_events; of a known entity: the entity's table
//	a field has no column                  it stays in payload
//	a catalog names what makes no column   Model.Findings; it stays in payload, the rest goes on
//	examples of a field disagree           one text column that holds both, reported
//	a catalog's type changed               Plan.Findings with the statement that makes room; nothing altered
//	a lead is erased                       its events keep ID, type, time, position, and of the typed columns IDs (texts at
//	                                         the top of data whose name ends in Id), source, status, a deal's stages and money; payload is empty,
//	                                         all else NULL or empty, what a catalog adds later too. The ledger keeps the
//	                                         hashes of event ID and body, which tell two apart and cannot be read back
//	  and data names it otherwise, or its  not found: data.leadId says whose event it is, and in a body that is no event the
//	    ID in a broken body is escaped       record's key or the ID as a JSON string
//	  with an opportunity event that has   blanked like the lead's own: the reason goes with the rest, stages and money stay
//	    its leadId
//	a column was dropped, or its type      rows are typed without it; the next plan adds it, or says how to
//	  changed, by hand
//	a table stands there with another      Diff refuses: one row per event ID could not be kept
//	  engine or key
//	a run dies before it has recorded      the next plan finds what was done and records it
//	  while a view becomes a table, or a   readers find the old one whole; the next plan drops what was left and goes on to
//	    view again                           what it is told, or, told nothing, to tables if any view is one
//	two runs at once                       each gets a revision of its own, and fills views' tables under names of its own
//	a view cannot be made or filled        Apply's error; tables, columns and their record stand, so sinks go on
//	a refresh of a view's table fails      the table shows what it did; CheckRefreshes says so, and with it every backfill
//	somebody else's table or view has a    it is left alone, nothing that reads it is made, and Plan.Findings says how to
//	  view's name                            make room
//	a catalog forgets a type or a field    its view keeps the columns it has, in their order
//	a column that a type's view shows is   the view goes on and is empty there
//	  dropped or altered by hand
//	two types make one view's name, or     the first has it, then whoever had it before; a shipped name wins; the others'
//	  one that is taken                      events are in their table, and Plan.Findings says so
//	ClickHouse's answer to an insert is    the caller repeats the insert with the same rows and token
//	  lost
//
// # The layout, measured
//
// The table in layout.md is why the event tables look as they do: the key cannot be altered later.
package schema
