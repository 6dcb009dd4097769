package sink_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/schema"
)

// erase records a lead's tombstone, and returns when.
func (w *world) erase(lead string) time.Time {
	w.Helper()
	if _, err := schema.Erase(w.Context(), w.conn, w.db, lead, time.Now()); err != nil {
		w.Fatal(err)
	}
	return time.Now()
}

// about are deliveries of all kinds about a lead: events of several tables, and records that are none.
func about(lead, name string) []delivery {
	broken := bad(fmt.Sprintf(`{"id":"x","data":{"leadId":%q}`, lead), schema.InvalidJSON)
	keyed := bad("secret "+name, schema.InvalidJSON)
	keyed.key = lead
	return []delivery{
		event("evt_"+name+"_1", "lead.created", fmt.Sprintf(`{"leadId":%q,"email":"secret@acme.com","source":"web_form"}`, lead)),
		event("evt_"+name+"_2", "lead.updated", fmt.Sprintf(`{"leadId":%q,"changes":{"status":"qualified","email":"secret"}}`, lead)),
		event("evt_"+name+"_3", "form.submitted", fmt.Sprintf(`{"formId":"frm_1","leadId":%q,"fields":{"name":"secret"}}`, lead)),
		event("evt_"+name+"_4", "opportunity.won", fmt.Sprintf(`{"opportunityId":"opp_1","value":7,"leadId":%q}`, lead)),
		event("evt_"+name+"_5", "document.signed", fmt.Sprintf(`{"title":"secret","leadId":%q}`, lead)),
		broken, keyed,
	}
}

// blanked are deliveries that arrive blanked.
func blanked(all []delivery) []delivery {
	for i := range all {
		all[i].erased = true
	}
	return all
}

// blank says of what is in the journal already that it is to be blanked now.
func (w *world) blank(ids string) {
	for i := range w.journal {
		if w.journal[i].id == "" || strings.HasPrefix(w.journal[i].id, ids) {
			w.journal[i].erased = true
		}
	}
}

// pass is the time after which no sink writes anything by a reading from before; it is what an erasure waits for.
func pass(interval time.Duration, since time.Time) { <-time.After(time.Until(since.Add(2 * interval))) }

// A running sink takes a tombstone up: two reload intervals later all about the lead arrives blanked, whatever it is, and
// all about a lead whose ID begins alike arrives whole.
func TestATombstoneIsTakenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	r := w.start(cfg)
	w.produce(0, about("ld_1", "before")...)
	w.produce(0, about("ld_12", "other")...)
	w.check()
	pass(cfg.ReloadInterval, w.erase("ld_1"))
	w.produce(0, blanked(about("ld_1", "after"))...)
	w.produce(0, about("ld_12", "other_after")...)
	w.produce(0, about("ld_", "prefix")...)
	w.check()
	r.awaitReady()

	got := scan[struct {
		Row string `ch:"r"`
	}](w, `SELECT toString((event_id, lead_id, email, source, changes, changes_status, payload)) AS r FROM {db}.lead_events FINAL WHERE event_id LIKE 'evt_after%' ORDER BY event_id`)
	want := "[{('evt_after_1','ld_1',NULL,'web_form',{},NULL,'')} {('evt_after_2','ld_1',NULL,NULL,{},'qualified','')}]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	w.balances(t, map[string]uint64{"fetched": 35, "inserted": 20, "collapsed": 0, "dead_lettered": 10, "erased": 5})

	// Delivered again, by Leadron and by hand: nothing new, and no conflict.
	w.produce(0, blanked(about("ld_1", "after"))...)
	w.check()
	w.balances(t, map[string]uint64{"fetched": 42, "inserted": 20, "collapsed": 0, "dead_lettered": 12, "erased": 10})
	if n := w.raw("event_id_conflicts"); n != 0 {
		t.Errorf("%d conflicts", n)
	}
	again := scan[struct {
		N    uint64 `ch:"n"`
		Same bool   `ch:"same"`
	}](w, `SELECT count() AS n, toBool(min(same_bytes)) AS same FROM {db}.redeliveries`)
	if again[0].N != 5 || !again[0].Same {
		t.Errorf("redeliveries: %+v", again)
	}
}

// balances asks delivery_balance.
func (w *world) balances(t *testing.T, want map[string]uint64) {
	t.Helper()
	type sheet struct {
		Fetched      uint64 `ch:"fetched"`
		Inserted     uint64 `ch:"inserted"`
		Collapsed    uint64 `ch:"collapsed"`
		DeadLettered uint64 `ch:"dead_lettered"`
		Erased       uint64 `ch:"erased"`
	}
	got := scan[sheet](w, `SELECT sum(b.fetched) AS fetched, sum(b.inserted) AS inserted, sum(b.collapsed) AS collapsed, sum(b.dead_lettered) AS dead_lettered, sum(b.erased) AS erased FROM {db}.delivery_balance AS b`)[0]
	if want := (sheet{want["fetched"], want["inserted"], want["collapsed"], want["dead_lettered"], want["erased"]}); got != want {
		t.Errorf("the books: %+v, want %+v", got, want)
	}
}

// A batch that has been typed before the tombstone, and waits for ClickHouse, is blanked before it goes in: its rows, its
// ledger entries and its dead letters.
func TestABatchThatWaitedIsBlanked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.ReloadInterval = 10 * time.Millisecond // the outage lasts longer than two of them
	r := w.start(cfg)
	r.awaitReady()
	w.proxy.setAway(true)
	w.produce(0, blanked(about("ld_1", "waiting"))...)
	w.produce(0, about("ld_12", "other")...)
	r.awaitTrouble("insert: retryable")
	w.erase("ld_1")
	w.proxy.setAway(false)
	w.check()
	if n := scan[struct {
		N uint64 `ch:"n"`
	}](w, `SELECT count() AS n FROM {db}.dead_letters WHERE payload != ''`)[0].N; n != 2 {
		t.Errorf("%d dead letters have bytes, want the other lead's 2", n)
	}
	if got := r.metric(`leadhouse_sink_dead_letters_total{reason="invalid_json"}`); got != 4 {
		t.Errorf("%v dead letters counted, want 4", got)
	}
}

// So is a row that ClickHouse has refused before the tombstone came, and whose dead letter waits.
func TestARefusedRowThatWaitedIsBlanked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(noSecrets)
	w.exec(`ALTER TABLE {db}.dead_letters ADD CONSTRAINT not_now CHECK reason != 'rejected'`)
	cfg := w.config()
	cfg.ReloadInterval = 10 * time.Millisecond
	r := w.start(cfg)
	refused := guilty(1)
	refused.erased = true
	w.produce(0, append(leads(10, 40), refused)...)
	w.produce(0, bad("{", schema.InvalidJSON))
	r.awaitTrouble("insert rejected rows: ")
	w.erase("ld_0")
	w.exec(`ALTER TABLE {db}.dead_letters DROP CONSTRAINT not_now`)
	w.check()
	if n := scan[struct {
		N uint64 `ch:"n"`
	}](w, `SELECT count() AS n FROM {db}.dead_letters WHERE detail LIKE '%secret%' OR payload LIKE '%secret%'`)[0].N; n != 0 {
		t.Errorf("%d dead letters tell the secret", n)
	}

	// Another one, now that the tombstone is known: blanked, there is nothing to refuse.
	inserted := guilty(2)
	inserted.id, inserted.table, inserted.reason, inserted.erased = "evt_guilty_2", "lead_events", "", true
	w.produce(0, inserted)
	w.check()
}

// A block that is halved for the sake of rows to blame is sent in parts, in which rows are blanked as in the whole.
func TestBlankedRowsAmongRefusedOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(noSecrets)
	w.erase("ld_11")
	w.erase("ld_25")
	made := append(leads(10, 40), guilty(1))
	made[1].erased, made[15].erased = true, true
	w.produce(0, made...)
	cfg := w.config()
	cfg.BatchRows, cfg.BatchAge = len(made), time.Hour // one batch
	w.start(cfg)
	w.check()
}

// ClickHouse has the rows, and the answer is lost; then the tombstone comes: they are written again, blanked, and not taken
// for what is there already. What was in before stays, for the erasure to blank, and the ledger says so.
func TestATombstoneBetweenTwoAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.ReloadInterval, cfg.InsertTimeout = 10*time.Millisecond, 2*time.Second
	cfg.BatchRows, cfg.BatchAge = 2, time.Hour
	w.proxy.arm("lead_events", silence)
	r := w.start(cfg)
	r.awaitReady()
	form := event("evt_form", "form.submitted", `{"leadId":"ld_1","formId":"f"}`)
	lead := event("evt_lead", "lead.created", `{"leadId":"ld_1","email":"secret"}`)
	lead.erased = true
	w.produce(0, lead, form)
	w.eventually("the rows are in, without an answer", func() (bool, string) {
		return w.proxy.struck() == 1 && w.raw("lead_events") == 1 && w.raw("form_events") == 1, ""
	})
	w.erase("ld_1")
	w.check()
}

// A tombstone comes while a batch's first tables are slow: those that wait for their turn are blanked before they are sent.
func TestATombstoneBetweenTwoTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	tables := []string{"lead_events", "form_events", "opportunity_events", "other_events", "dead_letters"}
	for _, table := range tables {
		w.exec("SYSTEM STOP MERGES {db}." + table)
		w.proxy.arm(table, silence) // the rows are written, and nobody is told
	}
	cfg := w.config()
	cfg.ReloadInterval, cfg.InsertTimeout = 10*time.Millisecond, 2*time.Second
	cfg.BatchRows, cfg.BatchAge = 7, time.Hour
	w.start(cfg).awaitReady()
	w.produce(0, blanked(about("ld_1", "a"))...)
	w.eventually("two tables' answers are awaited", func() (bool, string) { return w.proxy.struck() == 2, "" })
	w.erase("ld_1")
	w.check()
	unblanked := 0
	for _, table := range tables {
		unblanked += int(min(scan[struct {
			N uint64 `ch:"n"`
		}](w, `SELECT count() AS n FROM {db}.`+table+` WHERE payload != ''`)[0].N, 1))
	}
	if unblanked > 2 {
		t.Errorf("%d tables have been sent unblanked rows, want 2 at most", unblanked)
	}
}

// A sink that ends anywhere, and another one that goes on: nothing is lost, nothing doubled, nothing comes back.
func TestASinkThatEndsLeavesNothingUnblanked(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"lead_events", "form_events", "dead_letters", "deliveries"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.erase("ld_1")
			w.produce(0, blanked(about("ld_1", "a"))...)
			w.produce(0, about("ld_2", "b")...)
			w.proxy.arm(at, silence)
			cfg := w.config()
			cfg.BatchRows, cfg.BatchAge = 14, time.Hour
			cfg.ShutdownTimeout = time.Millisecond // it drops everything, as a kill does
			r := w.start(cfg)
			w.eventually("the insert hangs", func() (bool, string) { return w.proxy.struck() == 1, "" })
			r.stop()
			w.start(w.config())
			w.check()
			w.balances(t, map[string]uint64{"fetched": 14, "inserted": 5, "dead_lettered": 4, "erased": 5})
		})
	}
}

// A warehouse is filled again from Kafka, into empty tables or over what is there: what was erased meanwhile arrives
// blanked, and the books balance.
func TestAReplayArrivesBlanked(t *testing.T) {
	t.Parallel()
	for name, tables := range map[string][]string{
		"into empty tables":     {"lead_events", "form_events", "opportunity_events", "other_events", "dead_letters", "deliveries"},
		"over what is there":    nil,
		"into an empty ledger":  {"deliveries"},
		"with the letters gone": {"dead_letters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			w.produce(0, about("ld_1", "gone")...)
			for _, d := range about("ld_2", "stays") {
				if d.id != "" {
					w.produce(0, d)
				}
			}
			r := w.start(w.config())
			w.check()
			r.stop()
			w.erase("ld_1")
			for _, table := range tables {
				w.exec("TRUNCATE TABLE {db}." + table)
			}
			w.rewind()
			w.start(w.config())
			w.blank("evt_gone")
			w.check()
			w.balances(t, map[string]uint64{"fetched": 12, "inserted": 5, "dead_lettered": 2, "erased": 5})
		})
	}
}

// Events of a lead stream in through two sinks while it is erased: of what was typed later than two reload intervals after
// the tombstone nothing is unblanked, and so is nothing that is produced then.
func TestATombstoneAmongTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{partitions: 2})
	cfg := w.config()
	cfg.BatchAge = 10 * time.Millisecond
	w.start(cfg)
	second := w.config()
	second.BatchAge = 10 * time.Millisecond
	w.start(second)
	ctx, cancel := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	defer traffic.Wait()
	defer cancel()
	for partition := range 2 {
		traffic.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond) // one that sinks on a busy machine keep
			defer pace.Stop()
			for i := 0; ctx.Err() == nil; i++ {
				<-pace.C
				lead := fmt.Sprintf("ld_%d", 1+i%3) // ld_1 is the one
				if err := w.tryProduce(ctx, partition, event(fmt.Sprintf("evt_%d_%d", partition, i), "lead.created", fmt.Sprintf(`{"leadId":%q,"email":"secret"}`, lead))); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	const count = `SELECT count() AS n FROM {db}.lead_events FINAL WHERE lead_id = 'ld_1' AND payload %s ''`
	rows := func(how string) uint64 {
		return scan[struct {
			N uint64 `ch:"n"`
		}](w, fmt.Sprintf(count, how))[0].N
	}
	w.eventually("rows of the lead are in", func() (bool, string) { return rows("!=") > 50, "" })
	erased := w.erase("ld_1")
	pass(cfg.ReloadInterval, erased)
	before := rows("=")
	w.eventually("more of its rows have come", func() (bool, string) { return rows("=") > before+50, "" })
	cancel()
	traffic.Wait()
	w.awaitCommitted()
	late := scan[struct {
		ID       string    `ch:"event_id"`
		LoadedAt time.Time `ch:"_loaded_at"`
	}](w, fmt.Sprintf(`SELECT event_id, _loaded_at FROM {db}.lead_events FINAL WHERE lead_id = 'ld_1' AND payload != '' AND _loaded_at > fromUnixTimestamp64Milli(%d)`,
		erased.Add(2*cfg.ReloadInterval).UnixMilli()))
	if len(late) > 0 {
		t.Errorf("tombstone at %v; unblanked after two reload intervals: %v", erased, late)
	}
	if n := scan[struct {
		N uint64 `ch:"n"`
	}](w, `SELECT count() AS n FROM {db}.lead_events FINAL WHERE lead_id != 'ld_1' AND payload = ''`)[0].N; n > 0 {
		t.Errorf("%d rows of other leads are blanked", n)
	}
}

// A warehouse of an older version has no table for tombstones: its sinks go on, and take them up when backfill has been.
func TestAWarehouseWithoutTombstones(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.exec(`DROP TABLE {db}.erasures SYNC`)
	var log buffer
	cfg := w.config()
	cfg.Logger = zerolog.New(&log)
	r := w.start(cfg)
	w.produce(0, about("ld_1", "a")...)
	w.check()
	r.awaitReady()
	if !strings.Contains(log.String(), "no table erasures") || strings.Contains(log.String(), `"level":"error"`) {
		t.Errorf("the log: %s", log.String())
	}
	w.builtin()
	pass(cfg.ReloadInterval, w.erase("ld_1"))
	w.produce(0, blanked(about("ld_1", "b"))...)
	w.check()
}

// Headers of others' may hold anything; ingest's are kept.
func TestHeadersOfAnErasedLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	w.erase("ld_1")
	letter := bad("x", schema.InvalidJSON)
	letter.key = "ld_1"
	letter.headers = []kafka.Header{{Key: "event-id", Value: []byte("evt_1")}, {Key: "x-email", Value: []byte("secret")}}
	w.produce(0, letter)
	w.start(w.config())
	w.awaitCommitted()
	got := scan[deadRow](w, `SELECT topic_epoch, kafka_partition, kafka_offset, record_key, payload, reason, detail, arrayMap(h -> concat(h.1, '=', h.2), headers) AS header_list FROM {db}.dead_letters FINAL`)
	if len(got) != 1 || fmt.Sprint(got[0].Headers) != "[event-id=evt_1 x-email=]" || got[0].Payload != "" || got[0].Key != "ld_1" || got[0].Detail != schema.ErasedDetail {
		t.Errorf("got %+v", got)
	}
}
