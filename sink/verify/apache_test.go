//go:build kafka

package verify_test

import (
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// What kfake only imitates, on Apache Kafka itself: markers of transactions in the middle of the log and at its end, records
// that are removed, an offset set back.
func TestKafkaIsVerified(t *testing.T) {
	t.Parallel()
	broker, err := local.StartApache(t.Context(), local.ApacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	w := newWorldOn(t, broker.Brokers())
	if err := broker.CreateTopic(topic, 2, nil); err != nil {
		t.Fatal(err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.TransactionalID("t"), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for _, body := range leads(0, 15) {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Value: []byte(body)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	w.sent[0] = 30
	w.eventually("the last marker is written", func() (bool, string) {
		end, err := w.client.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(0)}}})
		return err == nil && end.Topics[topic][0].LastOffset == 30, fmt.Sprint(end, err)
	})
	w.produce(1, leads(100, 30)...)
	w.drain()
	r := w.verify()
	w.finds(r, true)
	if r.Total.Fetched != 45 || r.Total.Recordless != 15 {
		t.Errorf("total: %+v", r.Total)
	}
	w.exec("DELETE FROM {db}.lead_events WHERE event_id IN ('evt_000004', 'evt_000104', 'evt_000112')")
	w.exec("DELETE FROM {db}.deliveries WHERE kafka_partition = 0 AND kafka_offset = 20")
	w.deleteRecords(producer, 1, 10)
	w.finds(w.verify(), false, "unrecorded 0:20-20 in Kafka evt_000010+", "no_event_row 0:8-8 in Kafka evt_000004",
		"no_event_row 1:4-4", "no_event_row 1:12-12 in Kafka evt_000112", "unknown_event_row 0:20-20 in Kafka evt_000010+")

	// What Kafka has is read again; what it has not is lost, and accepted.
	w.commit(0, 0)
	w.commit(1, 12)
	w.produce(1, leads(200, 10)...)
	w.drain()
	w.finds(w.verify(acknowledge("1:0-9")), true, "acknowledged_gap 1:4-4")
	w.produce(1, leads(300, 10)...) // to 50
	w.deleteRecords(producer, 1, 45)
	w.drain()
	w.finds(w.verify(), false, "open_gap 1:40-44", "acknowledged_gap 1:4-4")
	w.finds(w.verify(acknowledge("1:40-44")), true, "acknowledged_gap 1:4-4", "acknowledged_gap 1:40-44")
}

func (w *world) deleteRecords(client *kgo.Client, partition int32, start int64) {
	w.Helper()
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.TimeoutMillis = 10_000
	request.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: start}}}}
	if _, err := request.RequestWith(w.Context(), client); err != nil {
		w.Fatal(err)
	}
}
