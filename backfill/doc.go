// Package backfill brings a warehouse to what Leadron's catalog says, and its stored rows with it.
//
//	catalog (API, file, builtin) ─▶ infer ─▶ diff against ClickHouse ─▶ plan ─▶ apply ─▶ sweep ─▶ sweep ─▶ … quiet
//	                                                                                      │
//	        rows typed with older columns: payload ─▶ the sink's extraction ─▶ the same table, newer _version
//	        rows of other_events whose entity has a table now: typed, inserted there, checked, then deleted here
//
// # Promises
//
//   - **Additive only.** No table or column is dropped, narrowed or changed in type; what does not fit the plan is a
//     finding that says what to do.
//   - **Safe beside running sinks.** A row is written again under a version that beats what was read and loses to what a
//     sink has typed with newer columns. A row is deleted from other_events only in the versions that were checked to
//     stand in their table.
//   - **Idempotent and resumable.** Every step may run twice and may be cut anywhere; the next run finishes it. A fill
//     that was killed repeats at most one chunk.
//   - **No row is lost.** A row whose payload cannot be read stays, with the columns it has. Dead letters expire only where
//     Config.DeadLettersTTL asks ClickHouse for it.
//   - **Erased data are not written back.** Tombstones are read after the rows and before each insert; what they cover is
//     written blank, and a row that is blank stays so.
//   - **The API key goes to Config.APIURL alone**: to no redirect, over no plain connection but a loopback one, and into
//     no log or error.
//
// # What happens when
//
//	the API refuses the key (401, 403)        an error that says which setting to look at, without the key
//	the gateway's limit is reached (429)      waits for its reset, when that is within Config.PullTimeout; else says until when
//	the tenant's quota is used up (429)       stops: it renews with the billing period, no waiting helps; a catalog can come
//	                                          from a file or the binary until then
//	the API is away, slow, or answers 5xx     six attempts with growing pauses, or as Retry-After says; then an error
//	the API redirects                         an error: the key is not sent after it
//	the answer is cut, too large, HTML, or    an error that says what came instead; nothing has been changed
//	  not a catalog
//	the catalog is hostile                    names are checked and quoted, tables hold at most 500 typed columns, the rest
//	                                          is a finding; control characters are not printed
//	a column's type changed in the catalog    a finding; nothing is altered
//	a column or table was dropped by hand     it is made again, and filled from what is stored
//	ClickHouse goes away during a fill        the sweep is begun again, with growing pauses, until Config.RetryFor has
//	                                          passed without a row written; then an error, and the next run goes on
//	an analyst has a view or table of the     it is left alone, what would read it is not made, and the plan says so
//	  name of one of ours
//	a view cannot be made, or filled          an error that names it; tables and columns stand, and sinks use them
//	a refresh of a view's table has failed    the error of the next run, after it has done all else
//	killed, at any point                      the next run goes on; what was being written is written again and collapses
//	two backfills at once                     each revision is one run's; both write the same rows, which collapse
//	a sink writes rows with older columns     the sweep is repeated until none has come for Config.SettleFor
//	a sink goes on doing so                   an error after ten times that: it cannot read schema_changes, or hangs
//	a sink was stuck for longer than that     its rows are stale; --plan shows them, the next run types them
//	a payload is no envelope, or another's    the row is carried to the newest revision as it is, and reported
//	  event's
//	someone added a column of their own       a row that is written again has its DEFAULT there
//	a lead is erased at the same moment       its rows are written blank; what an insert under way still brings in, erase
//	                                          finds when it looks again
//	someone deletes rows at the same moment   a row read before may be written again after: delete with leadhouse erase
package backfill
