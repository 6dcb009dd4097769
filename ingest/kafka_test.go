//go:build kafka

package ingest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

// What kfake is lenient about is tried on a real Kafka: its own measure of a batch, its clock, its death.
func TestKafkaReal(t *testing.T) {
	k, err := local.StartApache(t.Context(), local.ApacheConfig{Progress: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	h := start(t, k, func(c *ingest.Config) {
		c.Topic.Create, c.Topic.Partitions, c.AckTimeout = true, 3, 2*time.Second
	})

	t.Run("created as it should be", func(t *testing.T) {
		got := settings(t, h)
		for name, want := range map[string]string{
			"partitions": "3", "replicas": "1", "cleanup.policy": "delete", "retention.ms": "1209600000", "max.message.bytes": "1049600",
		} {
			if got[name] != want {
				t.Errorf("%s: got %q, want %q", name, got[name], want)
			}
		}
	})

	t.Run("the largest body, and full batches", func(t *testing.T) {
		largest := event("evt_largest", "ld_1")
		largest += strings.Repeat(" ", 1<<20-len(largest))
		var senders sync.WaitGroup
		for s := range 32 {
			senders.Go(func() {
				for i := range 30 {
					body := event(fmt.Sprintf("evt_%d_%d", s, i), fmt.Sprintf("ld_%d", i%9))
					wantStatus(t, h.deliver(body+strings.Repeat(" ", i*1000)), 202)
				}
				if s%8 == 0 {
					wantStatus(t, h.deliver(largest), 202)
				}
			})
		}
		senders.Wait()
		h.check()
		if n := h.metric(`leadhouse_ingest_produce_errors_total{kind="too_large"}`); n != 0 {
			t.Errorf("batches refused for their size: got %v, want 0", n)
		}
	})

	t.Run("a record time that Kafka refuses", func(t *testing.T) {
		tolerate(t, h, "1") // ms into the past: every time is too old on arrival
		body := event("evt_timeless", "ld_1")
		h.until("refused once, then taken without a time", func() bool {
			wantStatus(t, h.deliver(body), 202)
			return h.metric(`leadhouse_ingest_produce_errors_total{kind="timestamp"}`) > 0
		})
		untimed := 0
		for _, r := range h.check() {
			if r.value == body && r.time.UnixMilli() < 0 {
				untimed++
			}
		}
		if untimed == 0 {
			t.Error("no copy without a time")
		}
		tolerate(t, h, "9223372036854775807")
	})

	t.Run("a broker that hangs, then one that dies", func(t *testing.T) {
		if err := k.Pause(); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, h.deliver(event("evt_hung", "ld_1")), 503)
		h.until("not ready", func() bool { return h.get(h.admin+"/readyz") == 503 })
		if err := k.Continue(); err != nil {
			t.Fatal(err)
		}
		h.until("accepted again", func() bool { return h.deliver(event("evt_awake", "ld_1")).status == 202 })

		k.Kill()
		wantStatus(t, h.deliver(event("evt_dead", "ld_1")), 503)
		if err := k.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.until("accepted again", func() bool { return h.deliver(event("evt_alive", "ld_1")).status == 202 })
		h.kept.CloseIdleConnections()
		h.check()
	})
}

// tolerate sets how far a record's time may lie in the past, in milliseconds.
func tolerate(t *testing.T, h *harness, ms string) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(h.kafka.Brokers()...), Transport: h.kept, Timeout: patience}
	response, err := client.IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{
				Name: "message.timestamp.before.max.ms", Value: ms, ConfigOperation: kafka.ConfigOperationSet,
			}},
		}},
	})
	if err != nil || response.Resources[0].Error != nil {
		t.Fatal(err, response)
	}
}
