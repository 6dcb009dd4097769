package ingest_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// What the outside may cost: measured on a process of its own, as the kernel sees it. These tests do not run beside others.

// resident is what the kernel counts of a process's memory: now (VmRSS), and at most since the last forgetPeak (VmHWM).
func (c *child) resident(field string) (bytes int64) {
	c.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			fmt.Sscan(rest, &bytes)
		}
	}
	return bytes << 10
}

// forgetPeak makes VmHWM begin again, and returns what is resident now.
func (c *child) forgetPeak() int64 {
	c.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", c.process.Pid), []byte("5"), 0); err != nil {
		c.t.Fatal(err)
	}
	return c.resident("VmRSS")
}

func (c *child) openFiles() int {
	c.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	return len(entries)
}

// wantGrowth compares the peak of memory with what it was before.
func (c *child) wantGrowth(before, most int64) {
	c.t.Helper()
	grown := c.resident("VmHWM") - before
	c.t.Logf("memory: %d MiB before, grown by up to %d MiB", before>>20, grown>>20)
	if grown > most {
		c.t.Errorf("memory grew by %d MiB, want at most %d", grown>>20, most>>20)
	}
}

// warm takes deliveries until what every server holds is there: buffers, connections to Kafka.
func (c *child) warm() {
	c.t.Helper()
	for i := range 100 {
		wantStatus(c.t, c.deliver(event(fmt.Sprintf("evt_warm_%d", i), fmt.Sprintf("ld_%d", i))), 202)
	}
}

// conns opens n connections, which the test's end closes.
func (c *child) conns(n int) []net.Conn {
	c.t.Helper()
	_, host, _ := strings.Cut(strings.TrimSuffix(c.url, path), "://")
	all := make([]net.Conn, 0, n)
	c.t.Cleanup(func() {
		for _, conn := range all {
			conn.Close()
		}
	})
	for range n {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, conn)
	}
	return all
}

// each does something with every connection, all at once.
func each(conns []net.Conn, f func(i int, conn net.Conn)) {
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() { f(i, conn) })
	}
	all.Wait()
}

// affordable is how many connections of n this process may open: one descriptor each, and some for the rest.
func affordable(t *testing.T, n int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil { // raised to the hard one by Go's runtime
		t.Fatal(err)
	}
	if can := int(limit.Cur) - 1000; can < n {
		t.Logf("%d connections instead of %d: the limit of open files is %d", can, n, limit.Cur)
		n = can
	}
	return n
}

// CVE-2026-42294: the whole body in memory before anybody asks who sent it. Chunked coding declares no length. All thousand
// stop just below the limit together, which is when a server without a budget holds the most.
func TestMemoryIsFlatUnderAThousandOversizedBodiesAtOnce(t *testing.T) {
	const senders, limit, budget = 1000, 256 << 10, 32 << 20
	c := startChild(t, measuredBinary(t), startKafka(t, local.KfakeConfig{}, 1, nil), childConfig{
		MaxBody: limit, MaxInFlightBytes: budget, ReadTimeout: 10 * time.Minute, // a busy machine's slowness is not the matter
	})
	c.warm()
	before := c.forgetPeak()
	body := strings.Repeat("x", 2<<20)
	begin := head(body, "Transfer-Encoding: chunked") + chunks(body[:1], 1)
	below := chunks(body[1:limit-100], 32<<10)
	above := chunks(body[limit-100:], 64<<10) + "0\r\n\r\n"
	conns := c.conns(senders)
	send := func(text string) {
		each(conns, func(_ int, conn net.Conn) {
			conn.SetDeadline(time.Now().Add(3 * patience))
			io.WriteString(conn, text) // until it is cut
		})
	}
	inFlight := func() float64 { return c.scrape("leadhouse_ingest_in_flight_requests") }
	send(begin)
	c.within(3*patience, "all in flight", func() bool { return inFlight() == senders })
	send(below)
	c.within(3*patience, "read to just below the limit", func() bool {
		return c.scrape("leadhouse_ingest_in_flight_bytes") == inFlight()*limit
	})
	send(above)
	c.within(3*patience, "all answered", func() bool { return inFlight() == 0 })
	large, full := c.requests(413, "body_too_large"), c.requests(503, "full")
	if large == 0 || large+full != senders {
		t.Errorf("answers: got %d times 413 and %d times 503, want %d, and 413 among them", large, full, senders)
	}
	// The budget, as much again in pools, both twice for the collector (seen: 153 MiB; without a budget 430, and without a
	// limit 2 GiB); and what a connection has: stack, header, buffers.
	c.wantGrowth(before, 5*budget+senders*32<<10)
	wantStatus(t, c.deliver(event("evt_after", "ld_1")), 202)
	if n := len(c.check()); n != 101 {
		t.Errorf("records: got %d, want the 101 that were accepted", n)
	}
}

// Slow headers and slow bodies, a thousand of each: they hold what they have sent, are cut in time, and others get through
// meanwhile.
func TestSlowSendersHoldLittleAndAreCut(t *testing.T) {
	const senders = 1000
	c := startChild(t, measuredBinary(t), startKafka(t, local.KfakeConfig{}, 1, nil), childConfig{
		HeaderTimeout: 2 * time.Second, ReadTimeout: 4 * time.Second,
	})
	c.warm()
	before, files := c.forgetPeak(), c.openFiles()
	body := event("evt_slow", "ld_1")
	headers, bodies := c.conns(senders), c.conns(senders)
	began := time.Now()
	each(headers, func(_ int, conn net.Conn) { io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: x\r\nX-Slow: ") })
	each(bodies, func(_ int, conn net.Conn) { io.WriteString(conn, head(body, "Content-Length: 1000000")+body) })
	wantStatus(t, c.deliver(event("evt_meanwhile", "ld_1")), 202)

	// Both go on, a byte at a time, which must not buy them time.
	var cut, late atomic.Int64
	trickle := func(_ int, conn net.Conn) {
		answered := make(chan answer, 1)
		go func() { answered <- readAnswer(conn) }()
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case got := <-answered:
				tick.Stop()
				if got.status == 408 || got.status == 0 {
					cut.Add(1)
				}
				return
			case <-tick.C:
				io.WriteString(conn, "x")
				if time.Since(began) > patience {
					late.Add(1)
					conn.Close()
				}
			}
		}
	}
	each(append(headers, bodies...), trickle)
	if cut.Load() != 2*senders || late.Load() != 0 {
		t.Errorf("cut: got %d of %d, %d of them by the test", cut.Load(), 2*senders, late.Load())
	}
	if n := c.requests(408, "body_timeout"); n != senders {
		t.Errorf("answered 408: got %d, want %d", n, senders)
	}
	c.wantGrowth(before, 2*senders*48<<10)
	c.until("their descriptors are free", func() bool { return c.openFiles() <= files+10 })
	c.check()
}

// Connections that are let in and do nothing cost little each, and nobody else waits for them.
func TestTenThousandIdleConnections(t *testing.T) {
	n := affordable(t, 10_000)
	c := startChild(t, measuredBinary(t), startKafka(t, local.KfakeConfig{}, 1, nil), childConfig{
		MaxConns: n + 100, IdleTimeout: 5 * time.Minute,
	})
	c.warm()
	before, files := c.forgetPeak(), c.openFiles()
	for _, conn := range c.conns(n) {
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		wantStatus(t, readAnswer(conn), 404) // and now it is idle
	}
	if open := c.openFiles() - files; open != n {
		t.Errorf("open connections: got %d, want all %d: the test sees nothing", open, n)
	}
	began := time.Now()
	wantStatus(t, c.deliver(event("evt_meanwhile", "ld_1")), 202)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a delivery among them took %v", took)
	}
	c.wantGrowth(before, int64(n)*32<<10)
	c.check()
}

// Connections beyond the limit hold nothing, and those below it that say nothing are cut when a header should have come.
func TestTenThousandSilentConnectionsMeetTheLimit(t *testing.T) {
	n, limit := affordable(t, 10_000), 1000
	c := startChild(t, measuredBinary(t), startKafka(t, local.KfakeConfig{}, 1, nil), childConfig{
		MaxConns: limit, HeaderTimeout: 2 * time.Second,
	})
	c.warm()
	c.client.CloseIdleConnections()
	before, files := c.forgetPeak(), c.openFiles()
	most := 0
	for range n / 500 {
		c.conns(500)
		most = max(most, c.openFiles()-files)
	}
	if most > limit+10 {
		t.Errorf("descriptors: got up to %d for connections, want at most %d", most, limit)
	}
	c.wantGrowth(before, int64(limit)*48<<10)
	c.until("deliveries are taken again", func() bool { return c.deliver(event("evt_after", "ld_1")).status == 202 })
	c.check()
}

// Kafka away for many time-outs on end, at full input: memory is the budget and no more. Twice over: away so that it is
// refused at once, and silent, so that every attempt hangs.
func TestMemoryIsBoundedWhileKafkaIsAway(t *testing.T) {
	binary := measuredBinary(t)
	for name, leave := range map[string]func(*local.Kfake) (comeBack func()){
		"silent": silence,
		"gone": func(k *local.Kfake) func() {
			k.Stop()
			return func() {
				if err := k.Reopen(); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			const senders, budget = 300, 32 << 20
			k := startKafka(t, local.KfakeConfig{DataDir: t.TempDir()}, 3, nil)
			c := startChild(t, binary, k, childConfig{
				MaxInFlightBytes: budget, AckTimeout: 300 * time.Millisecond, ProduceTimeout: 600 * time.Millisecond,
			})
			c.warm()
			before := c.forgetPeak()
			comeBack := leave(k)
			var all sync.WaitGroup
			var accepted atomic.Int64
			stop := make(chan struct{})
			for s := range senders {
				all.Go(func() {
					body := event(fmt.Sprintf("evt_%d", s), fmt.Sprintf("ld_%d", s))
					body += strings.Repeat(" ", 150<<10)
					for {
						if c.deliver(body).status == 202 {
							accepted.Add(1)
						}
						select {
						case <-stop:
							return
						case <-time.After(400 * time.Millisecond): // what Retry-After says would be 1 s and 5 s
						}
					}
				})
			}
			// By the answers, and not by the clock: time-out after time-out has passed.
			c.within(6*patience, "refused and given up", func() bool {
				return c.requests(503, "full") > senders && c.scrape("leadhouse_ingest_records_given_up_total") > 50
			})
			if n := accepted.Load(); n != 0 {
				t.Errorf("2xx with Kafka away: got %d", n)
			}
			// The budget, twice for the collector; kafka-go's copy of a batch a partition; and the connections.
			c.wantGrowth(before, 2*budget+3*8<<20+senders*48<<10)
			comeBack()
			c.within(3*patience, "accepted again", func() bool { return accepted.Load() > 0 })
			close(stop)
			all.Wait()
			c.until("nothing held", func() bool { return c.scrape("leadhouse_ingest_in_flight_bytes") == 0 })
			c.check()
		})
	}
}

// silence makes Kafka take requests and answer none.
func silence(k *local.Kfake) (comeBack func()) {
	var back atomic.Bool
	k.Cluster().Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		if back.Load() {
			k.Cluster().DropControl()
			return nil, nil, false
		}
		k.Cluster().KeepControl()
		return nil, nil, true
	})
	return func() { back.Store(true) }
}
