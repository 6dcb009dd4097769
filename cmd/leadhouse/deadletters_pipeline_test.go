package main_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestDeadLettersEndToEnd follows dead letters through the real ingest and sink: refused by a constraint and malformed at
// the door, replayed once the constraint is gone, and fetched once more by a sink that is set back to the log's start while
// the constraint is there again. verify balances all the way.
func TestDeadLettersEndToEnd(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	const constraint = "ALTER TABLE DATABASE.lead_events ADD CONSTRAINT never CHECK email != 'refused@example.com'"
	p.query(constraint)
	p.startIngest()
	sink := p.startSink()
	post := func(body string) {
		t.Helper()
		if status := p.post([]byte(body), local.Sign(secret, []byte(body))); status != http.StatusAccepted {
			t.Fatalf("%s: got %d", body, status)
		}
	}
	lead := func(i int, email string) {
		t.Helper()
		post(fmt.Sprintf(`{"id":"evt_%d","type":"lead.created","createdAt":"2026-05-27T23:34:12Z","data":{"leadId":"ld_%[1]d","email":%q}}`, i, email))
	}
	for i := range 40 {
		lead(i, "good@example.com")
	}
	for i := range 3 {
		lead(100+i, "refused@example.com")
	}
	post(`{"id":`)
	post("\x00\xff")
	p.awaitDrained()
	p.awaitCommitted()

	step := func(what, rows, statuses string, code int, args ...string) {
		t.Helper()
		if len(args) > 0 {
			program := p.start("deadletters", args...)
			if got := program.ExitCode(); got != code {
				t.Errorf("%s: exit code %d, want %d\n%s", what, got, code, logOf(t, program))
			}
		}
		if got := p.query("SELECT count(), countIf(email = 'refused@example.com') FROM DATABASE.lead_events FINAL"); got != rows {
			t.Errorf("%s: got rows %q, want %q", what, got, rows)
		}
		if got := p.query("SELECT countIf(status = 'open'), countIf(status = 'replayed'), countIf(status = 'discarded') FROM DATABASE.dead_letters FINAL"); got != statuses {
			t.Errorf("%s: got statuses %q, want %q", what, got, statuses)
		}
		if got := p.query("SELECT sum(fetched), sum(inserted), sum(collapsed), sum(fetched) = sum(inserted) + sum(collapsed) + sum(dead_lettered) + sum(erased) FROM DATABASE.delivery_balance"); got[:2] != "45" || got[len(got)-1:] != "1" {
			t.Errorf("%s: the books: %q", what, got)
		}
		if verify := p.start("verify"); verify.ExitCode() != 0 {
			t.Errorf("%s: verify: %d\n%s", what, verify.ExitCode(), logOf(t, verify))
		}
	}
	step("at first", "40\t0", "5\t0\t0", 0)
	step("the cause is still there", "40\t0", "5\t0\t0", 1, "replay")
	p.query("ALTER TABLE DATABASE.lead_events DROP CONSTRAINT never")
	step("mended", "43\t3", "2\t3\t0", 0, "replay", "--reason", "rejected", "--type", "lead.created")
	step("again", "43\t3", "2\t3\t0", 0, "replay", "--status", "replayed")
	step("what is no event stays", "43\t3", "2\t3\t0", 1, "replay")
	step("discarded", "43\t3", "1\t3\t1", 0, "discard", "--yes", "--reason", "invalid_utf8")

	p.query(constraint)
	sink.Stop()
	commits := make([]kafka.OffsetCommit, partitions)
	for i := range commits {
		commits[i].Partition = i
	}
	response, err := p.client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{GroupID: groupName, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topicName: commits}})
	if err != nil || response.Topics[topicName][0].Error != nil {
		t.Fatal(err, response)
	}
	p.query("SYSTEM STOP MERGES DATABASE.dead_letters")
	const written = "SELECT count() FROM DATABASE.dead_letters WHERE version = 0"
	before := p.count(written)
	p.startSink()
	p.awaitCommitted()
	if got := p.count(written) - before; got != 5 {
		t.Errorf("the sink called %d records dead once more, want 5", got)
	}
	step("fetched once more", "43\t3", "1\t3\t1", 0)
	p.query("SYSTEM START MERGES DATABASE.dead_letters")
	for _, table := range []string{"dead_letters", "deliveries", "lead_events"} {
		p.query("OPTIMIZE TABLE DATABASE." + table + " FINAL")
	}
	step("and merged", "43\t3", "1\t3\t1", 0)
}
