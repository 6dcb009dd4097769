package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/ingest"
)

// kafkaCheck is what is known of the cluster so far: each question builds on the one before.
type kafkaCheck struct {
	*checkJob
	client *kafka.Client
}

func (j *checkJob) lookAtKafka(ctx context.Context) {
	if risk := j.kafka.risk(); risk != "" {
		j.report.warn("kafka", risk, "")
	}
	meta := j.reachKafka(ctx)
	if meta == nil {
		j.report.skip("kafka topic", "no broker answers")
		j.report.skip("kafka group", "no broker answers")
		return
	}
	transport, err := j.kafka.transport("leadhouse-check", j.topic)
	if err != nil {
		return // the configuration is in order, or we would not be here
	}
	defer transport.CloseIdleConnections()
	c := &kafkaCheck{j, &kafka.Client{Addr: kafka.TCP(j.kafka.brokers...), Timeout: j.timeout, Transport: transport}}
	partitions := c.lookAtTopic(ctx, meta)
	if partitions == nil {
		j.report.skip("kafka group", "there is no topic to have read")
		return
	}
	c.lookAtGroup(ctx, partitions)
}

// reachKafka asks every broker by itself: those of the settings, and those that the cluster names, since clients are sent
// on to them. It returns the cluster's answer, nil if there is none.
func (j *checkJob) reachKafka(ctx context.Context) *kafka.MetadataResponse {
	var known *kafka.MetadataResponse
	for _, addr := range j.kafka.brokers {
		meta, err := j.askBroker(ctx, addr)
		if err != nil {
			j.report.bad("kafka", addr+": "+err.Error(), kafkaAdvice(err))
			continue
		}
		known = meta
		j.report.ok("kafka", "%s: %d brokers%s", addr, len(meta.Brokers), j.kafka.describe())
	}
	if known == nil {
		return nil
	}
	for _, b := range known.Brokers {
		addr := net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
		if slices.Contains(j.kafka.brokers, addr) {
			continue
		}
		if _, err := j.askBroker(ctx, addr); err != nil {
			j.report.bad("kafka", fmt.Sprintf("broker %d, as the cluster names it, %s: %v", b.ID, addr, err),
				"Clients are sent on to this address: advertised.listeners of the broker must be reachable from here. "+kafkaAdvice(err))
		}
	}
	return known
}

// askBroker uses a transport of its own: kafka-go tells the true cause of a failure only before its first success.
func (j *checkJob) askBroker(ctx context.Context, addr string) (meta *kafka.MetadataResponse, err error) {
	transport, err := j.kafka.transport("leadhouse-check", j.topic)
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	err = j.ask(ctx, func(ctx context.Context) error {
		client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
		meta, err = client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{j.topic}})
		return bare(err)
	})
	return meta, err
}

// describe says how the connection is made, for the reader who wonders which of the settings was in force.
func (k *kafkaSettings) describe() string {
	text := ""
	if k.tls.on {
		text += ", TLS"
	}
	if k.mechanism != saslNone {
		text += ", " + k.mechanism + " as " + k.username
	}
	return text
}

func (c *kafkaCheck) lookAtTopic(ctx context.Context, meta *kafka.MetadataResponse) []kafka.Partition {
	const what = "kafka topic"
	i := slices.IndexFunc(meta.Topics, func(t kafka.Topic) bool { return t.Name == c.topic })
	if i < 0 || errors.Is(meta.Topics[i].Error, kafka.UnknownTopicOrPartition) {
		c.report.bad(what, "there is no topic "+c.topic, "Start ingest with --kafka-create-topic, or create it: "+c.createTopic())
		return nil
	}
	topic := meta.Topics[i]
	if topic.Error != nil || len(topic.Partitions) == 0 {
		c.report.bad(what, fmt.Sprintf("%s: %v", c.topic, topic.Error), kafkaAdvice(topic.Error))
		return nil
	}
	c.report.ok(what, "%s: %d partitions, %d replicas", c.topic, len(topic.Partitions), len(topic.Partitions[0].Replicas))
	c.lookAtReplicas(topic.Partitions)
	c.lookAtConfigs(ctx)
	return topic.Partitions
}

// createTopic is the command that makes the topic as ingest does.
func (c *kafkaCheck) createTopic() string {
	t := ingest.Defaults().Topic
	return fmt.Sprintf("kafka-topics.sh --create --topic %s --partitions %d --replication-factor %d --config cleanup.policy=delete --config min.insync.replicas=2 --config retention.ms=%d --config max.message.bytes=%d",
		c.topic, t.Partitions, t.Replicas, t.Retention.Milliseconds(), ingest.LeastMessageBytes(c.maxBody))
}

func (c *kafkaCheck) lookAtReplicas(partitions []kafka.Partition) {
	const what = "kafka topic"
	var leaderless, behind []string
	for _, p := range partitions {
		switch id := strconv.Itoa(p.ID); {
		case p.Leader.Host == "":
			leaderless = append(leaderless, id)
		case len(p.Isr) < len(p.Replicas):
			behind = append(behind, id)
		}
	}
	if len(leaderless) > 0 {
		c.report.bad(what, "no leader for partition "+strings.Join(leaderless, ", "), "Nothing can be written to or read from it: bring its brokers back.")
	}
	if len(behind) > 0 {
		c.report.warn(what, "not all replicas are in sync of partition "+strings.Join(behind, ", "), "A broker is away or slow.")
	}
	if n := len(partitions[0].Replicas); n < 3 {
		c.report.warn(what, fmt.Sprintf("%d replicas: with fewer than 3 an acknowledged delivery can be lost with a broker", n),
			"Where there are brokers for it: kafka-reassign-partitions.sh to 3 replicas, and min.insync.replicas=2.")
	}
}

// lookAtConfigs reads the settings that a receipt is worth as much as.
func (c *kafkaCheck) lookAtConfigs(ctx context.Context) {
	const what = "kafka topic"
	configs, err := c.configs(ctx)
	if err != nil {
		c.report.bad(what, "its settings cannot be read: "+err.Error(), kafkaAdvice(err))
		return
	}
	if policy := configs["cleanup.policy"]; policy != "delete" {
		c.report.bad(what, "cleanup.policy="+policy+": compaction deletes acknowledged events",
			"kafka-configs.sh --alter --topic "+c.topic+" --add-config cleanup.policy=delete")
	}
	if n, err := strconv.Atoi(configs["min.insync.replicas"]); err != nil || n < 2 {
		c.report.warn(what, "min.insync.replicas="+configs["min.insync.replicas"]+": a record counts as written when one broker has it",
			"With 3 replicas: kafka-configs.sh --alter --topic "+c.topic+" --add-config min.insync.replicas=2")
	}
	if n, err := strconv.Atoi(configs["max.message.bytes"]); err != nil || n < ingest.LeastMessageBytes(c.maxBody) {
		c.report.bad(what, fmt.Sprintf("max.message.bytes=%s has no room for a body of --max-body %s", configs["max.message.bytes"], showSize(c.maxBody)),
			fmt.Sprintf("kafka-configs.sh --alter --topic %s --add-config max.message.bytes=%d, or lower --max-body", c.topic, ingest.LeastMessageBytes(c.maxBody)))
	}
}

func (c *kafkaCheck) configs(ctx context.Context) (map[string]string, error) {
	configs := map[string]string{}
	err := c.again(ctx, func(ctx context.Context) error {
		response, err := c.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: c.topic,
			ConfigNames: []string{"cleanup.policy", "max.message.bytes", "min.insync.replicas"},
		}}})
		if err != nil {
			return bare(err)
		}
		for _, r := range response.Resources {
			if r.Error != nil {
				return r.Error
			}
			for _, e := range r.ConfigEntries {
				configs[e.ConfigName] = e.ConfigValue
			}
		}
		return nil
	})
	return configs, err
}

// again asks until the answer is not one that passes, within the time-out: a cluster that has just started, or that nobody
// has asked for a group before, is still electing a coordinator.
func (c *kafkaCheck) again(ctx context.Context, question func(context.Context) error) error {
	return c.ask(ctx, func(ctx context.Context) error {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			err := question(ctx)
			if code, answered := errors.AsType[kafka.Error](err); !answered || !code.Temporary() {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return err
			}
		}
	})
}

// lookAtGroup compares what the group has committed with what the log has.
func (c *kafkaCheck) lookAtGroup(ctx context.Context, partitions []kafka.Partition) {
	const what = "kafka group"
	ids := make([]int, len(partitions))
	for i, p := range partitions {
		ids[i] = p.ID
	}
	committed, err := c.committed(ctx, ids)
	if err != nil {
		c.report.bad(what, c.group+": "+err.Error(), kafkaAdvice(err))
		return
	}
	first, firstErr := c.offsets(ctx, ids, kafka.FirstOffsetOf)
	last, lastErr := c.offsets(ctx, ids, kafka.LastOffsetOf)
	if err := cmp.Or(firstErr, lastErr); err != nil {
		c.report.bad(what, "where the log begins and ends: "+err.Error(), kafkaAdvice(err))
		return
	}
	read, lag, inLog := false, int64(0), true
	for _, id := range ids {
		at, known := committed[id]
		read = read || known
		if !known {
			at = first[id]
		}
		lag += max(last[id]-at, 0)
		if known && (at < first[id] || at > last[id]) {
			inLog = false
			c.report.bad(what, fmt.Sprintf("partition %d: the next offset to read is %d, and the log has %d to %d", id, at, first[id], last[id]),
				outsideLog(at < first[id]))
		}
	}
	switch {
	case !inLog:
	case !read:
		c.report.ok(what, "%s has read nothing yet; %d records wait", c.group, lag)
	default:
		c.report.ok(what, "%s is %d records behind%s", c.group, lag, c.members(ctx))
	}
}

// outsideLog says what a sink does about a committed offset that is not in the log.
func outsideLog(below bool) string {
	if below {
		return "Retention has removed records that were never inserted. Sink records which, goes on behind them, and is not ready until leadhouse verify --acknowledge has taken note."
	}
	return "The topic was recreated, or has lost records. Sink stops until one is started with --accept-new-topic, while no other runs: it reads the topic from its start as a new epoch."
}

func (c *kafkaCheck) committed(ctx context.Context, ids []int) (map[int]int64, error) {
	committed := map[int]int64{}
	err := c.again(ctx, func(ctx context.Context) error {
		response, err := c.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: c.group, Topics: map[string][]int{c.topic: ids}})
		if err != nil {
			return bare(err)
		}
		if response.Error != nil && !errors.Is(response.Error, kafka.GroupIdNotFound) {
			return response.Error
		}
		for _, p := range response.Topics[c.topic] {
			if p.Error != nil {
				return p.Error
			}
			if p.CommittedOffset >= 0 {
				committed[p.Partition] = p.CommittedOffset
			}
		}
		return nil
	})
	return committed, err
}

// offsets asks for one end of the log. Kafka does not take both in one request.
func (c *kafkaCheck) offsets(ctx context.Context, ids []int, end func(int) kafka.OffsetRequest) (map[int]int64, error) {
	ask := make([]kafka.OffsetRequest, len(ids))
	for i, id := range ids {
		ask[i] = end(id)
	}
	offsets := map[int]int64{}
	err := c.again(ctx, func(ctx context.Context) error {
		response, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{c.topic: ask}})
		if err != nil {
			return bare(err)
		}
		for _, p := range response.Topics[c.topic] {
			if p.Error != nil {
				return p.Error
			}
			offsets[p.Partition] = max(p.FirstOffset, p.LastOffset) // the one that was not asked for is -1
		}
		return nil
	})
	return offsets, err
}

// members adds how many sinks share the work, where Kafka says.
func (c *kafkaCheck) members(ctx context.Context) string {
	text := ""
	_ = c.ask(ctx, func(ctx context.Context) error {
		response, err := c.client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{c.group}})
		if err == nil && len(response.Groups) == 1 && response.Groups[0].Error == nil {
			text = fmt.Sprintf("; %d sinks are at it", len(response.Groups[0].Members))
		}
		return nil // a nicety: the right to it is not worth a complaint
	})
	return text
}
