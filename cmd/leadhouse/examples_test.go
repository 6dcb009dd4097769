package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// examples are the 14 of the Events page: the table each goes to, the ID it is keyed by, and every typed column that it
// fills, as ClickHouse writes it in JSON. All others are NULL.
var examples = []struct {
	eventType, table, key string
	columns               map[string]any
}{
	{"lead.created", "lead_events", "ld_123", map[string]any{"lead_id": "ld_123", "email": "jane@acme.com", "source": "web_form"}},
	{"lead.updated", "lead_events", "ld_123", map[string]any{"lead_id": "ld_123", "changes": map[string]any{"status": "qualified"}, "changes_status": "qualified"}},
	{"lead.deleted", "lead_events", "ld_123", map[string]any{"lead_id": "ld_123"}},
	{"opportunity.created", "opportunity_events", "opp_456", map[string]any{"opportunity_id": "opp_456", "value": "25000", "stage": "discovery"}},
	{"opportunity.stage_changed", "opportunity_events", "opp_456", map[string]any{"opportunity_id": "opp_456", "from_stage": "discovery", "to_stage": "proposal"}},
	{"opportunity.won", "opportunity_events", "opp_456", map[string]any{"opportunity_id": "opp_456", "value": "25000"}},
	{"opportunity.lost", "opportunity_events", "opp_456", map[string]any{"opportunity_id": "opp_456", "reason": "budget"}},
	{"partner.registered", "partner_events", "ptr_789", map[string]any{"partner_id": "ptr_789", "company": "Partner Co"}},
	{"partner.approved", "partner_events", "ptr_789", map[string]any{"partner_id": "ptr_789"}},
	{"commission.earned", "commission_events", "com_101", map[string]any{"commission_id": "com_101", "amount": "500", "partner_id": "ptr_789"}},
	{"commission.paid", "commission_events", "com_101", map[string]any{"commission_id": "com_101", "amount": "500"}},
	{"task.created", "task_events", "tsk_202", map[string]any{"task_id": "tsk_202", "title": "Follow up with lead", "assignee_id": "usr_303"}},
	{"task.completed", "task_events", "tsk_202", map[string]any{"task_id": "tsk_202"}},
	{"form.submitted", "form_events", "frm_404", map[string]any{
		"form_id": "frm_404", "lead_id": "ld_123", "fields": map[string]any{"name": "Jane", "email": "jane@acme.com"},
		"fields_name": "Jane", "fields_email": "jane@acme.com",
	}},
}

// TestExamples posts the 14 examples of the Events page, as the page prints them, and reads back every column of every row.
func TestExamples(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	p.startIngest()
	p.awaitReady(p.startSink(), p.sinkAdmin)
	bodies := exampleBodies(t)

	began := time.Now()
	for _, body := range bodies {
		if status := p.post(body, local.Sign(secret, body)); status != http.StatusAccepted {
			t.Fatalf("POST gave %d, want 202; the body was %s", status, body)
		}
	}
	if status := p.post(bodies[0], local.Sign(secret+"x", bodies[0])); status != http.StatusUnauthorized {
		t.Errorf("POST with another secret's signature gave %d, want 401", status)
	}
	p.awaitDrained()

	for i, e := range examples {
		row := p.row(e.table, eventID(i))
		checkSinkColumns(t, row, began, e.key)
		want := map[string]any{
			"event_id": eventID(i), "event_type": e.eventType, "occurred_at": "2026-05-27 23:34:12.000",
			"payload": string(bodies[i]), "_schema": 1.0, "_invalid_fields": []any{},
		}
		for column := range row {
			if _, fixed := want[column]; !fixed {
				want[column] = nil
			}
		}
		for _, object := range []string{"changes", "fields"} { // Map cannot be NULL
			if _, has := row[object]; has {
				want[object] = map[string]any{}
			}
		}
		for column, value := range e.columns {
			want[column] = value
		}
		if !reflect.DeepEqual(row, want) {
			t.Errorf("%s: the row is\n%v\nwant\n%v", e.eventType, row, want)
		}
	}
	p.check()
}

func eventID(i int) string { return fmt.Sprintf("evt_01HZXN8Y9K0M7R6Q5P4N3T2S%02d", i) }

// exampleBodies are the deliveries, in the catalog's order, with the page's white space.
func exampleBodies(t *testing.T) [][]byte {
	t.Helper()
	catalog, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		t.Fatal(err)
	}
	if len(catalog.Events) != len(examples) {
		t.Fatalf("the catalog has %d events, and this test %d", len(catalog.Events), len(examples))
	}
	bodies := make([][]byte, len(examples))
	for i, e := range catalog.Events {
		if e.Type != examples[i].eventType {
			t.Fatalf("event %d is %s, want %s", i, e.Type, examples[i].eventType)
		}
		bodies[i] = fmt.Appendf(nil, "{\n  \"id\": %q,\n  \"type\": %q,\n  \"createdAt\": \"2026-05-27T23:34:12.000Z\",\n  \"data\": %s\n}", eventID(i), e.Type, e.Example)
	}
	return bodies
}

func (p *pipeline) post(body []byte, signature string) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.ingestAddr+"/webhooks/leadron", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set(local.SignatureHeader, signature)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode
}

// row is all columns of one event.
func (p *pipeline) row(table, id string) map[string]any {
	p.t.Helper()
	answer := p.query(fmt.Sprintf("SELECT * FROM DATABASE.%s FINAL WHERE event_id = '%s' FORMAT JSONEachRow SETTINGS output_format_json_quote_decimals = 1, output_format_json_quote_64bit_integers = 0", table, id))
	if strings.Count(answer, "\n") != 0 {
		p.t.Fatalf("%s %s has several rows: %s", table, id, answer)
	}
	var row map[string]any
	if err := json.Unmarshal([]byte(answer), &row); err != nil {
		p.t.Fatalf("%s %s: %v in %q", table, id, err, answer)
	}
	return row
}

// checkSinkColumns takes the columns out whose values are known only within bounds. The partition is that of the key, by
// murmur2.
func checkSinkColumns(t *testing.T, row map[string]any, began time.Time, key string) {
	t.Helper()
	received, loaded := timeOf(t, row["_received_at"]), timeOf(t, row["_loaded_at"])
	if received.Before(began.Truncate(time.Millisecond)) || loaded.Before(received) || loaded.After(time.Now()) {
		t.Errorf("%v: received at %v, loaded at %v, posted from %v on", row["event_id"], received, loaded, began)
	}
	if want := float64(1<<44 | received.UnixMilli()); row["_version"] != want {
		t.Errorf("%v: _version is %v, want %v: revision 1 and the time of receipt", row["event_id"], row["_version"], want)
	}
	partition := kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: []byte(key)}, 0, 1, 2)
	if row["_partition"] != float64(partition) {
		t.Errorf("%v: _partition is %v, want %d, that of the key %s", row["event_id"], row["_partition"], partition, key)
	}
	if offset, ok := row["_offset"].(float64); !ok || offset < 0 || offset >= float64(len(examples)) {
		t.Errorf("%v: _offset is %v", row["event_id"], row["_offset"])
	}
	for _, column := range []string{"_received_at", "_loaded_at", "_version", "_partition", "_offset"} {
		delete(row, column)
	}
}

func timeOf(t *testing.T, v any) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04:05.000", fmt.Sprint(v), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
