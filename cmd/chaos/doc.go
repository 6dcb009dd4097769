// Command chaos breaks a running pipeline in every way it knows, for as long as it is told, and then counts.
//
//	              ┌──────┐      ┌──────────┐      ┌─────────┐      ┌──────┐      ┌──────────┐      ┌────────────┐
//	Leadron's ──▶ │ link │ ──▶  │ ingest 2×│ ──▶  │  link   │ ──▶  │ Kafka│ ◀──  │  sink 3× │ ──▶  │ClickHouse  │
//	stand-in      └──────┘      └──────────┘      └─────────┘      └──────┘ link └──────────┘ link └────────────┘
//	   │ journal of every 2xx                                                                             │
//	   └────────────────────────────────▶  audit  ◀───────────────────────────────────────────────────────┘
//
// The programs are the built binary's, each a process of its own; Kafka and ClickHouse are the real ones; a link is a TCP
// proxy (local.Proxy). Begin to read in run.go.
//
// **Every delivery with a 2xx is one row under FINAL, in its table, with the columns that were sent, or a dead letter; no
// forged one is anywhere; the ledger has each record of Kafka once.** audit.go compares all of it, row by row, and leadhouse
// verify must agree; anything else ends with exit code 1.
//
// **The same seed is the same schedule**: which fault strikes what at which moment after the start, and for how long. It is
// drawn before anything is started (plan.go), and --plan prints it. What a fault meets is up to the machine: one that met
// nothing (no connection to cut) is not counted.
//
// # What happens when
//
//	a fault's target is still busy with the last     it waits for its turn: faults of one target follow each other
//	a leadhouse process ends by itself               the run fails, with the end of its log; the process is started again
//	ClickHouse ends by itself                        it is started again on its data, and the report says so
//	something is not drained within --drain-timeout  the audit says what is missing
//	Ctrl-C                                           all ends in good order; a second one kills
//	chaos is killed                                  its processes die with it
package main
