package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// transcript is a screen's output, which several goroutines write.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

func testConfig(t *testing.T) config {
	return config{once: true, events: 600, seed: 7, workDir: t.TempDir(), leadhouse: leadhouseBinary, name: "leadhouse_demo"}
}

// tell tells the story with few events, and leaves everything running for the test.
func tell(t *testing.T, cfg config) (*story, *transcript) {
	t.Helper()
	ctx, fail := context.WithCancelCause(t.Context())
	out := &transcript{}
	screen := plainScreen(out)
	stack, err := startStack(ctx, cfg, fail, screen.note)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.stop)
	s := &story{stack: stack, screen: screen, cfg: cfg}
	if err := s.tell(ctx); err != nil {
		t.Fatalf("%v (%v)\n%s", err, context.Cause(ctx), out)
	}
	return s, out
}

// Each break of the promise, one after the other, in the warehouse of one story.
func TestTheBooksBalanceUntilSomethingIsTaken(t *testing.T) {
	t.Parallel()
	s, out := tell(t, testConfig(t))
	for _, want := range []string{
		"The books balance", "600 rows", "document_events", "Funnel", "Commissions by partner", "is anything wrong?", "open_dead_letters", "receipt to visible, p99",
		"0 rows left in other_events", "0 lead.created events without",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}

	ctx := t.Context()
	books := newBooks(s.sender.Journal(), s.deliveries)
	first := slices.IndexFunc(s.deliveries, func(d local.Delivery) bool { return d.Type == "lead.created" })
	taken, doubled := s.deliveries[first].ID, s.deliveries[s.cut].ID
	for _, c := range []struct {
		name, statement string
		want            []string
	}{
		{"nothing", "SELECT 1", nil},
		{"a row", "DELETE FROM lead_events WHERE event_id = '" + taken + "'", []string{"1 accepted events have no row: " + taken}},
		{"a row nobody sent", "INSERT INTO other_events (event_id, event_type) VALUES ('evt_FORGED', 'x')", []string{"nobody delivered: evt_FORGED"}},
		{"a row twice", "INSERT INTO other_events (event_id, event_type) VALUES ('" + doubled + "', 'x')", []string{"more than one row: " + doubled}},
		{"a dead letter", "DELETE FROM dead_letters WHERE 1", []string{"are no event and no dead letter", "dead letters, dead_letters has 0"}},
		{"a line of the ledger", "DELETE FROM deliveries WHERE outcome = 'inserted' AND (kafka_partition, kafka_offset) = (SELECT (kafka_partition, kafka_offset) FROM deliveries WHERE outcome = 'inserted' LIMIT 1)", []string{"1 accepted deliveries are not in the ledger"}},
	} {
		if err := s.warehouse.conn.Exec(ctx, c.statement); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		_, err := books.balance(ctx, s.warehouse)
		if c.want == nil && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, want := range c.want {
			if got := fmt.Sprint(err); !strings.Contains(got, want) {
				t.Errorf("%s taken or added: got %s\nwant …%s", c.name, got, want)
			}
		}
	}
	// The story itself ends with that error.
	if err := s.takeStock(ctx); err == nil || !strings.Contains(err.Error(), "do not balance") {
		t.Errorf("the story ends with %v", err)
	}
}

// The user's own engines are another's embedded ones.
func TestEnginesOfTheUsersOwn(t *testing.T) {
	t.Parallel()
	kafka, err := local.StartKfake(local.KfakeConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Stop)
	server := local.Shared(t)
	cfg := testConfig(t)
	cfg.kafkaBrokers, cfg.clickhouseAddr, cfg.name = kafka.Brokers(), server.Addr(), "leadhouse_demo_test"
	run := func() (string, error) {
		out := &transcript{}
		cfg.workDir = t.TempDir()
		err := demo(t.Context(), cfg, plainScreen(out))
		return out.String(), err
	}
	out, err := run()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"The books balance", "DROP DATABASE leadhouse_demo_test", "--delete --topic leadhouse_demo_test", "--delete --group leadhouse_demo_test",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the story does not say %q:\n%s", want, out)
		}
	}
	if topics := kafka.Cluster().TopicInfo("leadhouse_demo_test"); topics == nil {
		t.Error("the topic is not on the user's Kafka")
	}
	_, err = run()
	for _, want := range []string{
		"the database leadhouse_demo_test exists", "the topic leadhouse_demo_test exists", "the group leadhouse_demo_test exists", "--name",
	} {
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("a second run: got %s\nwant …%s", got, want)
		}
	}
	if _, err := server.Query(t.Context(), "DROP DATABASE leadhouse_demo_test SYNC"); err != nil {
		t.Error(err)
	}
}

func TestALeadhouseThatDiesIsTold(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.leadhouse = t.TempDir() + "/leadhouse"
	script := "#!/bin/sh\n[ $1 = backfill ] && exec " + leadhouseBinary + " \"$@\"\necho my last words\nexit 3\n"
	if err := os.WriteFile(cfg.leadhouse, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	err := demo(t.Context(), cfg, plainScreen(&transcript{}))
	for _, want := range []string{"leadhouse ingest ended: exit status 3", "my last words"} {
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("got %s\nwant …%s", got, want)
		}
	}
}

func TestChildrenGetSecretsButNoSettingsOfOurs(t *testing.T) {
	t.Parallel()
	got := environment([]string{"PATH=/bin", "LEADHOUSE_KAFKA_BROKERS=production:9092"}, []string{"LEADHOUSE_LEADRON_API_KEY=k"})
	if want := "PATH=/bin LEADHOUSE_LEADRON_API_KEY=k"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
}
