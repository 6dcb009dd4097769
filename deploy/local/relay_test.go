package local

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A server that is in the middle of an answer when its client is reset.
func TestRelayTurnsResetIntoEndOfStream(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	r, err := startRelay("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	client, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	_ = server.SetDeadline(time.Now().Add(10 * time.Second))

	if _, err := client.Write([]byte("insert")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(server, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	_ = client.(*net.TCPConn).SetLinger(0) // what the kernel does for a killed client with unread answers
	_ = client.Close()
	if n, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("server reads %d, %v, want EOF", n, err)
	}
	// It may answer at length, though nobody listens, and is not reset for it.
	for range 64 {
		if _, err := server.Write(make([]byte, 1<<20)); err != nil {
			t.Fatalf("server writes: %v", err)
		}
	}
	_ = server.Close()
	r.cut()
	r.wait()
}

func TestRelayCarriesBothWaysAndHalfClose(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	r, err := startRelay("127.0.0.1:0", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.wait()
	defer r.cut()
	go func() { // an echo that ends with its client
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	client, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = client.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v, want hello", got, err)
	}
}

func TestRelayRefusesWhileServerIsAway(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r, err := startRelay("127.0.0.1:0", loopback(port))
	if err != nil {
		t.Fatal(err)
	}
	defer r.wait()
	defer r.cut()
	client, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		return // refused even earlier
	}
	defer func() { _ = client.Close() }()
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read: got %v, want a reset", err)
	}
}
