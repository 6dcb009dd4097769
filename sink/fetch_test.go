package sink_test

import (
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Compaction of what an idempotent producer wrote leaves record batches without records. kafka-go panics over one that
// others follow, and runs its offset backwards over one that stands alone.
func TestAnEmptyRecordBatchIsSteppedOver(t *testing.T) {
	t.Parallel()
	for name, perResponse := range map[string]int{"others follow": 10, "alone in its response": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.produce(0, events(0, 32)...)
			log := []kmsg.RecordBatch{w.batch(0, 10), emptyBatch(10, 10), emptyBatch(20, 3), w.batch(23, 7), emptyBatch(30, 2)}
			w.forget(30, 32)
			w.forget(10, 23)
			w.end = map[int]int64{0: 32}
			w.answerFetches(func(from int64) []kmsg.RecordBatch {
				for i, b := range log {
					if b.FirstOffset+int64(b.LastOffsetDelta) >= from {
						return log[i:min(i+perResponse, len(log))]
					}
				}
				return nil
			})
			r := w.start(w.config())
			w.check()
			r.awaitReady()
			if got := r.metric("leadhouse_sink_rebalances_total"); got != 1 {
				t.Errorf("rebalances_total: %v, want 1", got)
			}
		})
	}
}

// A transaction's marker is no record: no dead letter, no entry in the ledger, and the offsets go on past it.
func TestTransactionMarkersAreNoRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Brokers()...), kgo.TransactionalID("t"), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	made := events(0, 20)
	for i := 0; i < len(made); i += 5 {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, d := range made[i : i+5] {
			record := &kgo.Record{Key: []byte(d.key), Value: []byte(d.body)}
			if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
				t.Fatal(err)
			}
			w.journal = append(w.journal, sent{d, 0, record.Offset, 0})
		}
		if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	w.end = map[int]int64{0: 24} // a marker after each five
	w.start(w.config())
	w.check()
}

// Kafka counts compressed bytes: what a fetch unpacks is cut at the batch's share, and read on from there.
func TestRecordsThatUnpackToFarMoreAreCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	made := events(0, 3000)
	for i := range made {
		made[i].headers = []kafka.Header{{Key: "padding", Value: make([]byte, 2000)}}
	}
	for i := 0; i < 3000; i += 1000 {
		w.produce(0, made[i:i+1000]...) // 2 MB in one record batch, a few KB compressed
	}
	cfg := w.config()
	cfg.BatchBytes = 200 << 10
	r := w.start(cfg)
	w.check()
	if got := w.fetches().steps; got < 20 {
		t.Errorf("6 MB came in %d fetches, of 200 KiB each", got)
	}
	if got := r.metric(`leadhouse_sink_batch_bytes_bucket{le="262144"}`); got != r.metric("leadhouse_sink_batch_bytes_count") {
		t.Errorf("a batch of more than 256 KiB: %v of %v are within", got, r.metric("leadhouse_sink_batch_bytes_count"))
	}
}

// A record's time may be none, or one that no column holds.
func TestOddRecordTimesAreClamped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.produce(0, events(0, 7)...)
	b := w.batch(0, 7)
	b.FirstTimestamp, b.MaxTimestamp = -1, -1
	w.produce(0, events(7, 7)...)
	late := w.batch(7, 7)
	late.FirstTimestamp = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	seal(&b)
	seal(&late)
	w.answerFetches(func(from int64) []kmsg.RecordBatch {
		if from < 7 {
			return []kmsg.RecordBatch{b, late}
		}
		if from < 14 {
			return []kmsg.RecordBatch{late}
		}
		return nil
	})
	w.start(w.config())
	w.check()
	got := scan[struct {
		Min, Max string
	}](w, `SELECT toString(min(received_at)) AS Min, toString(max(received_at)) AS Max FROM {db}.deliveries FINAL`)
	if want := "[{1970-01-01 00:00:00.000 2261-12-31 23:59:59.000}]"; fmt.Sprint(got) != want {
		t.Errorf("received_at: %v, want %v", got, want)
	}
}

// batch is a record batch of n journaled records from an offset on.
func (w *world) batch(from int64, n int) kmsg.RecordBatch {
	b := emptyBatch(from, n)
	for i, s := range w.journal[from : from+int64(n)] {
		r := kmsg.Record{OffsetDelta: int32(i), Key: []byte(s.key), Value: []byte(s.body)}
		for _, h := range s.headers {
			r.Headers = append(r.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // the length of a zero length
		b.Records = r.AppendTo(b.Records)
	}
	b.NumRecords = int32(n)
	seal(&b)
	return b
}

// emptyBatch is what compaction leaves of a record batch whose records are all gone.
func emptyBatch(from int64, n int) kmsg.RecordBatch {
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{
		FirstOffset: from, Magic: 2, LastOffsetDelta: int32(n - 1), FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: 7, FirstSequence: int32(from),
	}
	seal(&b)
	return b
}

func seal(b *kmsg.RecordBatch) {
	const beforeLength, beforeCRC = 12, 17 + 4
	b.Length = int32(len(b.AppendTo(nil)) - beforeLength)
	b.CRC = int32(crc32.Checksum(b.AppendTo(nil)[beforeCRC:], crc32.MakeTable(crc32.Castagnoli)))
}

// forget drops journaled records that were never there, as far as a reader can tell.
func (w *world) forget(from, to int64) {
	w.journal = append(w.journal[:from], w.journal[to:]...)
}

// answerFetches answers every fetch with the record batches that a log has from an offset on.
func (w *world) answerFetches(log func(from int64) []kmsg.RecordBatch) {
	cluster := w.kafka.Cluster()
	end := w.ends()[0]
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked := req.(*kmsg.FetchRequest).Topics[0].Partitions[0]
		batches := log(asked.FetchOffset)
		if len(batches) == 0 {
			return nil, nil, false // the end of the log is the real one's
		}
		partition := kmsg.NewFetchResponseTopicPartition()
		partition.Partition, partition.HighWatermark, partition.LastStableOffset = asked.Partition, end, end
		for _, b := range batches {
			partition.RecordBatches = b.AppendTo(partition.RecordBatches)
		}
		response := req.ResponseKind().(*kmsg.FetchResponse)
		response.Topics = []kmsg.FetchResponseTopic{{Topic: topic, Partitions: []kmsg.FetchResponseTopicPartition{partition}}}
		return response, nil, true
	})
}
