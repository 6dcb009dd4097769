package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
)

// A receipt is worth what the topic is worth. So at start:
//
//   - an absent topic is created, where that is allowed, the way it should be;
//   - a compacted one is refused: compaction deletes all but the newest event of an entity;
//   - one that cannot take the largest allowed body is refused: such a delivery would get 503 for ever;
//   - fewer than 3 replicas, or min.insync.replicas below 2, is warned about: an acknowledged record can then be lost with
//     one broker.

// Topic is where the records go.
type Topic struct {
	Name string // Defaults to "leadron.events".

	// Create it when it is absent, with Partitions, Replicas and Retention, min.insync.replicas 2 where there are 3 replicas,
	// cleanup.policy=delete and a max.message.bytes that fits Config.MaxBody.
	Create     bool
	Partitions int           // Defaults to 3: a leader on each of three brokers. More of them split the batches (doc.go).
	Replicas   int           // Defaults to 3, and to fewer where there are fewer brokers.
	Retention  time.Duration // Defaults to 14 days: how long the warehouse may be away.
}

func (t Topic) withDefaults() Topic {
	t.Name = cmp.Or(t.Name, "leadron.events")
	t.Partitions = cmp.Or(t.Partitions, 3)
	t.Replicas = cmp.Or(t.Replicas, wantReplicas)
	t.Retention = cmp.Or(t.Retention, 14*24*time.Hour)
	return t
}

func (t Topic) validate() error {
	var errs []error
	if !topicName.MatchString(t.Name) || t.Name == "." || t.Name == ".." {
		errs = append(errs, fmt.Errorf("Topic.Name: %q is not a topic's name", t.Name))
	}
	if t.Partitions < 1 || t.Partitions > 10_000 {
		errs = append(errs, fmt.Errorf("Topic.Partitions: %d is not 1 to 10000", t.Partitions))
	}
	if t.Replicas < 1 || t.Replicas > 100 {
		errs = append(errs, fmt.Errorf("Topic.Replicas: %d is not 1 to 100", t.Replicas))
	}
	if t.Retention < time.Hour {
		errs = append(errs, fmt.Errorf("Topic.Retention: %v is less than an hour", t.Retention))
	}
	return errors.Join(errs...)
}

const (
	wantReplicas = 3
	wantInSync   = 2

	// kafkaMaxMessage is Kafka's own default of max.message.bytes, and enough for a batch: beyond 1 MiB a record does not
	// get cheaper.
	kafkaMaxMessage = 1<<20 + 12
)

// LeastMessageBytes is the least max.message.bytes of a topic that is to take bodies of this size.
func LeastMessageBytes(maxBody int) int { return maxBody + maxRecordOverhead }

// topic looks after the topic at start.
type topic struct {
	Topic
	client  *kafka.Client
	maxBody int
	log     zerolog.Logger
}

// facts are what the producer needs to know of a topic.
type facts struct {
	partitions int
	batchLimit int // bytes of a record batch
}

var errAbsent = errors.New("the topic does not exist")

// open finds the topic, or creates it, and checks that it deserves the promise. It tries again while the brokers cannot be
// reached, for as long as patience lasts.
func (t *topic) open(ctx context.Context, patience time.Duration) (facts, error) {
	deadline := time.Now().Add(patience)
	pause, told := 100*time.Millisecond, false
	for {
		f, err := t.try(ctx)
		if err == nil || ctx.Err() != nil || final(err) || time.Now().After(deadline) {
			return f, explain(err)
		}
		if !told {
			told = true
			t.log.Warn().Err(explain(err)).Stringer("patience", patience).Msg("Kafka does not answer yet")
		}
		if !sleep(ctx, pause) {
			return f, explain(err)
		}
		pause = min(2*pause, time.Second)
	}
}

// refusal is a verdict on the topic: no waiting changes it.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func final(err error) bool {
	_, verdict := errors.AsType[refusal](err)
	return verdict || misconfigured(err)
}

func (t *topic) try(ctx context.Context) (facts, error) {
	// Its own short time-out: with a bootstrap address that swallows packets, nothing else ends the wait.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	f, err := t.inspect(ctx)
	if !errors.Is(err, errAbsent) {
		return f, err
	}
	if !t.Create {
		return f, refusal{fmt.Errorf("topic %s: %w, and creating it is not switched on", t.Name, errAbsent)}
	}
	if err := t.create(ctx); err != nil {
		return f, err
	}
	f, err = t.inspect(ctx)
	return f, err
}

// inspect reads the topic as it is. errAbsent when it is not.
func (t *topic) inspect(ctx context.Context) (facts, error) {
	m, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.Name}})
	if err != nil {
		return facts{}, fmt.Errorf("ask for topic %s: %w", t.Name, err)
	}
	if len(m.Topics) != 1 {
		return facts{}, fmt.Errorf("ask for topic %s: the answer has %d topics", t.Name, len(m.Topics))
	}
	found := m.Topics[0]
	switch {
	case errors.Is(found.Error, kafka.UnknownTopicOrPartition):
		return facts{}, errAbsent
	case found.Error != nil:
		return facts{}, fmt.Errorf("ask for topic %s: %w", t.Name, found.Error)
	case len(found.Partitions) == 0:
		return facts{}, fmt.Errorf("topic %s has no partitions yet", t.Name)
	}
	settings, err := t.settings(ctx)
	if err != nil {
		return facts{}, err
	}
	return t.judge(len(found.Partitions), len(found.Partitions[0].Replicas), settings)
}

// settings reads the topic's configuration. Without the right to it nobody can tell whether the topic is compacted, so
// that is an error too.
func (t *topic) settings(ctx context.Context) (map[string]string, error) {
	response, err := t.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic,
			ResourceName: t.Name,
			ConfigNames:  []string{"cleanup.policy", "max.message.bytes", "min.insync.replicas"},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("read the settings of topic %s: %w", t.Name, err)
	}
	settings := map[string]string{}
	for _, r := range response.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("read the settings of topic %s: %w", t.Name, r.Error)
		}
		for _, e := range r.ConfigEntries {
			settings[e.ConfigName] = e.ConfigValue
		}
	}
	return settings, nil
}

// judge refuses what cannot keep the promise, and warns about what keeps it badly.
func (t *topic) judge(partitions, replicas int, settings map[string]string) (facts, error) {
	if policy := settings["cleanup.policy"]; policy != "delete" {
		return facts{}, refusal{fmt.Errorf("topic %s has cleanup.policy=%q: compaction deletes acknowledged events, so it must be delete", t.Name, policy)}
	}
	maxMessage, err := strconv.Atoi(settings["max.message.bytes"])
	if err != nil {
		return facts{}, fmt.Errorf("topic %s: max.message.bytes: %w", t.Name, err)
	}
	need := LeastMessageBytes(t.maxBody)
	if maxMessage < need {
		return facts{}, refusal{fmt.Errorf("topic %s has max.message.bytes=%d, and a body of the allowed %d bytes needs %d: raise the one or lower the other",
			t.Name, maxMessage, t.maxBody, need)}
	}
	if replicas < wantReplicas {
		t.log.Warn().Str("topic", t.Name).Int("replicas", replicas).
			Msg("the topic has fewer than 3 replicas: acknowledged deliveries can be lost with a broker")
	}
	if inSync, err := strconv.Atoi(settings["min.insync.replicas"]); err != nil || inSync < wantInSync {
		t.log.Warn().Str("topic", t.Name).Str("min.insync.replicas", settings["min.insync.replicas"]).
			Msg("the topic takes a record that only one broker has: acknowledged deliveries can be lost with it")
	}
	return facts{partitions: partitions, batchLimit: min(maxMessage, max(need, kafkaMaxMessage))}, nil
}

// create makes the topic. Another instance may have been faster: then it exists, and is judged like any other.
func (t *topic) create(ctx context.Context) error {
	m, err := t.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{t.Name}})
	if err != nil {
		return fmt.Errorf("count the brokers: %w", err)
	}
	replicas := min(t.Replicas, len(m.Brokers))
	entries := []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(t.Retention.Milliseconds(), 10)},
		{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(max(LeastMessageBytes(t.maxBody), kafkaMaxMessage))},
	}
	if replicas >= wantReplicas {
		entries = append(entries, kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(wantInSync)})
	}
	response, err := t.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: replicas, ConfigEntries: entries,
	}}})
	if err == nil {
		err = response.Errors[t.Name]
	}
	switch {
	case err == nil:
		t.log.Info().Str("topic", t.Name).Int("partitions", t.Partitions).Int("replicas", replicas).Msg("topic created")
		return nil
	case errors.Is(err, kafka.TopicAlreadyExists):
		return nil
	}
	if code, ok := errors.AsType[kafka.Error](err); ok && !code.Temporary() {
		return refusal{fmt.Errorf("create topic %s: %w", t.Name, err)}
	}
	return fmt.Errorf("create topic %s: %w", t.Name, err)
}
