package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// smoke is a run so small that its figures say nothing: whether the benches still run, and count, is what is tested.
func smoke(t *testing.T) config {
	t.Helper()
	return config{
		rounds: 1, kafka: kafkaKfake, leadhouse: leadhouse(t), workDir: t.TempDir(),
		cell: 200 * time.Millisecond, rows: 3000, stream: time.Second, pass: passBoth,
		sinkArgs: []string{"--batch-age", "50ms"},
	}
}

// openTest opens a rig on small engines.
func openTest(t *testing.T) *rig {
	t.Helper()
	r, err := openRig(t.Context(), smoke(t), func(err error) {
		if err != nil {
			t.Errorf("a process ended by itself: %v", err)
		}
	}, t.Logf)
	if err != nil {
		t.Fatalf("openRig: %v", err)
	}
	t.Cleanup(r.close)
	return r
}

// Every bench runs through, measures something on both sides, and finds every row once.
func TestBenches(t *testing.T) {
	t.Parallel()
	r := openTest(t)
	for _, b := range single { // one after another, as they are meant to run
		found, err := b.run(t.Context(), r)
		if err != nil {
			t.Fatalf("%s: %v", b.name, err)
		}
		if len(found.figures) == 0 {
			t.Errorf("%s: no figures", b.name)
		}
		for _, f := range found.figures {
			counted := strings.HasPrefix(f.what, "rows missing") || strings.HasPrefix(f.what, "rows written twice")
			switch {
			case strings.Contains(f.what, "questions that"): // of so few rows, none or all
			case counted && !f.met():
				t.Errorf("%s: %s: %v", b.name, f.what, f.ours)
			case !counted && f.ours <= 0:
				t.Errorf("%s: %s: nothing was measured", b.name, f.what)
			case f.beside != alone && f.peer <= 0:
				t.Errorf("%s: %s: nothing was measured of the peer", b.name, f.what)
			}
		}
		if found.table != nil && found.table.Length() < len(layouts)*2 {
			t.Errorf("%s: %d lines in its table", b.name, found.table.Length())
		}
	}
}

// What is missing, and what is seen twice, is counted: however fast it was, a bench with such rows fails.
func TestWrongRows(t *testing.T) {
	t.Parallel()
	r := openTest(t)
	ctx := t.Context()
	topic, err := r.journeysTopic(ctx)
	if err != nil {
		t.Fatal(err)
	}
	database := r.name("wrong")
	if err := r.setUp(ctx, database); err != nil {
		t.Fatal(err)
	}
	if _, err := r.load(ctx, topic, database, r.rows); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, want uint64) {
		t.Helper()
		got, err := r.wrongRows(ctx, database, r.rows, r.rows)
		if err != nil || got != want {
			t.Errorf("%s: %d rows wrong, %v; want %d", what, got, err, want)
		}
	}
	expect("as the sink left it", 0)
	exec := func(sql string) {
		t.Helper()
		if err := r.conn.Exec(ctx, strings.ReplaceAll(sql, "DB", database)); err != nil {
			t.Fatal(err)
		}
	}
	exec("INSERT INTO DB.other_events SELECT * EXCEPT (lead_id, email, source, changes, changes_status) FROM DB.lead_events LIMIT 1")
	expect("an event in two tables", 1)
	exec("TRUNCATE TABLE DB.other_events")
	exec("DELETE FROM DB.lead_events WHERE event_id IN (SELECT event_id FROM DB.lead_events LIMIT 2)")
	expect("two events missing", 2)
	exec("TRUNCATE TABLE DB.deliveries")
	expect("and all deliveries", 2+uint64(r.rows))
}

// The order in which the peer inserts is that of a backlog, and no event is left out or comes twice.
func TestBacklog(t *testing.T) {
	t.Parallel()
	const n = 5000
	seen := map[string]bool{}
	next := [partitions]int64{}
	for l := range backlog(journeys(n)) {
		if seen[l.id] {
			t.Fatalf("%s comes twice", l.id)
		}
		seen[l.id] = true
		if l.offset != next[l.partition] {
			t.Fatalf("partition %d: offset %d, want %d", l.partition, l.offset, next[l.partition])
		}
		next[l.partition]++
	}
	if len(seen) != n {
		t.Errorf("%d events, want %d", len(seen), n)
	}
}

func TestLeads(t *testing.T) {
	t.Parallel()
	const n = 20_000
	for _, random := range []bool{false, true} {
		l := newLeads(n, random)
		var next, repeated int
		ids := map[string]bool{}
		last, sorted := "", true
		for e := range l.deliveries(0, n, &next) {
			switch {
			case ids[e.id]:
				repeated++
			default:
				sorted = sorted && last < e.id
				last = e.id
			}
			ids[e.id] = true
		}
		if next != len(ids) || next+repeated != n {
			t.Errorf("random %v: %d different events and %d repeated; the next is %d", random, len(ids), repeated, next)
		}
		if share := float64(repeated) / n; share < 0.04 || share > 0.06 {
			t.Errorf("random %v: %.3f are repeated, want about %d %%", random, share, repeats)
		}
		if sorted == random {
			t.Errorf("random %v: in the order of IDs: %v", random, sorted)
		}
		if a, b := l.event(7), l.event(7); string(a.body) != string(b.body) {
			t.Errorf("random %v: an event is not the same twice", random)
		}
	}
}

// A process that ends by itself ends the run, with its last words.
func TestServeFails(t *testing.T) {
	t.Parallel()
	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)
	r := &rig{dir: t.TempDir(), fail: fail}
	p, err := r.serve("sh", "/bin/sh", nil, "-c", "echo so long; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	p.stop()
	if got := context.Cause(ctx).Error(); !strings.Contains(got, "exit status 3") || !strings.Contains(got, "so long") {
		t.Errorf("the run ended with %q", got)
	}
}

// The memory of a process is its own, also when whoever starts it is larger.
func TestUsage(t *testing.T) {
	t.Parallel()
	ballast := make([]byte, 256<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	r := &rig{dir: t.TempDir()}
	p, err := r.launch("sh", "/bin/sh", nil, "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if err != nil {
		t.Fatal(err)
	}
	used, err := p.wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if used.cpu <= 0 || used.peak == 0 || used.peak > 64<<20 {
		t.Errorf("a shell has used %v of CPU and %.1f MiB", used.cpu, used.mebibytes())
	}
	if ballast[len(ballast)-1] != 1 {
		t.Error("the ballast is gone")
	}
}
