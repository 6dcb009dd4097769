package sink_test

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// noSecrets is a constraint of a user's own.
const noSecrets = `ALTER TABLE {db}.lead_events ADD CONSTRAINT no_secrets CHECK email IS NULL OR email != 'secret@acme.com'`

// guilty is an event that noSecrets refuses: it is to become a dead letter.
func guilty(i int) delivery {
	d := event(fmt.Sprintf("evt_guilty_%d", i), "lead.created", `{"leadId":"ld_0","email":"secret@acme.com"}`)
	d.id, d.table, d.reason = "", "", schema.Rejected
	return d
}

// leads are n events of one table.
func leads(first, n int) []delivery {
	made := make([]delivery, n)
	for i := range made {
		made[i] = event(fmt.Sprintf("evt_lead_%06d", first+i), "lead.created", fmt.Sprintf(`{"leadId":"ld_%d","email":"p%d@acme.com"}`, first+i, first+i))
	}
	return made
}

// raw counts a table's rows without FINAL: what has been written, and not only what queries see.
func (w *world) raw(table string) int {
	w.Helper()
	return int(scan[struct {
		N uint64 `ch:"n"`
	}](w, `SELECT count() AS n FROM {db}.`+table)[0].N)
}

// A row that ClickHouse refuses, for whatever in it, becomes a dead letter with ClickHouse's code, and no other row does.
func TestARefusedRowBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ alter, code string }{
		"constraint":          {noSecrets, "code 469: "},
		"materialized column": {`ALTER TABLE {db}.lead_events ADD COLUMN mine UInt8 MATERIALIZED throwIf(email = 'secret@acme.com')`, "code 395: "},
		"values in the client": { // clickhouse-go knows the Enum, and refuses before anything is sent
			`ALTER TABLE {db}.lead_events MODIFY COLUMN event_type Enum8('lead.created' = 1)`, "unknown element",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.exec(c.alter)
			bad := guilty(1)
			if name == "values in the client" {
				bad.body = strings.ReplaceAll(bad.body, "lead.created", "lead.odd")
			}
			w.produce(0, append(append(events(0, 100), bad), events(100, 50)...)...)
			w.produce(0, delivery{body: "{", reason: "invalid_json"})
			var log buffer
			cfg := w.config()
			cfg.Logger = zerolog.New(&log)
			r := w.start(cfg)
			w.check()
			r.awaitReady()
			if strings.Contains(log.String(), "secret@") {
				t.Errorf("the log quotes a payload:\n%s", log.String())
			}
			if n := strings.Count(log.String(), `"level":"warn"`); n != 1 {
				t.Errorf("%d warnings, want 1:\n%s", n, log.String())
			}
			if got := r.metric(`leadhouse_sink_dead_letters_total{reason="rejected"}`); got != 1 {
				t.Errorf("dead_letters_total of rejected: %v, want 1", got)
			}
			detail := scan[struct {
				Detail string `ch:"detail"`
			}](w, `SELECT detail FROM {db}.dead_letters WHERE reason = 'rejected'`)
			if len(detail) != 1 || !strings.Contains(detail[0].Detail, c.code) {
				t.Errorf("detail %v, want %q in it", detail, c.code)
			}
		})
	}
}

// k rows to blame among n cost at most 2·k·log2(n)+1 inserts, and no row is written twice.
func TestTheSearchForRefusedRowsIsLogarithmic(t *testing.T) {
	t.Parallel()
	for _, bad := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			t.Parallel()
			const n = 1000
			w := newWorld(t, worldConfig{})
			w.exec(noSecrets)
			made := leads(0, n-bad)
			for i := range bad {
				at := (i * 331) % len(made)
				made = append(made[:at], append([]delivery{guilty(i)}, made[at:]...)...)
			}
			w.produce(0, made...)
			cfg := w.config()
			cfg.BatchRows, cfg.BatchAge = n, time.Hour // one batch
			w.start(cfg)
			w.check()
			if got := w.raw("lead_events"); got != n-bad {
				t.Errorf("%d rows were written, want %d", got, n-bad)
			}
			if got, most := w.proxy.insertsInto("lead_events"), 2*bad*bits.Len(n)+1; got > most {
				t.Errorf("%d inserts, want %d at most", got, most)
			}
			if got := w.proxy.insertsInto("dead_letters"); got != 1 {
				t.Errorf("%d inserts of dead letters, want 1", got)
			}
		})
	}
}

// Each of the search's inserts, broken in each way: it goes on where it was, under the same tokens, and no row is written
// twice or blamed without guilt.
func TestABrokenInsertDoesNotDisturbTheSearch(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fault{"before the write": cutBefore, "answer lost after the write": loseAnswer, "no answer": silence} {
		for _, after := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s/after %d", name, after), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, worldConfig{})
				w.exec(noSecrets)
				w.produce(0, append(append(leads(0, 40), guilty(1), guilty(2)), leads(40, 40)...)...)
				w.proxy.armAfter("lead_events", f, after)
				cfg := w.config()
				cfg.BatchRows, cfg.BatchAge = 82, time.Hour
				if f == silence {
					cfg.InsertTimeout = time.Second
				}
				r := w.start(cfg)
				w.check()
				if got := w.proxy.struck(); got != 1 {
					t.Errorf("the proxy broke %d inserts, want 1", got)
				}
				if got := w.raw("lead_events"); got != 80 {
					t.Errorf("%d rows were written, want 80", got)
				}
				r.awaitReady()
			})
		}
	}
}

// A sink that ends anywhere between the first refusal and the commit leaves what the next one finishes: the books balance.
func TestASinkThatEndsDuringTheSearchLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, at := range []struct {
		table string
		after int
	}{{"lead_events", 1}, {"lead_events", 3}, {"lead_events", 6}, {"dead_letters", 0}, {"deliveries", 0}} {
		t.Run(fmt.Sprintf("%s/%d", at.table, at.after), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.exec(noSecrets)
			w.produce(0, append(append(leads(0, 40), guilty(1), guilty(2)), leads(40, 40)...)...)
			w.proxy.armAfter(at.table, silence, at.after)
			cfg := w.config()
			cfg.BatchRows, cfg.BatchAge = 82, time.Hour
			cfg.ShutdownTimeout = time.Millisecond // it drops everything, as a kill does
			r := w.start(cfg)
			w.eventually("the insert hangs", func() (bool, string) { return w.proxy.struck() == 1, "" })
			r.stop()
			if got := w.committed()[0]; got > 0 {
				t.Errorf("committed %d in the middle", got)
			}
			w.start(w.config())
			w.check()
		})
	}
}

// What was refused once and then is not, or the other way round, is read again: the ledger has one entry for each record,
// the last one; the row and the dead letter that the first reading left stay.
func TestAVerdictThatChangesBetweenTwoReadings(t *testing.T) {
	t.Parallel()
	const drop = `ALTER TABLE {db}.lead_events DROP CONSTRAINT no_secrets`
	for name, c := range map[string]struct {
		first, then string
		outcome     string
		rows        int
	}{
		"refused, then in": {noSecrets, drop, "inserted", 11},
		"in, then refused": {`SELECT 1`, noSecrets, "dead_lettered", 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.exec(c.first)
			w.produce(0, append(leads(0, 10), guilty(1))...)
			r := w.start(w.config())
			w.awaitCommitted()
			r.stop()
			w.exec(c.then)
			w.rewind()
			r = w.start(w.config())
			w.awaitCommitted()
			r.stop()
			ledger := w.ledger()
			if got := ledger[position{0, 10, 0}]; got != c.outcome || len(ledger) != 11 {
				t.Errorf("the ledger has %d entries, and %q for the row; want 11 and %q", len(ledger), got, c.outcome)
			}
			if got := len(w.eventRows()); got != c.rows {
				t.Errorf("%d event rows, want %d", got, c.rows)
			}
			if got := w.raw("dead_letters"); got != 1 {
				t.Errorf("%d dead letters, want 1", got)
			}
		})
	}
}

// Too many partitions in one block: it is halved, in order, until it goes in. No row is to blame.
func TestABlockOfTooManyPartitionsIsHalved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(`CREATE TABLE {db}.mine AS {db}.lead_events ENGINE = ReplacingMergeTree(_version) ORDER BY event_id PARTITION BY toDate(occurred_at) SETTINGS non_replicated_deduplication_window = 1000`)
	w.exec(`EXCHANGE TABLES {db}.mine AND {db}.lead_events`)
	made := leads(0, 250) // ClickHouse takes 100 partitions a block
	for i := range made {
		day := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i).Format(time.RFC3339)
		made[i].body = strings.Replace(made[i].body, "2026-05-27T23:34:12.345Z", day, 1)
	}
	w.produce(0, made...)
	cfg := w.config()
	cfg.BatchRows, cfg.BatchAge = len(made), time.Hour
	w.start(cfg)
	w.check()
	if got := w.proxy.insertsInto("lead_events"); got != 7 { // 250, 2 × 125, 4 × 62 or 63
		t.Errorf("%d inserts, want 7", got)
	}
}

// Somebody adds a constraint that refuses everything: nothing becomes a dead letter, nothing is committed, readiness says
// what to look at, and it is over when the constraint has gone.
func TestATableThatRefusesEverythingIsNotDrainedIntoDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(`ALTER TABLE {db}.lead_events ADD CONSTRAINT nothing CHECK event_id = ''`)
	w.produce(0, events(0, 1400)...)
	var log buffer
	cfg := w.config()
	cfg.RejectWindow = 100 // of which 10 may be refused
	cfg.Logger = zerolog.New(&log)
	r := w.start(cfg)
	r.awaitTrouble("insert: tripped: table lead_events")
	retries := func() float64 { return r.metric(`leadhouse_sink_retries_total{state="insert",verdict="tripped"}`) }
	w.eventually("it is tried again", func() (bool, string) { return retries() > 3, "" })
	if got := r.metric("leadhouse_sink_breakers_open"); got != 1 {
		t.Errorf("breakers_open: %v, want 1", got)
	}
	// 200 rows' halves down to the eleventh row that is alone, and one row for each attempt since.
	if got, most := float64(w.proxy.insertsInto("lead_events")), 40+retries(); got > most {
		t.Errorf("%v inserts, want %v at most", got, most)
	}
	if got := w.committed(); got[0] > 0 {
		t.Errorf("committed %v past a block that is not in", got)
	}
	if got := w.raw("dead_letters"); got != 0 {
		t.Errorf("%d dead letters, want none", got)
	}
	if got := len(w.eventRows()); got != 1200 { // the other tables do not wait
		t.Errorf("%d rows in the other tables, want 1200", got)
	}
	if n := strings.Count(log.String(), `"part":"insert"`); n != 1 || !strings.Contains(log.String(), "SHOW CREATE TABLE") {
		t.Errorf("%d log lines about it, want 1 that says what to look at:\n%s", n, log.String())
	}
	w.exec(`ALTER TABLE {db}.lead_events DROP CONSTRAINT nothing`)
	w.check()
	r.awaitReady()
	if got := r.metric("leadhouse_sink_breakers_open"); got != 0 {
		t.Errorf("breakers_open: %v, want 0", got)
	}
	if got := w.raw("dead_letters"); got != 0 {
		t.Errorf("%d dead letters, want none", got)
	}
}

// At low traffic refusals come one by one, each a dead letter, until they are too many of the table's last rows.
func TestRefusalsOneByOneOpenTheBreakerToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(noSecrets)
	cfg := w.config()
	cfg.RejectWindow = 50 // of which 5 may be refused
	r := w.start(cfg)
	for i := range 5 {
		w.produce(0, guilty(i))
		w.awaitCommitted()
	}
	w.produce(0, guilty(5))
	r.awaitTrouble("insert: tripped: table lead_events")
	if got := w.raw("dead_letters"); got != 5 {
		t.Errorf("%d dead letters, want 5", got)
	}
	if got := w.committed()[0]; got != 5 {
		t.Errorf("committed %d, want 5", got)
	}
	r.stop() // the row is kept in Kafka, and an operator raises the share
	cfg = w.config()
	cfg.RejectPercent = 100
	w.start(cfg)
	w.check()
}

// One row that makes too many partitions by itself, through a materialized view of a user's own, cannot be halved: it is to
// blame, and its neighbours are not.
func TestARowOfTooManyPartitionsIsBlamedAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(`CREATE TABLE {db}.fanned (n UInt64) ENGINE = MergeTree ORDER BY n PARTITION BY n`)
	w.exec(`CREATE MATERIALIZED VIEW {db}.fan TO {db}.fanned AS SELECT arrayJoin(range(if(email = 'secret@acme.com', 150, 1))) AS n FROM {db}.lead_events`)
	w.produce(0, append(leads(0, 20), guilty(1))...)
	w.start(w.config())
	w.awaitCommitted()
	w.checkLedger()
	w.checkDeadLetters()
	for _, r := range scan[struct {
		Detail string `ch:"detail"`
	}](w, `SELECT detail FROM {db}.dead_letters`) {
		if !strings.Contains(r.Detail, "code 252: Too many partitions") {
			t.Errorf("detail %q, want ClickHouse's code and message", r.Detail)
		}
	}
	// The row may be in its table all the same: ClickHouse does not take it back for a view's sake.
	if got := len(w.eventRows()); got != 20 && got != 21 {
		t.Errorf("%d event rows, want 20, or 21 with the one that is blamed", got)
	}
}
