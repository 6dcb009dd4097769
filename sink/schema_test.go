package sink_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// grown is the built-in catalog with a field more for lead.created and an entity more.
const grown = `{"success":true,"data":{
	"leads":[{"event":"lead.created","description":"","examplePayload":{"leadId":"ld_123","email":"jane@acme.com","source":"web_form","score":7}}],
	"invoices":[{"event":"invoice.sent","description":"","examplePayload":{"invoiceId":"inv_1"}}]}}`

// While traffic flows a column and a table come: later rows have them, without a restart, and each row is marked with the
// revision that it is typed with.
func TestTheSchemaGrowsUnderARunningSink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.ReloadInterval = 100 * time.Millisecond
	r := w.start(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	var producing sync.WaitGroup
	defer producing.Wait()
	defer cancel()
	produce := func(from, n int) {
		for i := from; i < from+n && ctx.Err() == nil; i++ {
			lead := event(fmt.Sprintf("evt_lead_%d", i), "lead.created", fmt.Sprintf(`{"leadId":"ld_%d","score":%d}`, i, i))
			if err := w.tryProduce(ctx, 0, lead); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}
	producing.Go(func() { produce(0, 300) })
	w.eventually("rows are in", func() (bool, string) { return w.committed()[0] > 20, "" })
	w.evolve([]byte(grown))
	w.eventually("the sink knows the new revision", func() (bool, string) {
		return r.metric("leadhouse_sink_schema_revision") == 2, ""
	})
	producing.Wait()
	produce(1000, 20)
	w.produce(0, event("evt_invoice", "invoice.sent", `{"invoiceId":"inv_9"}`).in("invoice_events"))
	w.check()

	for _, row := range scan[struct {
		ID     string  `ch:"event_id"`
		Schema uint32  `ch:"_schema"`
		Score  *string `ch:"score_text"`
		Want   *string `ch:"want"`
	}](w, `SELECT event_id, _schema, toString(score) AS score_text, JSONExtractRaw(payload, 'data', 'score') AS want FROM {db}.lead_events FINAL`) {
		switch {
		case row.Schema == 2 && (row.Score == nil || *row.Score != *row.Want):
			t.Errorf("%s is marked as typed with revision 2, without its score", row.ID)
		case row.Schema == 1 && row.Score != nil:
			t.Errorf("%s is marked as typed with revision 1, and has a score", row.ID)
		case strings.HasPrefix(row.ID, "evt_lead_1000") && row.Schema != 2:
			t.Errorf("%s was produced after the sink knew, and is typed with revision %d", row.ID, row.Schema)
		}
	}
}

// A column goes, or becomes another type, between the reading and the insert: the rows are typed anew.
func TestAColumnThatChangesUnderARunningSinkIsLivedThrough(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]string{
		"dropped":           `ALTER TABLE {db}.lead_events DROP COLUMN email`,
		"another type":      `ALTER TABLE {db}.lead_events MODIFY COLUMN email Nullable(UInt8)`,
		"renamed":           `ALTER TABLE {db}.lead_events RENAME COLUMN email TO email_old`,
		"added by somebody": `ALTER TABLE {db}.lead_events ADD COLUMN mine String DEFAULT 'x'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, worldConfig{})
			cfg := w.config()
			cfg.ReloadInterval = time.Hour // nothing but the error tells
			r := w.start(cfg)
			r.awaitReady()
			w.exec(alter)
			w.produce(0, events(0, 70)...)
			w.check()
			r.awaitReady()
			retries := r.metric(`leadhouse_sink_retries_total{state="insert",verdict="schema"}`)
			if want := name != "added by somebody"; (retries > 0) != want {
				t.Errorf("%v retries for the schema's sake", retries)
			}
		})
	}
}

// A table goes, and comes back: meanwhile its batch waits.
func TestATableThatGoesIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	r := w.start(w.config())
	r.awaitReady()
	w.exec(`RENAME TABLE {db}.deliveries TO {db}.gone`)
	w.produce(0, events(0, 70)...)
	r.awaitTrouble("schema: ")
	if got := w.committed()[0]; got > 0 {
		t.Errorf("committed %d without a ledger", got)
	}
	w.exec(`RENAME TABLE {db}.gone TO {db}.deliveries`)
	w.check()
	r.awaitReady()
}

// After an outage that outlasts everything, the batch in hand is typed with what the schema has become meanwhile: backfill
// does not wait for ever for rows typed the old way.
func TestABatchThatWaitedIsTypedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.ReloadInterval = 10 * time.Millisecond // the outage lasts longer than two of them
	r := w.start(cfg)
	r.awaitReady()
	w.proxy.setAway(true)
	w.produce(0, event("evt_waiting", "lead.created", `{"leadId":"ld_1","score":5}`))
	r.awaitTrouble("insert: retryable")
	w.evolve([]byte(grown))
	w.proxy.setAway(false)
	w.check()
	got := scan[struct {
		Schema uint32 `ch:"_schema"`
		Score  string `ch:"s"`
	}](w, `SELECT _schema, toString(assumeNotNull(score)) AS s FROM {db}.lead_events FINAL WHERE event_id = 'evt_waiting'`)
	if len(got) != 1 || got[0].Schema != 2 || got[0].Score != "5" {
		t.Errorf("typed as %+v, want revision 2 with score 5", got)
	}
}

// One table of a batch is in, another wants the schema: what is in stays, and is not written again.
func TestOnlyWhatIsNotInIsTypedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, worldConfig{})
	cfg := w.config()
	cfg.ReloadInterval = time.Hour
	w.start(cfg).awaitReady()
	w.evolve([]byte(grown)) // a revision more: typed anew, a row would have another token
	w.exec(`ALTER TABLE {db}.lead_events DROP COLUMN email`)
	w.exec(`SYSTEM STOP MERGES {db}.task_events`)
	w.produce(0, events(0, 70)...)
	w.check()
	got := scan[struct {
		N uint64 `ch:"n"`
	}](w, `SELECT count() AS n FROM {db}.task_events`)
	if got[0].N != 10 {
		t.Errorf("task_events holds %d rows without FINAL, want 10", got[0].N)
	}
}
