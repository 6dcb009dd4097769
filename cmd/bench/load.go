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
	took      time.Duration   // from the first moment measured to the last answer
}

func (v volley) rate() float64 { return float64(len(v.latencies)) / v.took.Seconds() }

// fire runs the load. It begins when every connection has had an answer. Any answer but 202 is an error.
func (l load) fire(ctx context.Context) (sum volley, err error) {
	connections := make([]*connection, l.connections)
	defer func() {
		for _, c := range connections {
			if c != nil {
				c.conn.Close()
			}
		}
	}()
	opening, openCtx := errgroup.WithContext(ctx)
	for i := range connections {
		opening.Go(func() (err error) {
			connections[i], err = l.open(openCtx, i)
			return err
		})
	}
	if err := opening.Wait(); err != nil {
		return volley{}, err
	}
	begin := time.Now().Add(l.warm)
	running, runCtx := errgroup.WithContext(ctx)
	for _, c := range connections {
		running.Go(func() error { return c.run(runCtx, begin, begin.Add(l.measured)) })
	}
	if err := running.Wait(); err != nil {
		return volley{}, err
	}
	sum.all = len(connections) // their first
	for _, c := range connections {
		sum.all += c.all
		sum.latencies = append(sum.latencies, c.latencies...)
		sum.took = max(sum.took, c.last.Sub(begin))
	}
	slices.Sort(sum.latencies)
	return sum, nil
}

// answerTimeout is when a server that does not answer any more is given up.
const answerTimeout = 30 * time.Second

// A connection sends one request after another, each when the one before has been answered.
type connection struct {
	conn      net.Conn
	answers   *bufio.Reader
	requests  [][]byte
	next      int
	all       int
	latencies []time.Duration
	last      time.Time // when the last answer came
}

func (l load) open(ctx context.Context, i int) (*connection, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := &connection{
		conn: conn, answers: bufio.NewReader(conn), requests: l.requests, latencies: make([]time.Duration, 0, 1<<14),
		// Connections begin at different requests, so that they do not all sign for one entity, which is one partition.
		next: i * len(l.requests) / l.connections,
	}
	if err = conn.SetDeadline(time.Now().Add(l.warm + l.measured + 2*answerTimeout)); err == nil {
		err = c.exchange()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// run measures the requests sent from begin to end; one at least, however long it takes.
func (c *connection) run(ctx context.Context, begin, end time.Time) error {
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	for {
		sent := time.Now()
		if !sent.Before(end) && len(c.latencies) > 0 {
			return nil
		}
		if err := c.exchange(); err != nil {
			return err
		}
		c.last = time.Now()
		c.all++
		if !sent.Before(begin) {
			c.latencies = append(c.latencies, c.last.Sub(sent))
		}
	}
}

func (c *connection) exchange() error {
	if _, err := c.conn.Write(c.requests[c.next]); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	if c.next++; c.next == len(c.requests) {
		c.next = 0
	}
	return readAccepted(c.answers)
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
