//go:build kafka

package sink_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// Retention and a recreated topic, as a real Kafka shows them: it deletes records, and forgets a group's offsets with the
// topic.
func TestKafkaLosesRecordsAndRecreatesTheTopic(t *testing.T) {
	t.Parallel()
	broker, err := local.StartApache(t.Context(), local.ApacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	w := newWorldOn(t, broker.Brokers())
	w.builtin()
	if err := broker.CreateTopic(topic, 2, nil); err != nil {
		t.Fatal(err)
	}
	r := w.start(w.config())
	w.spread(2, events(0, 200)...)
	w.check()
	r.stop()

	w.produce(1, events(200, 50)...) // 100 to 149
	w.deleteRecords(1, 130)
	w.lose(1, 100, 130)
	r = w.start(w.config())
	w.check()
	w.checkGaps("1:100-129")
	r.awaitTrouble("gap 1:100-129: offsets lost")
	w.acknowledge()
	r.awaitReady()
	r.stop()

	w.deleteTopic()
	if err := broker.CreateTopic(topic, 2, nil); err != nil {
		t.Fatal(err)
	}
	w.epoch++
	w.client.Transport.(*kafka.Transport).CloseIdleConnections() // the test's own
	w.eventually("Kafka takes records again", func() (bool, string) {
		err := w.tryProduce(t.Context(), 0, events(150, 250)...) // more than before, and some that came before
		return err == nil, fmt.Sprint(err)
	})
	w.produce(1, events(500, 50)...)
	err = w.start(w.config()).fails()
	if err == nil || !strings.Contains(err.Error(), "--accept-new-topic") {
		t.Errorf("Run: %v, want it to stop", err)
	}
	cfg := w.config()
	cfg.AcceptNewTopic = true
	r = w.start(cfg)
	w.check()
	w.balance()
	r.awaitReady()

	// With offsets past the log's end, which a group has after an unclean election, or by hand.
	r.stop()
	w.commit(kafka.OffsetCommit{Partition: 0, Offset: 500})
	err = w.start(w.config()).fails()
	if want := "next offset to read is 500, but the log ends at 250"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Run: %v, want %q", err, want)
	}
	w.epoch++
	w.mu.Lock()
	for _, s := range w.journal {
		if s.epoch == 1 { // the same records once more
			s.epoch = 2
			w.journal = append(w.journal, s)
		}
	}
	w.mu.Unlock()
	cfg = w.config()
	cfg.AcceptNewTopic = true
	w.start(cfg)
	w.check()
}

// deleteRecords moves the log's start, as retention does. kafka-go has no call for it.
func (w *world) deleteRecords(partition int32, offset int64) {
	w.Helper()
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.Version, request.TimeoutMillis = 1, 10_000
	request.Topics = []kmsg.DeleteRecordsRequestTopic{{
		Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: offset}},
	}}
	conn, err := net.DialTimeout("tcp", w.brokers[0], patience)
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		w.Fatal(err)
	}
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 1)); err != nil {
		w.Fatal(err)
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(conn, size); err != nil {
		w.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(conn, body); err != nil {
		w.Fatal(err)
	}
	response := request.ResponseKind().(*kmsg.DeleteRecordsResponse)
	if err := response.ReadFrom(body[4:]); err != nil { // after the correlation ID
		w.Fatal(err)
	}
	if got := response.Topics[0].Partitions[0]; got.ErrorCode != 0 || got.LowWatermark != offset {
		w.Fatalf("delete records: %+v", got)
	}
}

// deleteTopic waits until the topic is gone, so that it can be created again.
func (w *world) deleteTopic() {
	w.Helper()
	w.eventually("the topic is deleted", func() (bool, string) {
		answer, err := w.client.DeleteTopics(w.Context(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
		if err == nil {
			err = answer.Errors[topic]
		}
		return errors.Is(err, kafka.UnknownTopicOrPartition), fmt.Sprint(err)
	})
}
