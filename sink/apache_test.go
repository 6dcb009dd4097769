//go:build kafka

package sink_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// What kfake only imitates, on Apache Kafka itself: joining, fetching compressed records, committing, a rebalance, and a
// broker that is killed and comes back.
func TestKafkaIsReadThroughARebalanceAndACrash(t *testing.T) {
	t.Parallel()
	broker, err := local.StartApache(t.Context(), local.ApacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	w := newWorldOn(t, broker.Brokers())
	w.builtin()
	if err := broker.CreateTopic(topic, 3, nil); err != nil {
		t.Fatal(err)
	}
	first := w.start(w.config())
	w.spread(3, events(0, 1000)...)
	w.produce(0, bad("not json", "invalid_json"))
	w.check()
	second := w.start(w.config())
	w.eventually("both have partitions", func() (bool, string) {
		a, b := first.metric("leadhouse_sink_assigned_partitions"), second.metric("leadhouse_sink_assigned_partitions")
		return a+b == 3 && a > 0 && b > 0, fmt.Sprint(a, b)
	})
	w.spread(3, events(1000, 1000)...)
	w.prefix()
	broker.Kill()
	first.awaitTrouble("kafka: no answer")
	if err := broker.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.client.Transport.(*kafka.Transport).CloseIdleConnections() // the test's own
	w.eventually("Kafka takes records again", func() (bool, string) {
		err := w.tryProduce(t.Context(), 0, events(2000, 1)...)
		return err == nil, fmt.Sprint(err)
	})
	w.spread(3, events(2001, 500)...)
	w.check()
	first.stop()
	w.spread(3, events(3000, 100)...)
	w.check()
	second.stop()
}

// An offset outside the log, as a real Kafka tells of it.
func TestKafkaSaysThatAnOffsetIsOutsideTheLog(t *testing.T) {
	t.Parallel()
	broker, err := local.StartApache(t.Context(), local.ApacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	w := newWorldOn(t, broker.Brokers())
	w.builtin()
	if err := broker.CreateTopic(topic, 1, nil); err != nil {
		t.Fatal(err)
	}
	w.produce(0, events(0, 50)...)
	w.eventually("the group's coordinator is there", func() (bool, string) {
		answer, err := w.client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
			GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: 500}}},
		})
		if err == nil {
			err = answer.Topics[topic][0].Error
		}
		return err == nil, fmt.Sprint(err)
	})
	cfg := w.config()
	cfg.ShutdownTimeout = time.Second
	err = w.start(cfg).fails()
	if want := "next offset to read is 500, but the log ends at 50"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Run: %v, want %q", err, want)
	}
}
