// Command demo is the tour of leadhouse: a stand-in for Leadron delivers 20,000 signed events of believable customer
// journeys, and the three real commands, as processes of the built binary, make typed rows of them in a real ClickHouse.
//
//	             catalog                           ┌───────────────┐
//	    ┌────────────────────────────────────────▶ │ leadhouse     │ creates and evolves the tables
//	    │                                          │ backfill      │ ───────────────────────────┐
//	┌───┴─────┐  signed   ┌───────────┐  ┌───────┐ └───────────────┘ ┌───────────┐  ┌───────────▼┐
//	│ Leadron │ ────────▶ │ leadhouse │─▶│ Kafka │──────────────────▶│ leadhouse │─▶│ ClickHouse │◀── the numbers
//	│ stand-in│           │ ingest    │  └───────┘                   │ sink      │  └────────────┘    of the tables
//	└─────────┘           └───────────┘                              └───────────┘
//
// Begin to read in story.go. Stand-in and engines are those of deploy/local, or engines that the user runs already.
//
// **Every number on the screen was counted by the sender's journal or asked of ClickHouse, and the books balance: each
// delivery that ingest accepted is one row or one dead letter.** If not, the demo says which is missing and ends with
// exit code 1 (balance.go).
//
// # What happens when
//
//	a port is taken                     the demo says which, and takes another
//	a leadhouse process ends by itself  the story ends with the end of its log
//	ClickHouse ends by itself           it is started again on its data; the sink waits for it
//	Ctrl-C, at any moment               processes end in good order, temporary files go; a second one kills
//	the demo is killed                  its processes die with it (deploy/local/process.go); the next demo removes its files
//	topic, group or database are there  on engines of the user: refused; nothing that exists is touched
package main
