package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/schema"
)

// A sink that goes on for a while with the schema it knows: the run waits for it, and leaves nothing behind.
func TestLateRowsAreSweptUp(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config(beforeMove...))
	old := d.load()
	const batches, rows = 6, 50
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`, "document.signed", `{"documentId":"x","pages":1}`)
	cfg.SettleFor = 3 * time.Second

	var sink sync.WaitGroup
	sink.Go(func() {
		// It sees revision 2 and all the same writes on with what it knew before: no pause is as long as SettleFor, all of
		// them together are longer.
		eventually(t, "the plan is applied", func() bool {
			w, err := schema.Load(t.Context(), d.conn, d.name)
			return err == nil && w.Revision == 2
		})
		tick := time.NewTicker(800 * time.Millisecond)
		defer tick.Stop()
		for i := range batches {
			<-tick.C
			late := append(events(fmt.Sprintf("lead_%d", i), rows, "lead.created", `{"score":5}`),
				events(fmt.Sprintf("doc_%d", i), rows, "document.signed", `{"pages":2}`)...)
			if err := deliver(t.Context(), d.conn, old, int64(i*2*rows), late...); err != nil {
				t.Error(err)
			}
		}
	})
	result, out := d.run(cfg)
	ended := time.Now()
	sink.Wait()
	if time.Since(ended) > 100*time.Millisecond {
		t.Error("the run was over before the sink")
	}
	if result.Retyped < batches*rows || result.Moved != batches*rows {
		t.Errorf("got %+v\n%s", result, out)
	}
	d.want("SELECT (count(), countIf(score = 5), uniqExact(_schema)) FROM db.lead_events FINAL", fmt.Sprintf("(%d,%d,1)", batches*rows, batches*rows))
	d.want("SELECT (count(), countIf(pages = 2)) FROM db.document_events FINAL", fmt.Sprintf("(%d,%d)", batches*rows, batches*rows))
	d.want("SELECT count() FROM db.other_events", "0")
	cfg.SettleFor = time.Nanosecond
	d.idle(cfg)
}

// A run that dies before it has watched long enough leaves the watching to the next, which has nothing to apply.
func TestTheNextRunWatchesInItsPlace(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config(beforeMove...))
	cfg := d.config(afterMove...)
	cfg.SettleFor = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	var said terminal
	cfg.Out = &said
	b, err := backfill.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := b.Run(ctx)
		ended <- err
	}()
	eventually(t, "it watches", func() bool { return strings.Contains(said.String(), "Watching until no sink") })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	cfg.SettleFor = 2 * time.Second
	applied := one[time.Time](d, "SELECT max(changed_at) FROM db.schema_changes")
	result, out := d.run(cfg)
	if since := time.Since(applied); result.Steps != 0 || since < cfg.SettleFor {
		t.Errorf("got %+v, %v after the change, want at least %v\n%s", result, since, cfg.SettleFor, out)
	}
	began := time.Now()
	d.run(cfg)
	if took := time.Since(began); took >= cfg.SettleFor {
		t.Errorf("a run long after the change watched for %v", took)
	}
}

// A sink that never reloads is not waited for for ever.
func TestASinkThatNeverReloads(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.run(d.config(beforeMove...))
	old := d.load()
	cfg := d.config("lead.created", `{"leadId":"x","score":1}`)
	cfg.SettleFor = 200 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	var sink sync.WaitGroup
	sink.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := deliver(ctx, d.conn, old, int64(i), event(fmt.Sprintf("evt_%d", i), "lead.created", `{"score":5}`)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	_, out, err := tryRun(t.Context(), cfg)
	stop()
	sink.Wait()
	if err == nil || !strings.Contains(err.Error(), "does a sink fail to reload the schema?") {
		t.Errorf("got %v\n%s", err, out)
	}
}
