package sink_test

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
)

// fault is what the proxy does to the next INSERT into a table.
type fault int

const (
	cutBefore  fault = iota + 1 // the connection is cut when the rows begin: nothing is written
	loseAnswer                  // the rows arrive and are written, the answer is lost with the connection
	silence                     // the rows arrive, and then nothing comes back, for as long as the proxy is silent
)

// proxy stands between a sink and ClickHouse's native port.
type proxy struct {
	listener net.Listener
	upstream string
	wg       sync.WaitGroup

	mu      sync.Mutex
	cond    *sync.Cond
	away    bool             // nobody answers: connections are cut, new ones closed
	frozen  bool             // connections stay, nothing passes
	faults  map[string]armed // by table
	inserts map[string]int   // INSERTs that have come, by table
	hits    int
	waiting int // reads that are held up while frozen
	conns   map[net.Conn]struct{}
}

// armed is a fault that waits for an INSERT: the next, or one after some others.
type armed struct {
	fault fault
	after int
}

func newProxy(t testing.TB, upstream string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, upstream: upstream, faults: map[string]armed{}, inserts: map[string]int{}, conns: map[net.Conn]struct{}{}}
	p.cond = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.setAway(true)
		p.freeze(false)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// setAway makes ClickHouse unreachable, or reachable again.
func (p *proxy) setAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
	if away {
		for c := range p.conns {
			c.Close()
		}
	}
}

// freeze lets nothing pass in either direction, or lets it pass again.
func (p *proxy) freeze(frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = frozen
	p.cond.Broadcast()
}

// held is how many connections have something to pass on, and may not.
func (p *proxy) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// arm sets what happens to the next INSERT into a table.
func (p *proxy) arm(table string, f fault) { p.armAfter(table, f, 0) }

// armAfter sets what happens to an INSERT into a table that comes after so many others.
func (p *proxy) armAfter(table string, f fault, others int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults[table] = armed{f, others}
}

// insertsInto is how many INSERTs into a table have come.
func (p *proxy) insertsInto(table string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inserts[table]
}

// struck is how many faults have happened.
func (p *proxy) struck() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		server, err := net.Dial("tcp", p.upstream)
		if err != nil || !p.add(client, server) {
			client.Close()
			if err == nil {
				server.Close()
			}
			continue
		}
		link := &link{proxy: p, client: client, server: server}
		p.wg.Go(link.up)
		p.wg.Go(link.down)
	}
}

func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

// pass waits while the proxy is frozen.
func (p *proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting++
	for p.frozen {
		p.cond.Wait()
	}
	p.waiting--
}

// link is one connection. It follows an INSERT: its query, the table's columns from the server, the rows, the answer.
type link struct {
	proxy          *proxy
	client, server net.Conn

	mu    sync.Mutex
	fault fault
	at    int // 0 no fault, 1 the query has passed, 2 the columns have passed, 3 the rows have begun
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	delete(l.proxy.conns, l.client)
	delete(l.proxy.conns, l.server)
}

// up carries what the client sends.
func (l *link) up() {
	defer l.close()
	buf := make([]byte, 256<<10)
	for {
		n, err := l.client.Read(buf)
		l.proxy.pass()
		if n > 0 {
			if l.sees(buf[:n]) == cutBefore {
				return
			}
			if _, err := l.server.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// sees follows the client's side, and returns the fault that strikes now.
func (l *link) sees(sent []byte) fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == 2 {
		l.at = 3
		l.proxy.hit()
		return l.fault
	}
	if i := bytes.Index(sent, []byte("INSERT INTO")); i >= 0 {
		l.proxy.mu.Lock()
		defer l.proxy.mu.Unlock()
		_, table, _ := bytes.Cut(sent[i:min(len(sent), i+200)], []byte("`.`"))
		table, _, _ = bytes.Cut(table, []byte("`"))
		l.proxy.inserts[string(table)]++
		if a, found := l.proxy.faults[string(table)]; found {
			if a.after--; a.after >= 0 {
				l.proxy.faults[string(table)] = a
				return 0
			}
			l.fault, l.at = a.fault, 1
			delete(l.proxy.faults, string(table))
		}
	}
	return 0
}

func (p *proxy) hit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hits++
}

// down carries what the server sends.
func (l *link) down() {
	defer l.close()
	const endOfStream = 5
	buf := make([]byte, 256<<10)
	for {
		n, err := l.server.Read(buf)
		l.proxy.pass()
		if n > 0 {
			l.mu.Lock()
			if l.at == 1 {
				l.at = 2
			}
			fault, rows := l.fault, l.at == 3
			l.mu.Unlock()
			switch {
			case rows && fault == loseAnswer:
				if buf[n-1] == endOfStream {
					return
				}
			case rows && fault == silence:
			default:
				if _, err := l.client.Write(buf[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}
