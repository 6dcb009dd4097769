package local_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

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
		m, err := r.FetchMessage(ctx)
		if passes(err) {
			continue
		}
		if err != nil {
			t.Fatalf("fetch message %d: %v", len(got), err)
		}
		for err = r.CommitMessages(ctx, m); passes(err); err = r.CommitMessages(ctx, m) {
		}
		if err != nil {
			t.Fatalf("commit message %d: %v", len(got), err)
		}
		got = append(got, string(m.Value))
	}
	return got
}

// passes: a broker that has only just started answers so until it knows the group ([16] NotCoordinatorForGroup, for one).
func passes(err error) bool {
	var code kafka.Error
	return errors.As(err, &code) && code.Temporary()
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

func TestKfakeInjectsFaults(t *testing.T) {
	t.Parallel()
	k, err := local.StartKfake(local.KfakeConfig{Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	if got := len(k.Brokers()); got != 3 {
		t.Errorf("brokers: got %d, want 3", got)
	}
	if err := k.CreateTopic("events", 1, nil); err != nil {
		t.Fatal(err)
	}
	fault := k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend})
	if err := produce(t, k.Brokers(), "events", "written, not acknowledged"); !errors.Is(err, kafka.NotEnoughReplicasAfterAppend) {
		t.Errorf("produce: got %v, want the fault", err)
	}
	if err := produce(t, k.Brokers(), "events", "acknowledged"); err != nil {
		t.Error(err)
	}
	if got := fault.Hits(); got != 1 {
		t.Errorf("hits: got %d, want 1", got)
	}
	if got := len(consume(t, k.Brokers(), "events", "g", 2)); got != 2 {
		t.Errorf("records: got %d, want 2", got)
	}
}

func TestKfakeTakesAnotherPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().(*net.TCPAddr).Port
	var lines []string
	k, err := local.StartKfake(local.KfakeConfig{Port: taken, Progress: func(line string) { lines = append(lines, line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Stop()
	if len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf("port %d (Kafka) is taken", taken)) {
		t.Errorf("progress: got %q", lines)
	}
}
