package backfill_test

import (
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// Dead letters are deleted by ClickHouse when somebody says so, and by nothing else.
func TestDeadLettersTTL(t *testing.T) {
	t.Parallel()
	d := open(t)
	cfg := d.config("lead.created", `{"leadId":"x"}`)
	d.run(cfg)
	has := "SELECT countSubstrings(create_table_query, 'TTL ') FROM system.tables WHERE database = '" + d.name + "' AND name = 'dead_letters'"
	d.want(has, "0")
	letters := schema.NewDeadLetterBlock(d.name)
	for offset, age := range []time.Duration{40 * 24 * time.Hour, 20 * 24 * time.Hour} {
		at := time.Now().Add(-age)
		letters.Append(nil, []byte("x"), nil, schema.InvalidJSON, "", schema.Record{Offset: int64(offset), ReceivedAt: at, LoadedAt: at})
	}
	if err := letters.Insert(t.Context(), d.conn, ""); err != nil {
		t.Fatal(err)
	}

	cfg.DeadLettersTTL = 30 * 24 * time.Hour
	cfg.PlanOnly = true
	if result, out := d.run(cfg); !result.Pending || !strings.Contains(out, "dead_letters: rows are deleted 720h0m0s after their receipt") {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want(has, "0")
	cfg.PlanOnly = false
	d.run(cfg)
	d.idle(cfg) // and once it is set, that is that
	cfg.DeadLettersTTL = 0
	d.idle(cfg)
	d.want(has, "1")
	d.exec("OPTIMIZE TABLE db.dead_letters FINAL")
	d.want("SELECT (count(), min(kafka_offset)) FROM db.dead_letters", "(1,1)")

	cfg.DeadLettersTTL = 60 * 24 * time.Hour // another one
	if result, out := d.run(cfg); result.Steps != 1 {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.idle(cfg)
	cfg.DeadLettersTTL = time.Hour
	if _, _, err := tryRun(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "DeadLettersTTL: ") {
		t.Errorf("an hour was taken: %v", err)
	}
	fresh := open(t) // with the tables, in one run
	first := fresh.config("lead.created", `{"leadId":"x"}`)
	first.DeadLettersTTL = 30 * 24 * time.Hour
	fresh.run(first)
	fresh.idle(first)
}
