package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// ProxyConfig says between whom a proxy stands.
type ProxyConfig struct {
	// Port on 127.0.0.1. Defaults to a free one.
	Port int

	// Upstreams are host:port of what is behind. Each connection goes to one of them by chance, to another where that one does not answer. May be given later, with SetUpstreams.
	Upstreams []string
}

// A Proxy carries TCP connections, and does to them what networks do. Between faults it is transparent: bytes in order, ends of stream in both directions, a reset for a reset.
//
// A fault meets what is there: the counts that methods return say whether anything was.
type Proxy struct {
	listener net.Listener
	wg       sync.WaitGroup // the accept loop, and each link

	// mu guards the faults under way and the links.
	mu        sync.Mutex
	upstreams []string
	closed    bool
	away      bool
	stalled   chan struct{} // closed when bytes pass again; nil while they do
	delay     time.Duration // of each chunk
	rate      int           // bytes a second and direction of a link; 0: as they come
	armed     *strike       // hits the first that gets to its moment
	links     map[*link]struct{}
}

// A strike waits for its moment in some connection.
type strike struct {
	at   moment
	done chan struct{} // closed when it has struck
}

// A moment is a point in a conversation.
type moment int

const (
	answering      moment = iota + 1 // the server answers, whatever it was asked
	rowsBegin                        // of an INSERT on ClickHouse's native protocol: some rows are on their way, the rest never is
	insertAnswered                   // the rows are written, and the server says so
)

// StartProxy starts a proxy, which accepts when it returns.
func StartProxy(cfg ProxyConfig) (*Proxy, error) {
	port, err := Port(cfg.Port, "proxy", func(string) {})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return nil, fmt.Errorf("listen as a proxy: %w", err)
	}
	p := &Proxy{listener: l, upstreams: cfg.Upstreams, links: map[*link]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// SetUpstreams replaces what is behind, for new connections.
func (p *Proxy) SetUpstreams(addrs ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstreams = addrs
}

// Open is the number of connections.
func (p *Proxy) Open() int { return len(p.open()) }

// Stop cuts every connection and waits for the end.
func (p *Proxy) Stop() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.wg.Wait()
}

// Cut resets every connection.
func (p *Proxy) Cut() int {
	links := p.open()
	for _, l := range links {
		l.reset()
	}
	return len(links)
}

// CutOne resets one connection, if there is one.
func (p *Proxy) CutOne() int {
	links := p.open()
	if len(links) == 0 {
		return 0
	}
	links[rand.IntN(len(links))].reset()
	return 1
}

// SetAway resets every connection and then each new one, until it is taken back.
func (p *Proxy) SetAway(away bool) int {
	p.mu.Lock()
	p.away = away
	p.mu.Unlock()
	if away {
		return p.Cut()
	}
	return 0
}

// Stall lets nothing pass, or lets it pass again. Connections stay; what was sent arrives later.
func (p *Proxy) Stall(stalled bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case stalled && p.stalled == nil:
		p.stalled = make(chan struct{})
	case !stalled && p.stalled != nil:
		close(p.stalled)
		p.stalled = nil
	}
	return len(p.links)
}

// Slow delays each chunk, and lets so many bytes a second pass in each direction of a connection. Zeros end it.
func (p *Proxy) Slow(delay time.Duration, bytesPerSecond int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.rate = delay, bytesPerSecond
	return len(p.links)
}

// HalfClose ends one direction of every connection: the server's reading (up), or the client's. The other goes on.
func (p *Proxy) HalfClose(up bool) int {
	links := p.open()
	for _, l := range links {
		if up {
			_ = l.server.CloseWrite()
		} else {
			_ = l.client.CloseWrite()
		}
	}
	return len(links)
}

// LoseAnswer waits until a server answers, drops that and resets the connection: what was asked for has been done, and the client does not know. It returns false when ctx ends first.
func (p *Proxy) LoseAnswer(ctx context.Context) bool { return p.strike(ctx, answering) }

// CutInsert resets a connection to ClickHouse when the rows of an INSERT have begun.
func (p *Proxy) CutInsert(ctx context.Context) bool { return p.strike(ctx, rowsBegin) }

// LoseInsertAnswer waits until ClickHouse has written an INSERT's rows and says so, drops that and resets the connection.
func (p *Proxy) LoseInsertAnswer(ctx context.Context) bool { return p.strike(ctx, insertAnswered) }

func (p *Proxy) strike(ctx context.Context, at moment) bool {
	s := &strike{at: at, done: make(chan struct{})}
	p.mu.Lock()
	p.armed = s
	p.mu.Unlock()
	select {
	case <-s.done:
		return true
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed != s { // at the last moment, or another has taken its place
		select {
		case <-s.done:
			return true
		default:
			return false
		}
	}
	p.armed = nil
	return false
}

// strikes reports whether the armed fault is for this moment, and takes it.
func (p *Proxy) strikes(at moment) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed == nil || p.armed.at != at {
		return false
	}
	close(p.armed.done)
	p.armed = nil
	return true
}

func (p *Proxy) open() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			_ = wait(context.Background(), 10*time.Millisecond) // out of descriptors: clients wait in the backlog
			continue
		}
		p.wg.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

// serve carries one connection to its end.
func (p *Proxy) serve(client *net.TCPConn) {
	server := p.dial()
	if server == nil {
		_ = client.SetLinger(0) // as near to "connection refused" as an accepted connection gets
		_ = client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: server}
	l.ctx, l.end = context.WithCancel(context.Background())
	p.mu.Lock()
	p.links[l] = struct{}{}
	unwanted := p.closed || p.away
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
		l.close()
	}()
	if unwanted {
		l.reset()
		return
	}
	up := make(chan struct{})
	go func() {
		defer close(up)
		l.carry(client, server, l.up)
	}()
	l.carry(server, client, l.down)
	<-up
}

// dial connects to one that answers; nil when none does, or when the proxy is away.
func (p *Proxy) dial() *net.TCPConn {
	p.mu.Lock()
	upstreams, away := p.upstreams, p.away || p.closed
	p.mu.Unlock()
	if away || len(upstreams) == 0 {
		return nil
	}
	first := rand.IntN(len(upstreams))
	for i := range upstreams {
		c, err := net.DialTimeout("tcp", upstreams[(first+i)%len(upstreams)], 2*time.Second)
		if err == nil {
			return c.(*net.TCPConn)
		}
	}
	return nil
}

// A link is one connection through the proxy. It follows ClickHouse's INSERT: query, columns, rows, answer.
type link struct {
	proxy          *Proxy
	client, server *net.TCPConn
	ctx            context.Context // ends with the link: what waits in it need not
	end            context.CancelFunc

	mu    sync.Mutex
	stage insertStage
}

type insertStage int

const (
	noInsert insertStage = iota
	queried
	described // the server has sent the columns
	sending   // rows are on their way
)

// verdict is what becomes of a chunk.
type verdict int

const (
	pass    verdict = iota
	cutHere         // reset instead of it
	cutHalf         // pass half of it, then reset
)

// carry takes one direction's bytes across until its end.
func (l *link) carry(from, to *net.TCPConn, look func([]byte) verdict) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !l.pass(to, buf[:n], look) {
			l.reset()
			return
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			l.reset()
			return
		}
	}
}

func (l *link) pass(to *net.TCPConn, chunk []byte, look func([]byte) verdict) bool {
	what := look(chunk)
	if what == cutHere {
		return false
	}
	if what == cutHalf {
		chunk = chunk[:len(chunk)/2]
	}
	if !l.hold(len(chunk)) {
		return false
	}
	_, err := to.Write(chunk)
	return err == nil && what == pass
}

// hold waits for as long as the faults under way hold up a chunk of that size; false when the link has ended meanwhile.
func (l *link) hold(size int) bool {
	l.proxy.mu.Lock()
	stalled, pause := l.proxy.stalled, l.proxy.delay
	if l.proxy.rate > 0 {
		pause += time.Duration(size) * time.Second / time.Duration(l.proxy.rate)
	}
	l.proxy.mu.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-l.ctx.Done():
			return false
		}
	}
	return pause == 0 || wait(l.ctx, pause) == nil
}

// up looks at what the client sends.
func (l *link) up(chunk []byte) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stage == described:
		l.stage = sending
		if l.proxy.strikes(rowsBegin) {
			return cutHalf
		}
	case l.stage != sending && bytes.Contains(chunk, []byte("INSERT INTO")):
		l.stage = queried
	}
	return pass
}

// down looks at what the server sends.
func (l *link) down(chunk []byte) verdict {
	const endOfStream = 5 // the last packet of ClickHouse's answer, one byte
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proxy.strikes(answering) {
		return cutHere
	}
	switch {
	case l.stage == queried:
		l.stage = described
	case l.stage == sending && chunk[len(chunk)-1] == endOfStream:
		l.stage = noInsert
		if l.proxy.strikes(insertAnswered) {
			return cutHere
		}
	}
	return pass
}

// reset ends both connections as a dying network does: what is on its way is lost.
func (l *link) reset() {
	_ = l.client.SetLinger(0)
	_ = l.server.SetLinger(0)
	l.close()
}

func (l *link) close() {
	l.end()
	_ = l.client.Close()
	_ = l.server.Close()
}
