package schema_test

import (
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

func TestAGapIsOpenUntilItIsAcknowledged(t *testing.T) {
	d := open(t)
	ctx, at := t.Context(), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	if gaps, err := schema.Gaps(ctx, d.conn, d.name); err != nil || len(gaps) != 0 {
		t.Fatalf("before there is a table: %v, %v", gaps, err)
	}
	d.evolve(builtin(t))
	gap := schema.Gap{Partition: 2, First: 100, Next: 150, Detail: "retention", NoticedAt: at}
	longer := schema.Gap{Partition: 2, First: 100, Next: 170, Detail: "retention", NoticedAt: at}
	accepted := gap
	accepted.Acknowledged = true
	for _, g := range []schema.Gap{gap, accepted, gap, longer} { // gap again: a sink that was killed before its commit
		if err := schema.RecordGap(ctx, d.conn, d.name, g); err != nil {
			t.Fatal(err)
		}
	}
	got, err := schema.Gaps(ctx, d.conn, d.name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0] != accepted || got[1] != longer {
		t.Errorf("got %+v", got)
	}
}

func TestEpochsAreReadInOrder(t *testing.T) {
	d := open(t)
	ctx, at := t.Context(), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	if starts, err := schema.EpochStarts(ctx, d.conn, d.name); err != nil || len(starts) != 0 {
		t.Fatalf("before there is a table: %v, %v", starts, err)
	}
	d.evolve(builtin(t))
	for _, starts := range [][]schema.EpochStart{{{2, 0, 5}, {2, 1, 0}}, {{1, 0, 0}, {1, 1, 3}}} {
		if err := schema.RecordEpoch(ctx, d.conn, d.name, starts, "recreated", at); err != nil {
			t.Fatal(err)
		}
	}
	got, err := schema.EpochStarts(ctx, d.conn, d.name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[0] != (schema.EpochStart{Epoch: 1}) || got[3] != (schema.EpochStart{Epoch: 2, Partition: 1}) {
		t.Errorf("got %+v", got)
	}
}
