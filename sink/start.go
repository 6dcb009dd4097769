package sink

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/segmentio/kafka-go"
)

// errCompacted is not waited for: what compaction takes is lost, and kafka-go stumbles over what it leaves.
var errCompacted = errors.New("the topic is compacted: Kafka deletes records that share a key, which all events of an entity do; set cleanup.policy=delete")

// awaitTopic waits until Kafka answers and has the topic. A group on a topic that is not there would rebalance without
// end, and on some brokers create it with settings nobody chose.
func (s *Sink) awaitTopic(ctx context.Context) error {
	hopeless := func(err error) bool {
		return errors.Is(err, errCompacted) || misconfigured(err)
	}
	return s.await(ctx, "topic", hopeless, func() error {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		return s.checkTopic(ctx)
	})
}

func (s *Sink) checkTopic(ctx context.Context) error {
	meta, err := s.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{s.cfg.Topic}})
	if err != nil {
		return fmt.Errorf("ask Kafka for topic %s: %w", s.cfg.Topic, err)
	}
	for _, t := range meta.Topics {
		if t.Name == s.cfg.Topic && t.Error != nil {
			return fmt.Errorf("topic %s (ingest creates it): %w", s.cfg.Topic, t.Error)
		}
	}
	configs, err := s.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: s.cfg.Topic, ConfigNames: []string{"cleanup.policy"}},
	}})
	if err != nil {
		return fmt.Errorf("ask Kafka for the settings of topic %s: %w", s.cfg.Topic, err)
	}
	for _, resource := range configs.Resources {
		if resource.Error != nil {
			// Most likely no permission to ask. Ingest asks too, and needs more permissions anyway.
			s.cfg.Logger.Warn().Err(resource.Error).Str("topic", s.cfg.Topic).Msg("cannot see whether the topic is compacted")
		}
		for _, entry := range resource.ConfigEntries {
			if entry.ConfigName == "cleanup.policy" && strings.Contains(entry.ConfigValue, "compact") {
				return fmt.Errorf("topic %s: %w", s.cfg.Topic, errCompacted)
			}
		}
	}
	return nil
}

// awaitSchema waits until ClickHouse answers and has the tables. What only a change of the account or the server can mend
// is returned at once: nobody waits for it, and no member of the group has been disturbed yet.
func (s *Sink) awaitSchema(ctx context.Context) error {
	return s.await(ctx, "schema", func(err error) bool { return classify(err) == fatal || misconfigured(err) }, func() error {
		if err := s.schemas.reload(ctx); err != nil {
			return err
		}
		return s.gaps.read(ctx) // a sink is not ready for a moment while offsets are lost
	})
}

// await tries until it works (nil), until ctx ends (nil too: a stop is no error), or until an error is hopeless.
func (s *Sink) await(ctx context.Context, part string, hopeless func(error) bool, try func() error) error {
	pause := newBackoff(s.cfg.RetryMax)
	for {
		err := try()
		if err == nil {
			s.health.over(part)
			return nil
		}
		if ctx.Err() == nil {
			if hopeless(err) {
				return fmt.Errorf("%w%s", err, hint(err))
			}
			s.health.trouble(part, cause(err), describe(err))
		}
		if !wait(ctx, pause.NextBackOff()) {
			return nil
		}
	}
}
