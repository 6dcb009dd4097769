package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A relay stands before ClickHouse's native port and lets no RST through to it: **whatever ends a client, the server sees an orderly end of the stream.**
//
// The embedded server aborts when a client dies in the middle of an insert and the kernel answers the server's next packet with RST ("Connection reset by peer", uncaught in its TCP handler; once in fifteen kill -9 of a client). Through the relay it reads a FIN, and its answers are taken and dropped until it is done.
type relay struct {
	listener net.Listener
	upstream string

	mu    sync.Mutex
	conns map[net.Conn]struct{} // clients, to be cut by close; nil once closed
	wg    sync.WaitGroup        // the accept loop and one per client
}

func startRelay(addr, upstream string) (*relay, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for ClickHouse's clients: %w", err)
	}
	r := &relay{listener: l, upstream: upstream, conns: map[net.Conn]struct{}{}}
	r.wg.Add(1)
	go r.accept()
	return r, nil
}

func (r *relay) accept() {
	defer r.wg.Done()
	for {
		c, err := r.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, most likely: clients wait in the backlog until some are free.
			_ = wait(context.Background(), 10*time.Millisecond)
			continue
		}
		if !r.add(c) {
			_ = c.Close()
			return
		}
		go func() {
			defer r.wg.Done()
			defer r.remove(c)
			r.serve(c.(*net.TCPConn))
		}()
	}
}

// serve carries one client's bytes until both directions have ended.
func (r *relay) serve(client *net.TCPConn) {
	defer func() { _ = client.Close() }()
	conn, err := net.DialTimeout("tcp", r.upstream, 5*time.Second)
	if err != nil {
		_ = client.SetLinger(0) // the server is away: a reset is as near to "connection refused" as an accepted connection gets
		return
	}
	server := conn.(*net.TCPConn)
	defer func() { _ = server.Close() }()

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(server, client)
		_ = server.CloseWrite() // EOF and RST of the client look the same from here on
	}()
	_, _ = io.Copy(client, server)
	// The client is gone or the server is done. Closing with answers unread would itself be a reset, so the server's are read to their end.
	_, _ = io.Copy(io.Discard, server)
	_ = client.Close() // ends the other direction, if it still waits for the client
	<-sent
}

func (r *relay) add(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	r.conns[c] = struct{}{}
	r.wg.Add(1)
	return true
}

func (r *relay) remove(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// cut ends the listening and every client's connection.
func (r *relay) cut() {
	_ = r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// wait returns when the goroutines have ended after cut, which they do with the server's side of their connections.
func (r *relay) wait() { r.wg.Wait() }
