package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// The short form of make chaos, on kfake; and then what an audit is worth: each promise is broken by hand, one after the
// other, and named.
func TestChaosLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	cfg := config{
		deliveries: 3000, rate: 200, faults: 36, seed: 11, kafka: kafkaKfake, drainTimeout: 3 * time.Minute,
		workDir: t.TempDir(), leadhouse: leadhouseBinary, tellEvery: 10 * time.Second,
	}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	s, err := startStack(ctx, cfg, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	r, err := s.torture(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if err := r.err(); err != nil {
		t.Error(err)
	}
	if r.tally.total() < 30 || r.tally.struck["drop-table-restore schema"] != 1 || r.tally.struck["kill sink"]+r.tally.struck["kill-together sink"] == 0 {
		t.Errorf("faults: %v", r.tally.struck)
	}
	f := r.findings
	if f.rows != cfg.deliveries-len(cfg.malformed()) || f.letters < len(cfg.malformed()) || f.fetched < r.journal.Accepted() || r.journal.Forged()[401] == 0 {
		t.Errorf("counted %+v, %v forged", f, r.journal.Forged())
	}
	if !t.Failed() {
		s.breakEachPromise(ctx, t, r.journal)
	}
}

func (s *stack) breakEachPromise(ctx context.Context, t *testing.T, j *local.Journal) {
	t.Helper()
	for _, w := range s.workers { // they would mend some of it
		w.stop()
	}
	events := slices.Collect(s.each())
	first := func(eventType string) string {
		return events[slices.IndexFunc(events, func(d local.Delivery) bool { return d.Type == eventType })].ID
	}
	lead, task, partner, won := first("lead.created"), first("task.created"), first("partner.registered"), first("opportunity.created")
	for _, c := range []struct{ name, statement, want string }{
		{"a row is gone", "DELETE FROM lead_events WHERE event_id = '" + lead + "'", "1 lost: " + lead},
		{"an event is in two tables", "INSERT INTO other_events SELECT event_id, event_type, occurred_at, payload, _received_at, _loaded_at, _schema, _version, _partition, _offset, _invalid_fields FROM task_events FINAL WHERE event_id = '" + task + "'", "1 doubled: " + task},
		{"a typed value is another", "INSERT INTO partner_events SELECT * REPLACE ('Evil Co' AS company, _version + 1 AS _version) FROM partner_events FINAL WHERE event_id = '" + partner + "'", partner + `: {`},
		{"a payload is another", "INSERT INTO opportunity_events SELECT * REPLACE (payload || ' ' AS payload, _version + 1 AS _version) FROM opportunity_events FINAL WHERE event_id = '" + won + "'", won + `: {`},
		{"a forged row", "INSERT INTO other_events (event_id, event_type) VALUES ('" + local.ForgedIDPrefix + "1', 'x.y')", "1 forged: " + local.ForgedIDPrefix + "1 in other_events"},
		{"a row of nobody's", "INSERT INTO other_events (event_id, event_type) VALUES ('evt_nobody', 'x.y')", "evt_nobody in other_events"},
		{"a dead letter is gone", "DELETE FROM dead_letters WHERE payload LIKE 'not JSON at all%'", "not JSON at all"},
		{"a line of the ledger is gone", "DELETE FROM deliveries WHERE kafka_partition = 0 AND kafka_offset = 3", "partition 0: Kafka has offsets 0 to"},
	} {
		if err := s.conn.Exec(ctx, qualified(c.statement)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		f, err := s.audit(ctx, j)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := fmt.Sprint(f.err()); !strings.Contains(got, c.want) {
			t.Errorf("%s: the audit says\n%s\nwant …%s", c.name, got, c.want)
		}
	}
}

// qualified puts the database before each table.
func qualified(statement string) string {
	for _, before := range []string{"FROM ", "INTO "} {
		statement = strings.ReplaceAll(statement, before, before+database+".")
	}
	return statement
}
