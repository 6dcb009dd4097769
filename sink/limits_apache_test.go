//go:build kafka

package sink_test

import (
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestARecordLargerThanEveryLimitIsRead, by a real Kafka's fetch limits.
func TestKafkaServesARecordLargerThanEveryLimit(t *testing.T) {
	t.Parallel()
	broker, err := local.StartApache(t.Context(), local.ApacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Stop)
	w := newWorldOn(t, broker.Brokers())
	w.builtin()
	if err := broker.CreateTopic(topic, 1, map[string]string{"max.message.bytes": "20000000"}); err != nil {
		t.Fatal(err)
	}
	w.passLargeRecords()
}
