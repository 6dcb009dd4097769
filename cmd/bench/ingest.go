package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

var ingestBench = bench{
	name: "ingest",
	run:  runIngest,
	notes: []string{
		"a closed loop over keep-alive connections on this machine; leadhouse answers when Kafka has acknowledged with acks=all, the peer when the HMAC fits.",
		"every cell is a process of its own; its CPU is from start to end, by all requests answered, those for warming up included. The load's own CPU is in neither.",
	},
}

const (
	// deliveries is how many different requests there are. The rest is repetition: ingest does not look whether an event
	// has been there.
	deliveries = 50_000

	// warmUp fills pools, and lets Kafka and the runtime find their pace.
	warmUp = time.Second
)

// levels are the numbers of connections, and what must be reached there.
var levels = []struct {
	connections int
	rate        limit // of the peer's
	p99         limit // ms, on a quiet machine
}{
	{connections: 8},
	{connections: 64, rate: limit{ratio, 0.40}, p99: limit{atMost, 15}},
	{connections: 256, rate: limit{ratio, 0.50}},
}

const ingestMemory = 64 // MiB

// cell is one server at one number of connections, once.
type cell struct {
	rate, p50, p99, cpu, memory float64 // 1/s, ms, ms, s per 100,000 requests, MiB
}

func runIngest(ctx context.Context, r *rig) (results, error) {
	secret := rand.Text()
	requests := signedRequests(deliveries, secret)
	topic := r.name("ingest")
	ours, peers := make([][]cell, len(levels)), make([][]cell, len(levels))
	for round := range r.rounds {
		for i, level := range levels {
			l := load{connections: level.connections, requests: requests, warm: min(warmUp, r.cell), measured: r.cell}
			a, err := r.ingestCell(ctx, l, secret, topic)
			if err != nil {
				return results{}, err
			}
			b, err := r.httpPeerCell(ctx, l, secret)
			if err != nil {
				return results{}, err
			}
			ours[i], peers[i] = append(ours[i], a), append(peers[i], b)
			r.say("ingest, round %d of %d, %d connections: %s requests/s, p99 %s ms; the peer %s, %s ms",
				round+1, r.rounds, level.connections, number(a.rate), number(a.p99), number(b.rate), number(b.p99))
		}
	}
	return results{figures: ingestFigures(ours, peers)}, nil
}

func ingestFigures(ours, peers [][]cell) (figures []figure) {
	add := func(what string, how beside, pick func(cell) float64, limitAt func(i int) limit) {
		for i, level := range levels {
			figures = append(figures, figure{
				what: fmt.Sprintf("%s, %d connections", what, level.connections),
				ours: median(each(ours[i], pick)), peer: median(each(peers[i], pick)), beside: how, limit: limitAt(i),
			})
		}
	}
	unlimited := func(int) limit { return limit{} }
	add("requests/s", compared, func(c cell) float64 { return c.rate }, func(i int) limit { return levels[i].rate })
	add("p50 ms", shown, func(c cell) float64 { return c.p50 }, unlimited)
	add("p99 ms", shown, func(c cell) float64 { return c.p99 }, func(i int) limit { return levels[i].p99 })
	add("CPU s per 100,000 requests", compared, func(c cell) float64 { return c.cpu }, unlimited)
	return append(figures, figure{
		what: "peak memory MiB, the most of all cells", ours: mostOf(ours), peer: mostOf(peers), beside: shown, limit: limit{lessThan, ingestMemory},
	})
}

func mostOf(cells [][]cell) (memory float64) {
	for _, level := range cells {
		for _, c := range level {
			memory = max(memory, c.memory)
		}
	}
	return memory
}

func each[T, U any](of []T, pick func(T) U) []U {
	picked := make([]U, len(of))
	for i, x := range of {
		picked[i] = pick(x)
	}
	return picked
}

func (r *rig) ingestCell(ctx context.Context, l load, secret, topic string) (cell, error) {
	s, err := r.startIngest(ctx, secret, topic)
	if err != nil {
		return cell{}, err
	}
	l.addr = s.addr
	return s.measure(ctx, l)
}

// ingestServer is a running leadhouse ingest, or its peer.
type ingestServer struct {
	*process
	addr string
}

func (r *rig) startIngest(ctx context.Context, secret, topic string) (*ingestServer, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddr()
	if err != nil {
		return nil, err
	}
	p, err := r.serve("ingest", r.leadhouse, map[string]string{"LEADHOUSE_WEBHOOK_SECRETS": "bench=" + secret},
		"ingest", "--listen", addr, "--admin-addr", admin,
		"--kafka-brokers", strings.Join(r.broker.Brokers(), ","), "--kafka-topic", topic, "--kafka-create-topic",
		"--drain-delay", "0s") // no load balancer has to look elsewhere first
	if err != nil {
		return nil, err
	}
	if err := ready(ctx, "leadhouse ingest", "http://"+admin+"/readyz"); err != nil {
		p.stop()
		return nil, err
	}
	return &ingestServer{p, addr}, nil
}

func (r *rig) httpPeerCell(ctx context.Context, l load, secret string) (cell, error) {
	addr, err := freeAddr()
	if err != nil {
		return cell{}, err
	}
	args, err := peerArgs(httpPeerCommand, httpPeer{Addr: addr})
	if err != nil {
		return cell{}, err
	}
	p, err := r.serve("peer-http", r.self, map[string]string{secretVariable: secret}, args...)
	if err != nil {
		return cell{}, err
	}
	if err := ready(ctx, "the peer", "http://"+addr+"/"); err != nil {
		p.stop()
		return cell{}, err
	}
	l.addr = addr
	return (&ingestServer{p, addr}).measure(ctx, l)
}

// measure puts the load on a server, and ends it.
func (s *ingestServer) measure(ctx context.Context, l load) (cell, error) {
	v, err := l.fire(ctx)
	used := s.stop()
	if err != nil {
		return cell{}, err
	}
	ms := func(share float64) float64 { return float64(quantile(v.latencies, share)) / float64(time.Millisecond) }
	return cell{
		rate: v.rate(), p50: ms(0.5), p99: ms(0.99),
		cpu:    used.cpu.Seconds() / float64(v.all) * 100_000,
		memory: used.mebibytes(),
	}, nil
}
