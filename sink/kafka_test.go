package sink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// Kafka's calls, failed in the middle of things: each event is there once all the same.
func TestKafkasErrorsAreLivedThrough(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]kfake.Fault{
		"fetch: not leader":            {Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 2},
		"fetch: unknown error":         {Keys: []kmsg.Key{kmsg.Fetch}, Count: 2},
		"commit: not coordinator":      {Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.NotCoordinator, Count: 3},
		"commit: illegal generation":   {Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.IllegalGeneration, Count: 3},
		"commit: written, answer lost": {Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.RequestTimedOut, Count: 2},
		"heartbeat: rebalance":         {Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.RebalanceInProgress, TopLevel: true, Count: 2},
		"heartbeat: unknown member":    {Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.UnknownMemberID, TopLevel: true, Count: 2},
		"join: loading":                {Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.CoordinatorLoadInProgress, TopLevel: true, Count: 2},
		"offset fetch: unstable":       {Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.UnstableOffsetCommit, Count: 1},
		"list offsets: not leader":     {Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.NotLeaderForPartition, Count: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{partitions: 2})
			w.spread(2, events(0, 200)...)
			handle := w.kafka.Cluster().Fault(fault)
			cfg := w.config()
			cfg.BatchRows = 50
			r := w.start(cfg)
			w.check()
			w.spread(2, events(200, 200)...)
			w.check()
			r.awaitReady()
			w.eventually("the fault has struck", func() (bool, string) { return handle.Hits() > 0, "" })
		})
	}
}

func TestKafkaMayBeAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 2, kafka: local.KfakeConfig{DataDir: t.TempDir()}})
	w.spread(2, events(0, 500)...)
	r := w.start(w.config())
	w.check()
	w.kafka.Stop()
	r.awaitTrouble("kafka: no answer")
	r.awaitTrouble("group: kafka")
	if err := w.kafka.Reopen(); err != nil {
		t.Fatal(err)
	}
	w.client.Transport.(*kafka.Transport).CloseIdleConnections() // the test's own
	w.spread(2, events(500, 500)...)
	w.check()
	r.awaitReady()
}

func TestALeaderMayMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 3, kafka: local.KfakeConfig{Nodes: 3}})
	r := w.start(w.config())
	for round := range 4 {
		w.spread(3, events(round*300, 300)...)
		for partition := range int32(3) {
			to := (w.kafka.Cluster().LeaderFor(topic, partition) + 1) % 3
			if err := w.kafka.Cluster().MoveTopicPartition(topic, partition, to); err != nil {
				t.Fatal(err)
			}
		}
		w.eventually("the test's own producer knows", func() (bool, string) {
			err := w.tryProduce(t.Context(), 0, events(10_000+round, 1)...)
			return err == nil, fmt.Sprint(err)
		})
	}
	w.check()
	if got := r.metric("leadhouse_sink_rebalances_total"); got != 1 {
		t.Errorf("rebalances_total: %v, want 1: a fetcher that returns early makes everybody rebalance", got)
	}
}

// untouched asserts that the sink has stopped without a row and without a commit.
func (w *world) untouched(offset int64) {
	w.Helper()
	if got := w.committed()[0]; got != offset {
		w.Errorf("committed %d, want %d as before", got, offset)
	}
	if got := len(w.eventRows()); got != 0 {
		w.Errorf("%d rows, want none", got)
	}
}

func TestACompactedTopicIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{noTopic: true})
	if err := w.kafka.CreateTopic(topic, 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	err := w.start(w.config()).fails()
	if err == nil || !strings.Contains(err.Error(), "compacted") {
		t.Errorf("Run: %v, want it to refuse the topic", err)
	}
}

func TestAtTheStartAWrongPasswordIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{kafka: local.KfakeConfig{Options: []kfake.Opt{
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "sink", "password"),
	}}})
	// kfake cuts the connection; a real Kafka says why before it does.
	w.kafka.Cluster().ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.Cluster().KeepControl()
		response := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return response, nil, true
	})
	cfg := w.config()
	cfg.Dialer = &kafka.Dialer{SASLMechanism: plain.Mechanism{Username: "sink", Password: "wrong"}}
	err := w.start(cfg).fails()
	if !errors.Is(err, kafka.SASLAuthenticationFailed) {
		t.Errorf("Run: %v, want SASLAuthenticationFailed", err)
	}
}

func TestAtTheStartAMissingTopicIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{noTopic: true})
	var log buffer
	cfg := w.config()
	cfg.Logger = zerolog.New(&log)
	r := w.start(cfg)
	r.awaitTrouble("topic: ")
	if !strings.Contains(log.String(), topic) {
		t.Errorf("the log does not name the topic:\n%s", log.String())
	}
	w.createTopic(2)
	w.eventually("the test's own producer knows", func() (bool, string) {
		err := w.tryProduce(t.Context(), 0, events(0, 1)...)
		return err == nil, fmt.Sprint(err)
	})
	w.spread(2, events(1, 200)...)
	w.check()
}

// The topic is deleted under the sink: it waits, and does not rebalance without end.
func TestADeletedTopicIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	r := w.start(w.config())
	w.produce(0, events(0, 10)...)
	w.check()
	if err := w.kafka.Cluster().DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	r.awaitTrouble("topic: ")
	joins := w.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Observe: true, TopLevel: true, Count: -1})
	beats := w.kafka.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Observe: true, Count: -1})
	w.eventually("some seconds have passed", func() (bool, string) { return beats.Hits() >= 2, fmt.Sprint(beats.Hits()) })
	if got := joins.Hits(); got > 3 {
		t.Errorf("joined %d times in some seconds", got)
	}
	r.stop()
}

// A topic grows: the new partition is read from its first record, without a restart.
func TestANewPartitionIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.start(w.config())
	w.produce(0, events(0, 10)...)
	w.check()
	_, err := w.client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("the test's own producer knows", func() (bool, string) {
		err := w.tryProduce(t.Context(), 1, events(10, 10)...)
		return err == nil, fmt.Sprint(err)
	})
	w.check()
}

// A broker that accepts and then says nothing must not hold a stop for ever: SASL has no deadline in kafka-go's Dialer.
func TestASilentBrokerDoesNotHoldTheStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{kafka: local.KfakeConfig{Options: []kfake.Opt{
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "sink", "password"),
	}}, noTopic: true})
	if err := w.kafka.CreateTopic(topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var mu sync.Mutex
	address, dialled := "", 0
	cfg := w.config()
	cfg.Dialer = &kafka.Dialer{
		SASLMechanism: plain.Mechanism{Username: "sink", Password: "password"},
		DialFunc: func(ctx context.Context, network, to string) (net.Conn, error) {
			mu.Lock()
			if address != "" {
				to = address
				dialled++
			}
			mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}
	r := w.start(cfg)
	r.awaitReady()
	mu.Lock()
	address = silent.Addr().String()
	mu.Unlock()
	w.kafka.Stop() // cuts the connections; every new one is silent
	w.eventually("it has dialled the silent broker", func() (bool, string) {
		mu.Lock()
		defer mu.Unlock()
		return dialled > 2, ""
	})
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 12*time.Second { // leaving the group may take 5 s
		t.Errorf("the stop took %v", took)
	}
}
