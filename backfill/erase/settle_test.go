package erase_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/schema"
)

// hook is a progress that is told of the first mutation's end.
type hook struct {
	sync.Mutex
	done func()
}

func (*hook) Start(string, uint64) {}
func (*hook) Add(int)              {}
func (h *hook) Done() {
	h.Lock()
	defer h.Unlock()
	if h.done != nil {
		h.done()
		h.done = nil
	}
}

const person = `{"leadId":"lead_1","email":"PERSON@example.com"}`

// A sink that has not read the tombstone writes after the first sweep: a later one finds it, and not before SettleFor is over.
func TestASinkThatHasNotReadTheTombstone(t *testing.T) {
	t.Parallel()
	d := open(t)
	old := d.load()
	d.deliver(old, event("evt_1", "lead.created", person))
	cfg := d.config("lead_1")
	cfg.SettleFor = 2 * time.Second
	var written time.Time
	cfg.Progress = &hook{done: func() {
		d.deliver(old, event("evt_2", "lead.updated", person), event("evt_1", "lead.created", person), event("evt_3", "task.created", person))
		d.letter("lead_1", "PERSON", schema.InvalidJSON, "")
		written = time.Now()
	}}
	report := d.run(cfg)
	if report.Blanked != 5 || written.IsZero() {
		t.Errorf("got %d rows blanked, want 5", report.Blanked)
	}
	d.gone("PERSON")
	var log strings.Builder // a tombstone that is old enough need not be waited for
	cfg.Logger = zerolog.New(&log)
	d.run(cfg)
	if log.Len() > 0 {
		t.Errorf("the second run waited: %s", log.String())
	}
}

// waiting is a log that calls back when the run says that it waits for the sinks.
type waiting struct{ then func(line string) }

func (w waiting) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "waiting until every sink") {
		w.then(string(line))
	}
	return len(line), nil
}

// It blanks at once, and is not over before every sink has read the tombstone: also of a lead of which nothing was found.
func TestItWaitsForTheSinks(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.deliver(d.load(), event("evt_1", "lead.created", person))
	for _, lead := range []string{"lead_1", "lead_nobody"} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		waits := false
		cfg := d.config(lead)
		cfg.SettleFor = time.Hour
		cfg.Logger = zerolog.New(waiting{func(string) { waits = true; cancel() }})
		_, err := try(ctx, cfg)
		if !waits || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: it did not wait: %v", lead, err)
		}
	}
	d.gone("PERSON")
}

// A sink that never reads it is said to be there.
func TestASinkThatNeverReadsTheTombstone(t *testing.T) {
	t.Parallel()
	d := open(t)
	old := d.load()
	ctx, stop := context.WithCancel(t.Context())
	var sink sync.WaitGroup
	sink.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			d.deliver(old, event(fmt.Sprintf("evt_%d", i), "task.created", person))
		}
	})
	cfg := d.config("lead_1")
	cfg.SettleFor = 50 * time.Millisecond
	_, err := try(t.Context(), cfg)
	stop()
	sink.Wait()
	if err == nil || !strings.Contains(err.Error(), "keep coming") {
		t.Errorf("got %v", err)
	}
}

// held is a warehouse whose mutations wait: as long as merges are stopped.
func held(t *testing.T, d *db) (release func()) {
	t.Helper()
	d.deliver(d.load(), event("evt_1", "lead.created", person), event("evt_2", "task.created", person))
	d.letter("lead_1", "PERSON", schema.InvalidJSON, "")
	d.exec("SYSTEM STOP MERGES db.lead_events")
	return sync.OnceFunc(func() { d.exec("SYSTEM START MERGES db.lead_events") })
}

func (d *db) waiting() bool {
	return d.ask("SELECT count() > 0 FROM system.mutations WHERE database = '"+d.name+"' AND NOT is_done") == "1"
}

// Killed in a mutation, and before the next: the next run finishes.
func TestARunThatIsKilledIsFinished(t *testing.T) {
	t.Parallel()
	d := open(t)
	release := held(t, d)
	child := d.child(t, "lead_1", "lead_2")
	eventually(t, "the run waits in its first mutation", d.waiting)
	child.Kill()
	d.want("SELECT entity_id FROM db.erasures ORDER BY entity_id", "lead_1\nlead_2")
	if !strings.Contains(d.data(), "PERSON") {
		t.Fatal("all was done before the kill")
	}
	release()
	d.erase("lead_1", "lead_2")
	d.gone("PERSON")
	d.again("lead_1", "lead_2")
}

func TestTwoRunsAtOnce(t *testing.T) {
	t.Parallel()
	d := open(t)
	release := held(t, d)
	var runs sync.WaitGroup
	for range 2 {
		runs.Go(func() {
			if _, err := try(t.Context(), d.config("lead_1")); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "both wait in a mutation", func() bool {
		return d.ask("SELECT count() FROM system.mutations WHERE database = '"+d.name+"' AND NOT is_done") == "2"
	})
	release()
	runs.Wait()
	d.gone("PERSON")
	d.again("lead_1")
}

// A mutation that takes too long is left to itself, and said to be.
func TestAMutationThatTakesTooLong(t *testing.T) {
	t.Parallel()
	d := open(t)
	release := held(t, d)
	defer release()
	cfg := d.config("lead_1")
	cfg.WaitFor = 500 * time.Millisecond
	_, err := try(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "goes on by itself") || !strings.Contains(err.Error(), "system.mutations") {
		t.Errorf("got %v", err)
	}
}

// A mutation of somebody's that fails stands before ours. Its error may quote what it fails over, and ours must not.
func TestAMutationThatFails(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.deliver(d.load(), event("evt_1", "lead.created", person))
	d.exec("ALTER TABLE db.lead_events ADD COLUMN n UInt8")
	d.exec("ALTER TABLE db.lead_events UPDATE n = toUInt8(assumeNotNull(email)) WHERE 1 SETTINGS mutations_sync = 0")
	eventually(t, "it has failed", func() bool {
		return strings.Contains(d.ask("SELECT any(latest_fail_reason) FROM system.mutations WHERE database = '"+d.name+"'"), "PERSON")
	})
	_, err := try(t.Context(), d.config("lead_1"))
	if err == nil || !strings.Contains(err.Error(), "CANNOT_PARSE_TEXT") || !strings.Contains(err.Error(), "KILL MUTATION") || strings.Contains(err.Error(), "PERSON") {
		t.Errorf("got %v", err)
	}
	d.exec("KILL MUTATION WHERE database = '" + d.name + "'")
	d.erase("lead_1")
	d.gone("PERSON")
}
