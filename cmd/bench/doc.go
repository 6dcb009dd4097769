// Command bench measures what leadhouse costs. Every figure that depends on the machine stands beside one of a peer, taken
// in the same run, in turns: A B A B A B, and of each the median counts. `bench -h` says what is measured, and how.
//
//	ingest     bin/leadhouse ingest, Kafka, acks=all   against   net/http: read, HMAC, 202          (ingest.go, peerhttp.go)
//	sink       bin/leadhouse sink, from Kafka          against   clickhouse-go, typed rows at hand  (sink.go, peerinsert.go)
//	fill       bin/leadhouse backfill, a new column    against   the sink                           (fill.go)
//	freshness  all of it at 1,000 events a second      against   the clock                          (freshness.go)
//	layout     the real sink into other tables         against   each other                         (layout.go)
//
// **Only whole processes are measured, as they are shipped: the built binary, a real ClickHouse, a real Apache Kafka.**
// The memory of a process is its high-water mark as the kernel keeps it (usage_linux.go), its CPU time is what the kernel
// says at its end, start and stop included. What has arrived is counted in ClickHouse, by SQL; a bench that loses a row,
// or has one twice, fails, however fast it was.
//
// # What happens when
//
//	a limit is missed                   the table says MISSED, the last line names it, exit code 1
//	a measured process ends by itself   the bench ends with the end of its log, exit code 1
//	a request gets another answer       the bench ends with it: figures of a server that refuses are worth nothing
//	  than 202
//	the machine is busy                 so are both sides; the table shows the load there was at the start
//	Ctrl-C, or this program is killed   processes and data go as the demo's do (deploy/local)
package main
