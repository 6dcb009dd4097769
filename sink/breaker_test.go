package sink

import (
	"testing"

	"pgregory.net/rapid"
)

// The window against a model that remembers every row.
func TestTheWindowHoldsATablesLastRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 30).Draw(t, "size")
		percent := rapid.IntRange(1, 100).Draw(t, "percent")
		k := newBreaker(size, percent)
		var rows []bool
		for range rapid.IntRange(0, 40).Draw(t, "runs") {
			n, refused := rapid.IntRange(0, 40).Draw(t, "rows"), rapid.Bool().Draw(t, "refused")
			k.settle("lead_events", k.trial("lead_events").add(n, refused))
			for range n {
				rows = append(rows, refused)
			}
			k.trial("lead_events").add(size, true) // a batch that was given up has never counted
			k.settle("task_events", k.trial("task_events").add(size, !refused))

			last := rows[max(0, len(rows)-size):]
			want := 0
			for _, r := range last {
				if r {
					want++
				}
			}
			got := k.trial("lead_events")
			if got.refused != want || got.rows != len(last) {
				t.Fatalf("%d of %d rows refused, want %d of %d", got.refused, got.rows, want, len(last))
			}
			if open := want*100 > percent*size-percent*size%100; k.open(got) != open {
				t.Fatalf("%d of %d refused, at %d %%: open %v", want, size, percent, k.open(got))
			}
		}
	})
}
