package verify_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
	"github.com/leadhouse/leadhouse/sink/verify"
)

const (
	topic = "leadron.events"
	group = "leadhouse-sink"
	// patience is how long anything may take on a machine that also runs everybody else's tests.
	patience = 90 * time.Second
)

// world is one test's Kafka and database, with real sinks between.
type world struct {
	testing.TB
	kafka   *local.Kfake // nil with a Kafka of another kind
	brokers []string
	client  *kafka.Client
	conn    driver.Conn
	db      string
	sent    map[int]int64 // where each partition ends
}

func newWorld(t testing.TB, partitions int) *world {
	t.Helper()
	k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{kfake.GroupMinSessionTimeout(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	w := newWorldOn(t, k.Brokers())
	w.kafka = k
	if err := k.CreateTopic(topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

func newWorldOn(t testing.TB, brokers []string) *world {
	t.Helper()
	ch := local.Shared(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	transport := &kafka.Transport{MetadataTTL: time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{
		TB: t, brokers: brokers, conn: conn, db: ch.Database(t), sent: map[int]int64{},
		client: &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: 10 * time.Second, Transport: transport},
	}
	w.backfill()
	return w
}

func (w *world) backfill() {
	w.Helper()
	c, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		w.Fatal(err)
	}
	state, err := schema.Inspect(w.Context(), w.conn, w.db)
	if err != nil {
		w.Fatal(err)
	}
	plan, err := schema.Diff(schema.Infer(c), state)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := schema.Apply(w.Context(), w.conn, plan, "test", nil); err != nil {
		w.Fatal(err)
	}
}

// sink runs one until the function that it returns, or the test's end.
func (w *world) sink(change ...func(*sink.Config)) (stop func()) {
	w.Helper()
	cfg := sink.Config{
		Brokers: w.brokers, ClickHouse: w.conn, Database: w.db, BatchAge: 20 * time.Millisecond,
		SessionTimeout: 6 * time.Second, HeartbeatInterval: 100 * time.Millisecond, RetryMax: 300 * time.Millisecond,
		Logger: zerolog.New(zerolog.NewTestWriter(w)).Level(zerolog.WarnLevel),
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := sink.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		end()
		if err := <-done; err != nil {
			w.Errorf("sink: %v", err)
		}
	})
	w.Cleanup(stop)
	return stop
}

// drain lets a sink work until all that was produced is committed, and stops it.
func (w *world) drain(change ...func(*sink.Config)) {
	w.Helper()
	stop := w.sink(change...)
	w.awaitCommitted()
	stop()
}

func (w *world) awaitCommitted() {
	w.Helper()
	w.eventually("everything is committed", func() (bool, string) {
		committed, err := w.client.ConsumerOffsets(w.Context(), kafka.TopicAndGroup{Topic: topic, GroupId: group})
		if err != nil {
			return false, err.Error()
		}
		for partition, end := range w.sent {
			if committed[partition] < end {
				return false, fmt.Sprint(committed, " of ", w.sent)
			}
		}
		return true, ""
	})
}

func (w *world) eventually(what string, holds func() (bool, string)) {
	w.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, now := holds()
		if ok {
			return
		}
		select {
		case <-deadline.C:
			w.Fatalf("never: %s; last: %s", what, now)
		case <-tick.C:
		}
	}
}

// lead is a body of one event ID; note makes it another.
func lead(id, note string) string {
	return fmt.Sprintf(`{"id":%q,"type":"lead.created","createdAt":"2026-05-27T23:34:12.345Z","data":{"leadId":%q}}`, id, note)
}

// leads are n bodies of their own IDs, numbered from the first.
func leads(first, n int) []string {
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = lead(fmt.Sprintf("evt_%06d", first+i), "ld_1")
	}
	return bodies
}

func (w *world) produce(partition int, bodies ...string) {
	w.Helper()
	if err := w.tryProduce(w.Context(), partition, time.Now(), bodies...); err != nil {
		w.Fatal(err)
	}
}

func (w *world) tryProduce(ctx context.Context, partition int, at time.Time, bodies ...string) error {
	records := make([]kafka.Record, len(bodies))
	for i, b := range bodies {
		records[i] = kafka.Record{Time: at, Value: kafka.NewBytes([]byte(b))}
	}
	answer, err := w.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...), Compression: kafka.Lz4,
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	w.sent[partition] = answer.BaseOffset + int64(len(bodies))
	return nil
}

// commit sets the group's offset, as an operator does. The group must have no members.
func (w *world) commit(partition int, offset int64) {
	w.Helper()
	answer, err := w.client.OffsetCommit(w.Context(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: offset}}},
	})
	if err == nil {
		err = answer.Topics[topic][0].Error
	}
	if err != nil {
		w.Fatalf("commit by hand: %v", err)
	}
}

// retention removes a partition's records below an offset.
func (w *world) retention(partition int32, start int64) {
	w.Helper()
	if err := w.kafka.Cluster().DeleteRecords(topic, partition, start); err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(sql string) {
	w.Helper()
	if err := w.conn.Exec(w.Context(), strings.ReplaceAll(sql, "{db}", w.db)); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) config() verify.Config {
	return verify.Config{Brokers: w.brokers, ClickHouse: w.conn, Database: w.db}
}

func (w *world) verify(change ...func(*verify.Config)) *verify.Report {
	w.Helper()
	report, err := w.tryVerify(change...)
	if err != nil {
		w.Fatal(err)
	}
	return report
}

func (w *world) tryVerify(change ...func(*verify.Config)) (*verify.Report, error) {
	w.Helper()
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	v, err := verify.New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	return v.Run(w.Context())
}

func acknowledge(ranges ...string) func(*verify.Config) {
	return func(cfg *verify.Config) {
		for _, text := range ranges {
			r, err := verify.ParseRange(text)
			if err != nil {
				panic(err)
			}
			cfg.Acknowledge = append(cfg.Acknowledge, r)
		}
	}
}

// found are a report's findings in short: "unrecorded 0:5-7 in Kafka evt_000005 evt_000006 evt_000007".
func found(r *verify.Report) (lines []string) {
	for _, f := range r.Findings {
		line := fmt.Sprintf("%s %s", f.Kind, verify.Range{Epoch: f.Epoch, Partition: f.Partition, First: f.First, Last: f.Last})
		if f.InKafka {
			line += " in Kafka"
		}
		for _, e := range f.Events {
			line += " " + e.ID
			if e.Stored {
				line += "+"
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// finds asserts what a report says, and that it says nothing else.
func (w *world) finds(r *verify.Report, balanced bool, want ...string) {
	w.Helper()
	if got := found(r); fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("found:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if r.Balanced != balanced {
		w.Errorf("balanced: %v, want %v", r.Balanced, balanced)
	}
	s := r.Total
	if s.Fetched != s.Inserted+s.Collapsed+s.DeadLettered+s.Erased {
		w.Errorf("the sheet does not add up: %+v", s)
	}
}
