package ingest_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// pageExamples are the payloads of the Events page, by event type: the source of truth, read as it is.
func pageExamples(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../schema/testdata/events-page.txt")
	if err != nil {
		t.Fatal(err)
	}
	examples := map[string]string{}
	heading := regexp.MustCompile(`^([a-z_]+\.[a-z_]+) payload$`)
	lines := strings.Split(string(page), "\n")
	for i := 0; i < len(lines); i++ {
		m := heading.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		for ; lines[i] != "{"; i++ { // "json", and the line numbers
		}
		from := i
		for ; lines[i] != "}"; i++ {
		}
		examples[m[1]] = strings.Join(lines[from:i+1], "\n")
	}
	return examples
}

func TestAllExamplesOfTheEventsPageArriveByteForByteUnderTheRightKey(t *testing.T) {
	t.Parallel()
	const partitions = 12
	h := start(t, startKafka(t, local.KfakeConfig{}, partitions, nil))
	examples := pageExamples(t)
	if len(examples) != 14 {
		t.Fatalf("examples on the page: got %d, want 14", len(examples))
	}
	for _, body := range examples {
		wantStatus(t, h.deliver(body), 202)
	}
	records := h.check()
	if len(records) != 14 {
		t.Fatalf("records: got %d, want 14", len(records))
	}
	javas := kgo.StickyKeyPartitioner(nil).ForTopic(topic) // another implementation of the Java client's partitioner
	for _, r := range records {
		var e struct {
			ID   string
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal([]byte(r.value), &e); err != nil {
			t.Fatal(err)
		}
		if r.value != examples[e.Type] {
			t.Errorf("%s: got other bytes than the page's", e.Type)
		}
		entity, _, _ := strings.Cut(e.Type, ".")
		if want := e.Data[entity+"Id"]; r.key != want {
			t.Errorf("%s: got key %q, want %q", e.Type, r.key, want)
		}
		if want := javas.Partition(&kgo.Record{Key: []byte(r.key)}, partitions); r.partition != want {
			t.Errorf("%s: got partition %d, want %d, the Java client's", e.Type, r.partition, want)
		}
		if r.headers["event-type"] != e.Type || r.headers["event-id"] != e.ID {
			t.Errorf("%s: got headers %v", e.Type, r.headers)
		}
		if got := h.metric(`leadhouse_ingest_events_total{type="` + e.Type + `"}`); got != 1 {
			t.Errorf("%s: counted %v times, want 1", e.Type, got)
		}
	}
}
