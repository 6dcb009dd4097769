// Package ingest takes Leadron's webhook deliveries and writes them to Kafka.
//
//	            public listener                                          admin listener
//	POST ─▶ method, path ─▶ headers ─▶ admission ─▶ body ─▶ signature    /healthz /readyz /metrics
//	                                                          │
//	                              key and headers (schema) ◀──┘
//	                                          │
//	                     one queue a partition ─▶ one Produce in flight, acks=all ─▶ 202
//
// **A 2xx is a receipt: it is sent only after Kafka has acknowledged the record with acks=all.** The line that keeps it
// is in partition.go, in attempt. The acknowledgement is worth what the topic is worth, so a compacted topic is refused
// at start and one without replicas is warned about (topic.go).
//
// **Nothing unverified gets in.** The signature is checked over the raw bytes before anything is parsed (handler.go,
// verify.go), and **nothing verified is thrown away**: a signed body is never refused for its content, and arrives byte
// for byte.
//
// Partitions: as many sinks can share the work, and one entity's events keep their order. Each has its own batches, so more
// of them make smaller ones. Seen on two busy cores with Kafka beside it: 64 senders got about 17,000 receipts a second
// over 3 partitions and 12,000 over 6.
//
// What happens when something fails:
//
//	a broker answers with an error that may pass      the batch is sent again while somebody may still wait for it
//	Kafka is away, or its answer does not come        503 with Retry-After after Config.AckTimeout; the record may still be
//	                                                  written, and the redelivery then collapses on its event ID
//	the acknowledgement is lost after the write       sent again: the record is there twice, and collapses on its event ID
//	a batch is too large for the topic                split until it fits: one record never fails its neighbours
//	the topic's limit is lowered under it             503 for what no longer fits; the rest of the batch goes in
//	Kafka's disk is full                              as Kafka away
//	our clock is wrong by more than Kafka allows      the batch is sent again without record times
//	our clock is set back                             nothing here is decided by it: time-outs are monotonic
//	in-flight requests or bytes are at their bound    503 with Retry-After, the body unread
//	the body is slow, too large, cut                  408, 413, 400: never 401, never stored in part
//	a signature is absent, doubled, malformed, wrong  401, the same bytes for every reason; which it was is a metric
//	the new secret or certificate file is bad         the old one stays in use; a log line and a metric say so
//	a panic in a request                              500, counted; the others go on
//	SIGTERM (the context ends)                        readiness fails, a short wait, requests finish, the producer flushes
//	the drain takes longer than Config.DrainTimeout   what is still waiting gets 503: no 2xx without an acknowledgement
//	kill -9                                           unanswered deliveries are redelivered by Leadron; no 2xx is lost
package ingest
