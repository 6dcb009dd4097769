package local

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A Terminator ends TLS before a server that has none, and passes on what is inside.
//
// It stands before ClickHouse because the embedded one, clickhouse-local, does not listen with TLS, though its OpenSSL is built in: with tcp_port_secure and openSSL in its configuration, `SYSTEM START LISTEN TCP SECURE` answers code 1, "in clickhouse-local supports only TCP and HTTP listeners". So the client's TLS, its handshake and its certificates are real, and only the server's is Go's instead of OpenSSL's.
type Terminator struct {
	listener net.Listener
	upstream string
	ctx      context.Context // ends with Stop
	cancel   context.CancelFunc
	wg       sync.WaitGroup // the accept loop and one per client

	mu      sync.Mutex
	refused []error // of handshakes, in order
}

// StartTerminator listens on a free port of 127.0.0.1 with the configuration's certificates, and passes connections on to a server's host:port.
func StartTerminator(upstream string, config *tls.Config) (*Terminator, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen with TLS: %w", err)
	}
	t := &Terminator{listener: tls.NewListener(l, config), upstream: upstream}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.accept)
	return t, nil
}

// Addr is host:port of the listener.
func (t *Terminator) Addr() string { return t.listener.Addr().String() }

// Refused are the handshakes that failed so far, as the server's side saw it.
func (t *Terminator) Refused() []error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]error(nil), t.refused...)
}

// Stop ends the listener and every connection, and returns when they are gone.
func (t *Terminator) Stop() {
	t.cancel()
	_ = t.listener.Close()
	t.wg.Wait()
}

func (t *Terminator) accept() {
	for {
		c, err := t.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			_ = wait(t.ctx, 10*time.Millisecond) // out of descriptors, most likely
			continue
		}
		t.wg.Go(func() { t.serve(c.(*tls.Conn)) })
	}
}

// serve carries one client's bytes until both directions have ended.
func (t *Terminator) serve(client *tls.Conn) {
	defer func() { _ = client.Close() }()
	defer context.AfterFunc(t.ctx, func() { _ = client.NetConn().Close() })()
	ctx, cancel := context.WithTimeout(t.ctx, 10*time.Second)
	defer cancel()
	if err := client.HandshakeContext(ctx); err != nil {
		t.mu.Lock()
		t.refused = append(t.refused, err)
		t.mu.Unlock()
		return
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", t.upstream)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer func() { _ = server.Close() }()
	defer context.AfterFunc(t.ctx, func() { _ = server.Close() })()

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(server, client)
		_ = server.CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	_ = client.Close() // ends the other direction, if it still waits for the client
	<-sent
}
