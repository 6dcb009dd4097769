package local_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// produce writes values with acks=all through the client that leadhouse uses.
func produce(t *testing.T, brokers []string, topic string, values ...string) error {
	t.Helper()
	tr := &kafka.Transport{MetadataTTL: time.Second}
	defer tr.CloseIdleConnections()
	c := &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 10 * time.Second, Transport: tr}
	var recs []kafka.Record
	for _, v := range values {
		recs = append(recs, kafka.Record{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes([]byte(v))})
	}
	res, err := c.Produce(t.Context(), &kafka.ProduceRequest{
		Topic: topic, Partition: 0, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(recs...),
	})
	if err != nil {
		return err
	}
	return res.Error
}

// consume reads n values as a group, and commits them.
func consume(t *testing.T, brokers []string, topic, group string, n int) []string {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: brokers, Topic: topic, GroupID: group, StartOffset: kafka.FirstOffset,
		MaxWait: 100 * time.Millisecond, HeartbeatInterval: 500 * time.Millisecond, JoinGroupBackoff: 100 * time.Millisecond,
	})
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []string
	for len(got) < n {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("read message %d: %v", len(got), err)
		}
		got = append(got, string(m.Value))
	}
	return got
}

func TestKfakeBounceKeepsLogAndOffsets(t *testing.T) {
	t.Parallel()
	k, err := local.StartKfake(local.KfakeConfig{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	if err := k.CreateTopic("events", 1, map[string]string{"cleanup.policy": "delete"}); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, k.Brokers(), "events", "a", "b"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(consume(t, k.Brokers(), "events", "g", 2)); got != "[a b]" {
		t.Errorf("before: got %s", got)
	}

	k.Stop()
	if err := produce(t, k.Brokers(), "events", "lost"); err == nil {
		t.Error("produce while away: no error")
	}
	if err := k.Reopen(); err != nil {
		t.Fatal(err)
	}
	if err := produce(t, k.Brokers(), "events", "c"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(consume(t, k.Brokers(), "events", "g", 1)); got != "[c]" {
		t.Errorf("after: got %s, want [c]", got)
	}
}
