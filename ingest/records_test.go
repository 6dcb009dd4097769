package ingest_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// record is a Kafka record as it was read.
type record struct {
	partition  int
	offset     int64
	key, value string
	keyless    bool
	time       time.Time
	headers    map[string]string
}

// records reads the whole topic.
func (h *harness) records() []record {
	h.t.Helper()
	return readTopic(h.t, h.kafka.Brokers(), h.kept)
}

func readTopic(t testing.TB, brokers []string, transport *kafka.Transport) (all []record) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Timeout: patience, Transport: transport}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var m *kafka.MetadataResponse
	until(t, "found the topic", func() (ok bool) { // MetadataTTL is also how long kafka-go waits for the metadata
		var err error
		m, err = client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		return err == nil
	})
	for _, p := range m.Topics[0].Partitions {
		ends, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{
			Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(p.ID)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for next, end := int64(0), ends.Topics[topic][0].LastOffset; next < end; {
			got := fetch(t, client, p.ID, next)
			all = append(all, got...)
			next = got[len(got)-1].offset + 1
		}
	}
	return all
}

func fetch(t testing.TB, client *kafka.Client, partition int, offset int64) (got []record) {
	t.Helper()
	response, err := client.Fetch(context.Background(), &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: 8 << 20, MaxWait: time.Second,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		r, err := response.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Offset < offset {
			continue // a batch comes whole
		}
		key, _ := kafka.ReadAll(r.Key)
		value, _ := kafka.ReadAll(r.Value)
		rec := record{partition, r.Offset, string(key), string(value), r.Key == nil, r.Time, map[string]string{}}
		for _, h := range r.Headers {
			if _, twice := rec.headers[h.Key]; twice {
				t.Errorf("record header %s stands there twice", h.Key)
			}
			rec.headers[h.Key] = string(h.Value)
		}
		got = append(got, rec)
	}
	if len(got) == 0 {
		t.Fatalf("partition %d: nothing at offset %d", partition, offset)
	}
	return got
}

func values(records []record) (v []string) {
	for _, r := range records {
		v = append(v, r.value)
	}
	slices.Sort(v)
	return v
}
