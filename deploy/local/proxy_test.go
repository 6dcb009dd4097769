package local

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// proxied is a server that answers each line with itself, behind a proxy.
func proxied(t *testing.T) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					io.WriteString(c, line)
				}
			}()
		}
	}()
	p, err := StartProxy(ProxyConfig{Upstreams: []string{"127.0.0.1:1", l.Addr().String()}}) // the first does not answer
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

type conversation struct {
	*testing.T
	*net.TCPConn
	in *bufio.Reader
}

func converse(t *testing.T, p *Proxy) conversation {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return conversation{t, c.(*net.TCPConn), bufio.NewReader(c)}
}

func (c conversation) say(line string) {
	c.Helper()
	if _, err := io.WriteString(c, line); err != nil {
		c.Fatalf("say: %v", err)
	}
}

func (c conversation) hear(want string) {
	c.Helper()
	if got, err := c.in.ReadString('\n'); err != nil || got != want {
		c.Fatalf("hear %q, %v; want %q", got, err, want)
	}
}

// over asserts that the connection has been reset: nothing more was heard, not even an orderly end.
func (c conversation) over() {
	c.Helper()
	got, err := c.in.ReadString('\n')
	if ne, is := errors.AsType[net.Error](err); err == nil || errors.Is(err, io.EOF) || is && ne.Timeout() {
		c.Fatalf("hear %q, %v; want a reset", got, err)
	}
}

func TestProxyCarriesAndEndsInOrder(t *testing.T) {
	t.Parallel()
	c := converse(t, proxied(t))
	long := strings.Repeat("x", 200_000) + "\n"
	c.say(long)
	c.hear(long)
	c.say("last\n")
	c.CloseWrite()
	c.hear("last\n")
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestProxyFaults(t *testing.T) {
	t.Parallel()
	for name, check := range map[string]func(*Proxy, conversation){
		"cut": func(p *Proxy, c conversation) {
			if p.Cut() != 1 {
				c.Error("one connection was to be met")
			}
			c.over()
		},
		"cut one": func(p *Proxy, c conversation) { p.CutOne(); c.over() },
		"away": func(p *Proxy, c conversation) {
			p.SetAway(true)
			c.over()
			if away, err := net.Dial("tcp", p.Addr()); err == nil { // else the reset was faster than the dialling
				conversation{c.T, away.(*net.TCPConn), bufio.NewReader(away)}.over()
				away.Close()
			}
			p.SetAway(false)
			again := converse(c.T, p)
			again.say("back\n")
			again.hear("back\n")
		},
		"stall": func(p *Proxy, c conversation) {
			p.Stall(true)
			c.say("late\n")
			c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			if got, err := c.in.ReadString('\n'); err == nil {
				c.Errorf("heard %q", got)
			}
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			p.Stall(false)
			c.hear("late\n")
		},
		"slow": func(p *Proxy, c conversation) {
			p.Slow(50*time.Millisecond, 100)
			began := time.Now()
			c.say("123456789\n") // 50 ms and 100 ms, twice
			c.hear("123456789\n")
			if took := time.Since(began); took < 300*time.Millisecond {
				c.Errorf("took %v", took)
			}
		},
		"half-close, up": func(p *Proxy, c conversation) {
			p.HalfClose(true) // the server is done then, and ends the other half
			if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
				c.Errorf("%v, want an orderly end", err)
			}
		},
		"half-close, down": func(p *Proxy, c conversation) {
			p.HalfClose(false)
			if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
				c.Errorf("%v, want an orderly end", err)
			}
		},
		"an answer lost": func(p *Proxy, c conversation) {
			lost := make(chan bool)
			go func() { lost <- p.LoseAnswer(c.Context()) }()
			for i := 0; ; i++ { // until the fault is armed
				if _, err := io.WriteString(c, "pay\n"); err != nil {
					break
				}
				if _, err := c.in.ReadString('\n'); err != nil {
					break
				}
			}
			if !<-lost {
				c.Error("it did not strike")
			}
		},
		"a fault that meets nothing": func(p *Proxy, c conversation) {
			ctx, cancel := context.WithCancel(c.Context())
			cancel()
			if p.LoseInsertAnswer(ctx) {
				c.Error("it struck")
			}
			c.say("unharmed\n")
			c.hear("unharmed\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := proxied(t)
			c := converse(t, p)
			c.say("hello\n")
			c.hear("hello\n")
			check(p, c)
		})
	}
}

// An INSERT is met at its moments, on the real ClickHouse: cut in the middle nothing is written, with the answer lost all.
func TestProxyMeetsInserts(t *testing.T) {
	t.Parallel()
	server := Shared(t)
	db := server.Database(t)
	p, err := StartProxy(ProxyConfig{Upstreams: []string{server.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	if _, err := server.Query(t.Context(), "CREATE TABLE "+db+".t (n UInt32) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		arm    moment
		insert error
		rows   string
	}{
		{"none", 0, nil, "1000"},
		{"rows", rowsBegin, io.EOF, "1000"},
		{"answer", insertAnswered, io.EOF, "2000"},
	} {
		struck := &strike{at: c.arm, done: make(chan struct{})}
		p.mu.Lock()
		p.armed = struck
		p.mu.Unlock()
		if err := insertThrough(t, p, db); (err == nil) != (c.insert == nil) {
			t.Errorf("%s: the insert ends with %v", c.name, err)
		}
		if c.arm != 0 {
			<-struck.done
		}
		if got, err := server.Query(t.Context(), "SELECT count() FROM "+db+".t"); err != nil || got != c.rows {
			t.Errorf("%s: %s rows, %v; want %s", c.name, got, err, c.rows)
		}
	}
}

func insertThrough(t *testing.T, p *Proxy, db string) error {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{p.Addr()}, Auth: clickhouse.Auth{Username: "default"}, Settings: clickhouse.Settings{"async_insert": 0}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+db+".t (n)")
	if err != nil {
		return err
	}
	for n := range 1000 {
		if err := batch.Append(uint32(n)); err != nil {
			return err
		}
	}
	return batch.Send()
}
