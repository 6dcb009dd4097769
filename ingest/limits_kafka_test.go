//go:build kafka

package ingest_test

import (
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestALimitLoweredAfterTheStartHarmsNoNeighbour on a real Kafka.
func TestKafkaLimitLoweredAfterTheStartHarmsNoNeighbour(t *testing.T) {
	k, err := local.StartApache(t.Context(), local.ApacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	if err := k.CreateTopic(topic, 1, map[string]string{"max.message.bytes": "2097152"}); err != nil {
		t.Fatal(err)
	}
	testLoweredLimit(t, k)
}
