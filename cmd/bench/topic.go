package main

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// event is a delivery on its way into a topic.
type event struct {
	id, typ, key string
	body         []byte
}

// journeys are the events that sink and fill are measured with: customer journeys of half a year, of all types.
func journeys(rows int) iter.Seq[event] {
	return eventsOf(local.Journeys{Seed: 1, Events: rows, Campaigns: true})
}

func eventsOf(of local.Journeys) iter.Seq[event] {
	return func(yield func(event) bool) {
		for d := range of.All() {
			if !yield(event{d.ID, d.Type, d.Key, d.Body}) {
				return
			}
		}
	}
}

// partitionOf is where ingest, and every Java producer, puts a key.
func partitionOf(key string) int {
	return kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(key)}, partitionNumbers...)
}

var partitionNumbers = func() (all []int) {
	for i := range partitions {
		all = append(all, i)
	}
	return all
}()

const (
	// produceBytes end a batch; Kafka takes 1 MiB by default. Ingest under load writes batches of some 100 KiB.
	produceBytes = 512 << 10

	// recordOverhead is about what a record has beside its body: key, headers, framing.
	recordOverhead = 160
)

// fill makes a topic and writes events into it as ingest would: the key is the entity's ID, the headers are ingest's, not
// compressed. It returns when Kafka has all of them.
func (r *rig) fill(ctx context.Context, topic string, rows int, events iter.Seq[event]) error {
	r.say("filling topic %s with %s events", topic, number(float64(rows)))
	if err := r.broker.CreateTopic(topic, partitions, nil); err != nil {
		return err
	}
	to, err := r.producer(ctx, topic)
	if err != nil {
		return err
	}
	defer to.Transport.(*kafka.Transport).CloseIdleConnections()
	group, ctx := errgroup.WithContext(ctx)
	queues := make([]chan []event, partitions)
	for p := range queues {
		queues[p] = make(chan []event, 2)
		group.Go(func() error {
			for batch := range queues[p] {
				if err := produce(ctx, to, topic, p, batch); err != nil {
					return fmt.Errorf("fill topic %s: %w", topic, err)
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer func() {
			for _, q := range queues {
				close(q)
			}
		}()
		return distribute(ctx, events, queues)
	})
	return group.Wait()
}

// distribute cuts events into batches of one partition each.
func distribute(ctx context.Context, events iter.Seq[event], queues []chan []event) error {
	var batches [partitions][]event
	var bytes [partitions]int
	send := func(p int) error {
		select {
		case queues[p] <- batches[p]:
			batches[p], bytes[p] = make([]event, 0, len(batches[p])), 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for e := range events {
		p := partitionOf(e.key)
		batches[p] = append(batches[p], e)
		if bytes[p] += len(e.body) + recordOverhead; bytes[p] < produceBytes {
			continue
		}
		if err := send(p); err != nil {
			return err
		}
	}
	for p := range batches {
		if len(batches[p]) == 0 {
			continue // kafka-go answers an empty produce with success, and Kafka with an error
		}
		if err := send(p); err != nil {
			return err
		}
	}
	return nil
}

// producer is a client that knows the topic's leaders. kafka-go keeps what it was told first, that there is no such topic,
// for seconds: so a new transport asks, until it is told otherwise.
func (r *rig) producer(ctx context.Context, topic string) (client *kafka.Client, err error) {
	err = await(ctx, "topic "+topic, awaitLimit, lookInterval, func(ctx context.Context) (bool, error) {
		transport := &kafka.Transport{MetadataTopics: []string{topic}}
		client = &kafka.Client{Addr: kafka.TCP(r.broker.Brokers()...), Timeout: time.Minute, Transport: transport}
		m, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err == nil && len(m.Topics) == 1 && m.Topics[0].Error == nil && len(m.Topics[0].Partitions) == partitions {
			return true, nil
		}
		transport.CloseIdleConnections()
		return false, err
	})
	return client, err
}

// produce writes one batch. Records are built for this one attempt: kafka-go takes used ones for none.
func produce(ctx context.Context, client *kafka.Client, topic string, partition int, batch []event) error {
	records := make([]kafka.Record, len(batch))
	now := time.Now()
	for i, e := range batch {
		records[i] = kafka.Record{
			Time: now, Key: kafka.NewBytes([]byte(e.key)), Value: kafka.NewBytes(e.body),
			Headers: []kafka.Header{
				{Key: "event-id", Value: []byte(e.id)},
				{Key: "event-type", Value: []byte(e.typ)},
				{Key: "signature-secret-id", Value: []byte("bench")},
			},
		}
	}
	response, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
	})
	if err != nil {
		return err
	}
	return response.Error
}

// journeysTopic is filled at its first use.
func (r *rig) journeysTopic(ctx context.Context) (string, error) {
	if r.journeys == "" {
		topic := r.name("journeys")
		if err := r.fill(ctx, topic, r.rows, journeys(r.rows)); err != nil {
			return "", err
		}
		r.journeys = topic
	}
	return r.journeys, nil
}

// deleteTopic makes room on the disk.
func (r *rig) deleteTopic(ctx context.Context, topic string) error {
	client := &kafka.Client{Addr: kafka.TCP(r.broker.Brokers()...), Timeout: time.Minute, Transport: &kafka.Transport{}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()
	response, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err == nil {
		err = response.Errors[topic]
	}
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	return nil
}
