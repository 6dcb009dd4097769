package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

var sinkBench = bench{
	name: "sink",
	run:  runSink,
	notes: []string{
		"from the start of the process, joining the group included, until deliveries, which is written last, has every row; decoding is in leadhouse's time and not in the peer's.",
		"the peer is clickhouse-go through schema's own Insert, in another process: the same blocks of the same rows, typed beforehand, on two connections that never wait for each other, its garbage collector off, because a heap of two million rows would count against it.",
		"ClickHouse and Kafka run on the same cores, and their CPU is not in the figures.",
	},
}

const (
	sinkRatio  = 0.65
	sinkCPU    = 6   // s per million
	sinkMemory = 450 // MiB
)

// pass is one way of rows into tables, once.
type pass struct {
	rate, cpu, memory float64 // rows/s, CPU s per million rows, MiB
}

func (p pass) String() string {
	return fmt.Sprintf("%s rows/s, %s CPU s per million, %s MiB", number(p.rate), number(p.cpu), number(p.memory))
}

func newPass(rows int, took time.Duration, used usage) pass {
	return pass{
		rate:   float64(rows) / took.Seconds(),
		cpu:    used.cpu.Seconds() / float64(rows) * 1e6,
		memory: used.mebibytes(),
	}
}

func runSink(ctx context.Context, r *rig) (results, error) {
	topic, err := r.journeysTopic(ctx)
	if err != nil {
		return results{}, err
	}
	var ours, peers []pass
	var wrong float64
	for round := range r.rounds {
		ourPass, ourErrors, err := r.inDatabase(ctx, "sink", func(database string) (pass, error) { return r.load(ctx, topic, database, r.rows) })
		if err != nil {
			return results{}, err
		}
		peerPass, peerErrors, err := r.inDatabase(ctx, "insert", func(database string) (pass, error) { return r.insertPeer(ctx, database) })
		if err != nil {
			return results{}, err
		}
		ours, peers = append(ours, ourPass), append(peers, peerPass)
		wrong += float64(ourErrors + peerErrors)
		r.say("sink, round %d of %d: %v; the peer: %s rows/s, %s CPU s per million", round+1, r.rounds, ourPass, number(peerPass.rate), number(peerPass.cpu))
	}
	rate := func(p pass) float64 { return p.rate }
	cpu := func(p pass) float64 { return p.cpu }
	return results{figures: []figure{
		{what: "rows/s", ours: median(each(ours, rate)), peer: median(each(peers, rate)), beside: compared, limit: limit{ratio, sinkRatio}},
		{what: "CPU s per million rows", ours: median(each(ours, cpu)), peer: median(each(peers, cpu)), beside: compared, limit: limit{atMost, sinkCPU}},
		{what: "peak memory MiB, the most of all rounds", ours: most(ours), limit: limit{atMost, sinkMemory}},
		{what: "rows missing or seen twice, of both", ours: wrong, limit: limit{atMost, 0}},
	}}, nil
}

func most(passes []pass) (memory float64) {
	for _, p := range passes {
		memory = max(memory, p.memory)
	}
	return memory
}

// inDatabase runs a pass into a database of its own and returns also how many rows are wrong there.
func (r *rig) inDatabase(ctx context.Context, what string, run func(database string) (pass, error)) (p pass, wrong uint64, err error) {
	database := r.name(what)
	if err := r.setUp(ctx, database); err != nil {
		return p, 0, err
	}
	if err := r.quiet(ctx); err != nil {
		return p, 0, err
	}
	if p, err = run(database); err != nil {
		return p, 0, err
	}
	if wrong, err = r.wrongRows(ctx, database, r.rows, r.rows); err != nil {
		return p, 0, err
	}
	return p, wrong, r.drop(ctx, database)
}

// load runs the sink until deliveries, empty before, has a number of records, and stops it. Of 2,000,000 records all
// batches are full; of another number the last may wait for its age, which counts.
func (r *rig) load(ctx context.Context, topic, database string, rows int, args ...string) (pass, error) {
	began := time.Now()
	s, _, err := r.startSink(topic, database, args...)
	if err != nil {
		return pass{}, err
	}
	err = r.awaitDeliveries(ctx, database, rows)
	took := time.Since(began)
	used := s.stop()
	if err != nil {
		return pass{}, err
	}
	return newPass(rows, took, used), nil
}

// startSink starts a sink of a group of its own, which begins at the topic's first record.
func (r *rig) startSink(topic, database string, args ...string) (p *process, admin string, err error) {
	if admin, err = freeAddr(); err != nil {
		return nil, "", err
	}
	p, err = r.serve("sink", r.leadhouse, nil, slices.Concat([]string{
		"sink", "--kafka-brokers", strings.Join(r.broker.Brokers(), ","), "--kafka-topic", topic, "--kafka-group", r.name("group"),
		"--clickhouse-addr", r.server.DirectAddr(), "--clickhouse-database", database, "--admin-addr", admin,
	}, r.sinkArgs, args)...)
	return p, admin, err
}

const (
	// lookInterval is how often it is asked whether all rows are there. The answer is in the parts' metadata.
	lookInterval = 20 * time.Millisecond

	// tellInterval is how often a long pass says how far it is.
	tellInterval = 10 * time.Second

	// slowest rate at which a pass is still waited for, in rows a second, after a minute for the start.
	slowest = 10_000
)

// awaitDeliveries waits until the ledger, which the sink writes last, has every record.
func (r *rig) awaitDeliveries(ctx context.Context, database string, rows int) error {
	told := time.Now()
	return await(ctx, fmt.Sprintf("the sink to bring in %d records", rows), patience(rows), lookInterval, func(ctx context.Context) (bool, error) {
		n, err := r.count(ctx, "SELECT count() FROM "+database+".deliveries")
		if time.Since(told) > tellInterval {
			told = time.Now()
			r.say("%s: %s of %s rows", database, number(float64(n)), number(float64(rows)))
		}
		return n >= uint64(rows), err
	})
}

// patience is how long a pass may take.
func patience(rows int) time.Duration { return time.Minute + time.Duration(rows)*time.Second/slowest }

// allEvents are the event tables as one.
func allEvents(database string) string { return "merge('" + database + "', '_events$')" }

// wrongRows counts in SQL how many events are missing, how many more FINAL shows than there are, and how many records
// deliveries has too many or too few.
func (r *rig) wrongRows(ctx context.Context, database string, events, records int) (uint64, error) {
	all := allEvents(database)
	// By a hash of 64 bits: of 20 million, two are the same once in 100,000 runs.
	ids, err := r.count(ctx, "SELECT uniqExact(sipHash64(event_id)) FROM "+all)
	if err != nil {
		return 0, err
	}
	visible, err := r.count(ctx, "SELECT count() FROM "+all+" FINAL")
	if err != nil {
		return 0, err
	}
	ledger, err := r.count(ctx, "SELECT count() FROM "+database+".deliveries FINAL WHERE outcome = 'inserted'")
	if err != nil {
		return 0, err
	}
	return apart(ids, uint64(events)) + apart(visible, ids) + apart(ledger, uint64(records)), nil
}

func apart(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// insertPeer has the same rows inserted by clickhouse-go alone.
func (r *rig) insertPeer(ctx context.Context, database string) (pass, error) {
	args, err := peerArgs(insertPeerCommand, insertPeer{Addr: r.server.DirectAddr(), Database: database, Rows: r.rows})
	if err != nil {
		return pass{}, err
	}
	p, err := r.launch("peer-insert", r.self, nil, args...)
	if err != nil {
		return pass{}, err
	}
	if _, err := p.wait(ctx); err != nil {
		return pass{}, err
	}
	log, err := p.program.Log()
	if err != nil {
		return pass{}, err
	}
	var did inserted
	if err := json.Unmarshal([]byte(log), &did); err != nil {
		return pass{}, fmt.Errorf("read what the peer has done, %q: %w", log, err)
	}
	return newPass(did.Rows, did.Took, usage{cpu: did.CPU}), nil
}
