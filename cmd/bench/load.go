package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// load is a closed loop: each connection sends its next request when the answer to the last one is there. It is the same
// for both sides, and as cheap as can be, since it takes its CPU from the same cores: requests are bytes made beforehand,
// and of an answer no more is read than where it ends.
type load struct {
	addr        string
	connections int
	requests    [][]byte
	warm        time.Duration // at first, not measured
	measured    time.Duration
}

// volley is what a load has seen.
type volley struct {
	all       int             // answers, those of the warming up included
	latencies []time.Duration // of those measured, sorted
	took      time.Duration   // measured
}

func (v volley) rate() float64 { return float64(len(v.latencies)) / v.took.Seconds() }

// fire runs the load. Any answer but 202 is an error.
func (l load) fire(ctx context.Context) (volley, error) {
	begin := time.Now().Add(l.warm)
	end := begin.Add(l.measured)
	each := make([]volley, l.connections)
	group, ctx := errgroup.WithContext(ctx)
	for i := range each {
		group.Go(func() (err error) {
			each[i], err = l.connection(ctx, i, begin, end)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return volley{}, err
	}
	sum := volley{took: l.measured}
	for _, v := range each {
		sum.all += v.all
		sum.latencies = append(sum.latencies, v.latencies...)
	}
	slices.Sort(sum.latencies)
	return sum, nil
}

// answerTimeout is when a server that does not answer any more is given up.
const answerTimeout = 30 * time.Second

func (l load) connection(ctx context.Context, i int, begin, end time.Time) (v volley, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return v, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(end.Add(answerTimeout)); err != nil {
		return v, err
	}
	answers := bufio.NewReader(conn)
	v.latencies = make([]time.Duration, 0, 1<<14)
	// Connections begin at different requests, so that they do not all sign for one entity, which is one partition.
	next := i * len(l.requests) / l.connections
	for {
		sent := time.Now()
		if !sent.Before(end) {
			return v, nil
		}
		if _, err := conn.Write(l.requests[next]); err != nil {
			return v, fmt.Errorf("send a request: %w", err)
		}
		if err := readAccepted(answers); err != nil {
			return v, err
		}
		now := time.Now()
		v.all++
		if !sent.Before(begin) && now.Before(end) {
			v.latencies = append(v.latencies, now.Sub(sent))
		}
		if next++; next == len(l.requests) {
			next = 0
		}
	}
}

var (
	statusAccepted = []byte("HTTP/1.1 202 ")
	contentLength  = []byte("content-length:")
)

// readAccepted reads one answer, which must be 202 with a declared length.
func readAccepted(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if !bytes.HasPrefix(line, statusAccepted) {
		return fmt.Errorf("the answer is not 202 but %q", line)
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return fmt.Errorf("read an answer's header: %w", err)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if n := len(contentLength); len(line) > n && bytes.EqualFold(line[:n], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[n:]))); err != nil {
				return fmt.Errorf("read an answer's length: %w", err)
			}
		}
	}
	if length < 0 {
		return errors.New("an answer has no Content-Length")
	}
	if _, err := r.Discard(length); err != nil {
		return fmt.Errorf("read an answer's body: %w", err)
	}
	return nil
}

// signedRequests are deliveries of customer journeys as they go over the wire.
func signedRequests(n int, secret string) [][]byte {
	requests := make([][]byte, 0, n)
	for d := range (local.Journeys{Seed: 1, Events: n}).All() {
		head := fmt.Sprintf("POST /webhooks/leadron HTTP/1.1\r\nHost: bench\r\nUser-Agent: leadhouse-bench\r\n"+
			"Content-Type: application/json\r\n%s: %s\r\nContent-Length: %d\r\n\r\n", local.SignatureHeader, local.Sign(secret, d.Body), len(d.Body))
		requests = append(requests, append([]byte(head), d.Body...))
	}
	return requests
}
