package sink_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/sink"
)

// Two sinks share the work, and take it over from each other in the middle of batches, in good order and not.
func TestPartitionsMoveBetweenSinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 4})
	cfg := func() sink.Config {
		c := w.config()
		c.BatchRows = 200
		return c
	}
	ctx, cancel := context.WithCancel(t.Context())
	var producing sync.WaitGroup
	defer producing.Wait()
	defer cancel()
	producing.Go(func() { // traffic all the while
		for i := 0; ctx.Err() == nil && i < 200; i++ {
			if err := w.tryProduce(ctx, i%4, events(i*25, 25)...); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	first := w.start(cfg())
	first.awaitReady()
	second := w.start(cfg())
	w.eventually("both have partitions", func() (bool, string) {
		a, b := first.metric("leadhouse_sink_assigned_partitions"), second.metric("leadhouse_sink_assigned_partitions")
		return a == 2 && b == 2, fmt.Sprint(a, b)
	})
	w.prefix()
	first.stop()
	w.prefix()
	third := w.start(cfg())
	w.eventually("the third has partitions", func() (bool, string) {
		return third.metric("leadhouse_sink_assigned_partitions") == 2, ""
	})
	second.stop()
	w.prefix()
	producing.Wait()
	w.check()
}

// A sink whose ClickHouse hangs loses its partitions, another inserts them; then the first wakes up.
func TestABatchThatHangsWhenItsGenerationEndsIsNotCommitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 2})
	slow := w.config()
	slow.HandoverTimeout, slow.InsertTimeout = 300*time.Millisecond, time.Hour
	first := w.start(slow)
	first.awaitReady()
	w.proxy.freeze(true) // only the first sink's
	w.eventually("a schema reading hangs", func() (bool, string) { return w.proxy.held() > 0, "" })
	w.spread(2, events(0, 300)...)
	w.eventually("the first has fetched", func() (bool, string) { return w.fetches().offset >= 100, "" })

	direct := w.config()
	direct.ClickHouse = openAs(t, local.Shared(t).Addr(), "default", "")
	w.start(direct)
	began := time.Now()
	w.eventually("the first has given its batch up", func() (bool, string) {
		return first.metric("leadhouse_sink_abandoned_batches_total") >= 1, ""
	})
	if took := time.Since(began); took > 8*time.Second { // a schema reading that hangs may take 10 s; it is not waited for
		t.Errorf("the group waited %v", took)
	}
	w.prefix()
	w.proxy.freeze(false) // now its late rows may come
	w.check()
	first.stop()
	w.check()
}

// A zombie: its line to Kafka is dead, it does not know that its session has ended, and its insert comes through late.
func TestAZombiesRowsAreHarmlessAndItsCommitIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	lines := &lines{}
	zombieConfig := w.config()
	zombieConfig.SessionTimeout, zombieConfig.HandoverTimeout = 1500*time.Millisecond, 700*time.Millisecond
	zombieConfig.Dialer = &kafka.Dialer{DialFunc: lines.dial}
	zombie := w.start(zombieConfig)
	zombie.awaitReady()
	w.proxy.freeze(true)
	w.produce(0, events(0, 100)...)
	w.eventually("the zombie has fetched", func() (bool, string) { return w.fetches().offset >= 100, "" })
	lines.freeze(true)

	direct := w.config()
	direct.ClickHouse = openAs(t, local.Shared(t).Addr(), "default", "")
	heir := w.start(direct)
	w.produce(0, events(100, 100)...)
	w.check() // the heir has it all
	before := w.committed()
	w.proxy.freeze(false)
	lines.freeze(false)
	w.eventually("the zombie has found out", func() (bool, string) {
		return zombie.metric("leadhouse_sink_rebalances_total") >= 2, ""
	})
	w.check()
	if got := w.committed(); got[0] != before[0] {
		t.Errorf("committed %v after the zombie woke up, was %v", got, before)
	}
	heir.stop()
	w.produce(0, events(200, 10)...)
	w.check()
}

// lines are a sink's connections to Kafka, which can be made to carry nothing.
type lines struct {
	mu     sync.Mutex
	frozen chan struct{} // nil when not; closed to thaw
}

func (l *lines) freeze(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on {
		l.frozen = make(chan struct{})
	} else if l.frozen != nil {
		close(l.frozen)
		l.frozen = nil
	}
}

func (l *lines) pass() {
	l.mu.Lock()
	frozen := l.frozen
	l.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

func (l *lines) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &line{conn, l}, err
}

type line struct {
	net.Conn
	lines *lines
}

func (c *line) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.lines.pass()
	return n, err
}

func (c *line) Write(p []byte) (int, error) {
	c.lines.pass()
	return c.Conn.Write(p)
}
