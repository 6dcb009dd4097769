package ingest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// Somebody lowers the topic's max.message.bytes while ingest runs, which start would have refused. What no longer fits is
// never acknowledged; what does fit is, also from the same batch; and when the limit is back, so is everything.
func TestALimitLoweredAfterTheStartHarmsNoNeighbour(t *testing.T) {
	t.Parallel()
	testLoweredLimit(t, startKafka(t, local.KfakeConfig{}, 1, nil))
}

func testLoweredLimit(t *testing.T, k broker) {
	h := start(t, k)
	large := strings.Replace(event("evt_large", "ld_0"), `"data":{`, `"data":{"note":"`+strings.Repeat("x", 300<<10)+`",`, 1)
	wantStatus(t, h.deliver(large), http.StatusAccepted)

	h.setMaxMessageBytes("100000")
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if i%20 == 0 {
				wantStatus(t, h.deliver(large), http.StatusServiceUnavailable)
				return
			}
			wantStatus(t, h.deliver(event(fmt.Sprintf("evt_%d", i), fmt.Sprintf("ld_%d", i))), http.StatusAccepted)
		})
	}
	all.Wait()
	if log := h.logs.String(); !strings.Contains(log, "not acknowledged by Kafka") {
		t.Errorf("the log does not say that records are refused:\n%s", log)
	}

	h.setMaxMessageBytes("2097152")
	wantStatus(t, h.deliver(large), http.StatusAccepted)
	copies := 0
	for _, r := range h.check() {
		if r.value == large {
			copies++
		}
	}
	if copies != 2 {
		t.Errorf("the large delivery is in Kafka %d times, want the two that were accepted", copies)
	}
}

func (h *harness) setMaxMessageBytes(to string) {
	h.t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(h.kafka.Brokers()...), Transport: h.kept}
	answer, err := client.IncrementalAlterConfigs(h.t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "max.message.bytes", Value: to, ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err == nil {
		err = answer.Resources[0].Error
	}
	if err != nil {
		h.t.Fatal(err)
	}
}
