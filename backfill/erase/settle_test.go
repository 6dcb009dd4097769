package erase_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

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
	cfg.SettleFor = 8 * time.Second // longer than the sweeps of a run that does not wait
	var written time.Time
	cfg.Progress = &hook{done: func() {
		d.deliver(old, event("evt_2", "lead.updated", person), event("evt_1", "lead.created", person), event("evt_3", "task.created", person))
		d.letter("lead_1", "PERSON", schema.InvalidJSON, "")
		written = time.Now()
	}}
	began := time.Now()
	report := d.run(cfg)
	if report.Blanked != 5 || written.IsZero() {
		t.Errorf("got %d rows blanked, want 5", report.Blanked)
	}
	if took := time.Since(began); took < cfg.SettleFor {
		t.Errorf("it was over after %v: a sink may still have written", took)
	}
	d.gone("PERSON")
	began = time.Now() // a tombstone that is old enough need not be waited for
	time.Sleep(time.Until(began.Add(cfg.SettleFor)))
	began = time.Now()
	d.run(cfg)
	if took := time.Since(began); took >= cfg.SettleFor {
		t.Errorf("the second run waited, %v in all", took)
	}
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

func TestARunThatIsCancelled(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.deliver(d.load(), event("evt_1", "lead.created", person))
	ctx, cancel := context.WithCancel(t.Context())
	cfg := d.config("lead_1")
	cfg.SettleFor = time.Hour
	cfg.Progress = &hook{done: cancel}
	if _, err := try(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	d.gone("PERSON") // it was blanked at once, long before the wait is over
}
