package schema_test

import (
	"math"
	"slices"
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

func TestWhatIsAcknowledgedIsNoOpenGap(t *testing.T) {
	t.Parallel()
	gap := func(epoch uint32, partition int32, first, next int64, acknowledged bool) schema.Gap {
		return schema.Gap{Epoch: epoch, Partition: partition, First: first, Next: next, Acknowledged: acknowledged}
	}
	for name, c := range map[string]struct {
		gaps []schema.Gap
		want []string
	}{
		"none":                      {nil, nil},
		"one":                       {[]schema.Gap{gap(0, 2, 10, 30, false)}, []string{"2:10-29"}},
		"one offset":                {[]schema.Gap{gap(0, 2, 10, 11, false)}, []string{"2:10-10"}},
		"acknowledged":              {[]schema.Gap{gap(0, 2, 10, 30, true)}, nil},
		"longer than acknowledged":  {[]schema.Gap{gap(0, 2, 10, 30, true), gap(0, 2, 10, 35, false)}, []string{"2:30-34"}},
		"cut another way":           {[]schema.Gap{gap(0, 2, 10, 30, false), gap(0, 2, 10, 20, true), gap(0, 2, 20, 40, true)}, nil},
		"acknowledged in its midst": {[]schema.Gap{gap(0, 2, 10, 30, false), gap(0, 2, 15, 20, true)}, []string{"2:10-14", "2:20-29"}},
		"overlapping, touching":     {[]schema.Gap{gap(0, 2, 30, 40, false), gap(0, 2, 10, 30, false), gap(0, 2, 10, 35, false)}, []string{"2:10-39"}},
		"another partition's":       {[]schema.Gap{gap(0, 2, 10, 30, false), gap(0, 1, 10, 30, true)}, []string{"2:10-29"}},
		"another epoch's":           {[]schema.Gap{gap(1, 2, 10, 30, false), gap(0, 2, 10, 30, true)}, []string{"1/2:10-29"}},
	} {
		var got []string
		for _, g := range schema.OpenGaps(c.gaps) {
			got = append(got, g.Range())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestTheLedgersLastEntryIsKnownByItsBody(t *testing.T) {
	d := open(t)
	d.evolve(builtin(t))
	ctx, at := t.Context(), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	block := schema.NewDeliveryBlock(d.name)
	for _, r := range []struct {
		epoch     uint32
		partition int32
		offset    int64
		body      string
	}{{0, 0, 7, "seven"}, {0, 0, 8, "eight"}, {0, 1, 99, "other partition"}, {1, 0, 99, "other epoch"}} {
		block.Append("evt", []byte(r.body), schema.Record{Epoch: r.epoch, Partition: r.partition, Offset: r.offset, ReceivedAt: at, LoadedAt: at}, schema.Inserted)
	}
	if err := block.Insert(ctx, d.conn, ""); err != nil {
		t.Fatal(err)
	}
	for below, want := range map[int64]string{math.MaxInt64: "eight", 9: "eight", 8: "seven", 7: ""} {
		e, found, err := schema.LastEntry(ctx, d.conn, d.name, 0, 0, below)
		if err != nil || found != (want != "") || found && (!e.Is([]byte(want)) || e.Is([]byte("another"))) {
			t.Errorf("below %d: %+v, %v, %v; want that of %q", below, e, found, err, want)
		}
	}
	for epoch, want := range map[uint32]bool{0: true, 1: true, 2: false} {
		if got, err := schema.HasEntries(ctx, d.conn, d.name, epoch); err != nil || got != want {
			t.Errorf("entries of epoch %d: %v, %v", epoch, got, err)
		}
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
