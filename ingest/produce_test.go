package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

func produceFault(err *kerr.Error, count int) kfake.Fault {
	return kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: count}
}

// Each fault is met twice over: the record was not written, or it was written and only the acknowledgement failed. The
// sender gets 202 in both cases, and the second copy, where there is one, is the same to the byte: a RecordReader or a
// Bytes that was read already would be acknowledged with nothing, or with an empty record, in Kafka.
func TestProduceFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		fault  func(*kfake.Cluster)
		status int
		copies int
	}{
		{"not leader", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.NotLeaderForPartition, 1)) }, 202, 1},
		{"leader not available", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.LeaderNotAvailable, 2)) }, 202, 1},
		{"not enough replicas", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.NotEnoughReplicas, 3)) }, 202, 1},
		{"storage error", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.KafkaStorageError, 1)) }, 202, 1},
		{"corrupt on the way", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.CorruptMessage, 1)) }, 202, 1},
		{"connection cut, not written", cutOnce, 202, 1},
		{"timed out, but written", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.RequestTimedOut, 1)) }, 202, 2},
		{"not enough replicas, but written", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.NotEnoughReplicasAfterAppend, 2)) }, 202, 3},
		{"not authorized", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.TopicAuthorizationFailed, 1)) }, 503, 0},
		{"refused for its content", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.InvalidRecord, 1)) }, 503, 0},
		{"too large even alone", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.MessageTooLarge, 1)) }, 503, 0},
		{"unknown error", func(k *kfake.Cluster) { k.Fault(produceFault(kerr.UnknownServerError, 1)) }, 503, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := startKafka(t, local.KfakeConfig{}, 1, nil)
			h := start(t, k)
			c.fault(k.Cluster())
			body := event("evt_1", "ld_1")
			got := h.deliver(body)
			wantStatus(t, got, c.status)
			if retry := got.header.Get("Retry-After"); (retry != "") != (c.status == 503) {
				t.Errorf("Retry-After: got %q at %d", retry, c.status)
			}
			wantStatus(t, h.deliver(event("evt_2", "ld_1")), 202)
			copies := 0
			for _, r := range h.check() {
				if r.value != body {
					continue
				}
				copies++
				if r.key != "ld_1" || len(r.headers) != 3 || r.headers["event-id"] != "evt_1" {
					t.Errorf("copy %d: got key %q, headers %v", copies, r.key, r.headers)
				}
			}
			if copies != c.copies {
				t.Errorf("copies in Kafka: got %d, want %d", copies, c.copies)
			}
		})
	}
}

// cutOnce closes the connection on the next produce request, unwritten.
func cutOnce(k *kfake.Cluster) {
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, errors.New("cut"), true })
}

// cutAnswer is a connection that, once armed, sends one produce request and then loses the answer to it.
type cutAnswer struct {
	net.Conn
	armed  *atomic.Bool
	doomed atomic.Bool
}

func (c *cutAnswer) Write(b []byte) (int, error) {
	if produceKey := len(b) > 6 && b[4] == 0 && b[5] == 0; produceKey && c.armed.CompareAndSwap(true, false) {
		c.doomed.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *cutAnswer) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b) // so the broker has answered: it has written
	if c.doomed.Load() {
		c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func TestAckLostAfterTheWriteIsWrittenAgainAndOnlyThenAccepted(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k, func(c *ingest.Config) {
		c.Transport.(*kafka.Transport).Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &cutAnswer{Conn: conn, armed: &armed}, nil
		}
	})
	written := k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Observe: true, Count: -1})
	armed.Store(true)
	body := event("evt_1", "ld_1")
	wantStatus(t, h.deliver(body), 202)
	if armed.Load() || written.Hits() != 2 {
		t.Errorf("produce requests: got %d, want 2 (cut: %v)", written.Hits(), !armed.Load())
	}
	if got := values(h.check()); len(got) != 2 || got[0] != body || got[1] != body {
		t.Errorf("records: got %q, want the body twice", got)
	}
}

// liar answers the first produce requests as kafka-go does for a reader that has been read: with success.
type liar struct {
	kafka.RoundTripper
	lies atomic.Int64
}

func (l *liar) RoundTrip(ctx context.Context, addr net.Addr, request kafka.Request) (kafka.Response, error) {
	if _, ok := request.(*produce.Request); ok && l.lies.Add(-1) >= 0 {
		return nil, protocol.ErrNoRecord // kafka.Client.Produce makes success of it
	}
	return l.RoundTripper.RoundTrip(ctx, addr, request)
}

// kafka-go's worst trap: Produce with a reader that was used, or is empty, returns no error and writes nothing.
func TestSuccessWithoutAWrittenRecordIsNotAnAck(t *testing.T) {
	t.Parallel()
	l := &liar{}
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), func(c *ingest.Config) {
		l.RoundTripper = c.Transport
		c.Transport = l
	})
	l.lies.Store(2)
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), 202)
	if l.lies.Load() >= 0 {
		t.Error("the lies were not told")
	}
	if n := len(h.check()); n != 1 {
		t.Errorf("records: got %d, want 1", n)
	}
}

func TestClockAheadOfKafkaIsSentWithoutTime(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k)
	timed := func(request kmsg.Request) bool { // what Kafka does by default: it refuses times that are not -1
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(request.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records); err != nil {
			t.Error(err)
		}
		return batch.FirstTimestamp != -1
	}
	k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidTimestamp, Count: -1, When: timed})
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), 202)
	records := h.check()
	if len(records) != 1 || records[0].time.UnixMilli() > 0 {
		t.Errorf("got %v, want one record without a time", records)
	}
	if n := h.metric(`leadhouse_ingest_produce_errors_total{kind="timestamp"}`); n != 1 {
		t.Errorf("metric: got %v, want 1", n)
	}
}

// Silence is the worst answer: the sender gets 503 in time, and the next delivery does not wait behind it for ever.
func TestSilentBrokerIs503InTimeThenRecovery(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k, func(c *ingest.Config) { c.AckTimeout, c.ProduceTimeout = 200*time.Millisecond, 400*time.Millisecond })
	k.Cluster().ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
	begin := time.Now()
	got := h.deliver(event("evt_1", "ld_1"))
	wantStatus(t, got, http.StatusServiceUnavailable)
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("answered after %v, want about 200 ms", took)
	}
	h.until("accepted again", func() bool { return h.deliver(event("evt_2", "ld_1")).status == 202 })
	h.check()
}

func TestBrokerAwayIs503WithRetryAfterThenRecovery(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{DataDir: t.TempDir(), Options: []kfake.Opt{kfake.SyncWrites()}}, 3, nil)
	h := start(t, k, func(c *ingest.Config) { c.AckTimeout, c.ProduceTimeout = 300*time.Millisecond, time.Second })
	wantStatus(t, h.deliver(event("evt_before", "ld_1")), 202)
	k.Stop()
	for i := range 5 {
		got := h.deliver(event(fmt.Sprintf("evt_away_%d", i), fmt.Sprintf("ld_%d", i)))
		wantStatus(t, got, 503)
		if got.header.Get("Retry-After") != "5" {
			t.Errorf("Retry-After: got %q, want 5", got.header.Get("Retry-After"))
		}
	}
	h.until("not ready", func() bool { return h.get(h.admin+"/readyz") == 503 })
	if err := k.Reopen(); err != nil {
		t.Fatal(err)
	}
	h.until("ready again", func() bool { return h.get(h.admin+"/readyz") == 200 })
	for i := range 5 {
		h.until("accepted again", func() bool {
			return h.deliver(event(fmt.Sprintf("evt_after_%d", i), fmt.Sprintf("ld_%d", i))).status == 202
		})
	}
	h.check()
}

func TestMovedLeaderIsFound(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{Nodes: 3}, 1, nil)
	h := start(t, k, func(c *ingest.Config) {
		c.Transport.(*kafka.Transport).MetadataTTL = time.Hour // by itself it would look again in half an hour
	})
	for i := range 6 {
		if err := k.Cluster().MoveTopicPartition(topic, 0, int32(i%3)); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, h.deliver(event(fmt.Sprintf("evt_%d", i), "ld_1")), 202)
	}
	h.check()
}

func TestGrownTopicIsPickedUp(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k)
	wantStatus(t, h.deliver(event("evt_0", "ld_1")), 202)
	client := &kafka.Client{Addr: kafka.TCP(k.Brokers()...), Transport: h.kept, Timeout: patience}
	response, err := client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 4}},
	})
	if err != nil || response.Errors[topic] != nil {
		t.Fatal(err, response)
	}
	h.until("in use", func() bool { return strings.Contains(h.logs.String(), `"to":4`) })
	used := map[int]bool{}
	for i := range 40 {
		wantStatus(t, h.deliver(event(fmt.Sprintf("evt_%d", i+1), fmt.Sprintf("ld_%d", i))), 202)
	}
	h.kept.CloseIdleConnections()
	for _, r := range h.check() {
		used[r.partition] = true
	}
	if len(used) != 4 {
		t.Errorf("partitions used: got %v, want all 4", used)
	}
}

// One entity's events keep the order in which they were accepted.
func TestOneKeysEventsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 3, nil)
	h := start(t, k)
	k.Cluster().Fault(produceFault(kerr.NotLeaderForPartition, 3))
	for i := range 30 {
		wantStatus(t, h.deliver(event(fmt.Sprintf("evt_%03d", i), "ld_1")), 202)
	}
	last := ""
	for _, r := range h.check() {
		if id := r.headers["event-id"]; id <= last {
			t.Errorf("%s comes after %s", id, last)
		} else {
			last = id
		}
	}
}
