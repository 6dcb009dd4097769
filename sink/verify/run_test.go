package verify_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/leadhouse/leadhouse/sink/verify"
)

// Runs of offsets, against sets of single ones; what comes out is in order, apart, and never empty.
func TestRunsAreSetsOfOffsets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.SliceOf(rapid.Custom(func(t *rapid.T) [2]int64 {
			first := rapid.Int64Range(0, 40).Draw(t, "first")
			return [2]int64{first, first + rapid.Int64Range(0, 10).Draw(t, "length")}
		}))
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		joined, within, without := verify.RunSets(a, b)
		inA, inB := set(a), set(b)
		for name, c := range map[string]struct {
			got  [][2]int64
			want func(o int64) bool
		}{
			"join":    {joined, func(o int64) bool { return inA[o] || inB[o] }},
			"within":  {within, func(o int64) bool { return inA[o] && inB[o] }},
			"without": {without, func(o int64) bool { return inA[o] && !inB[o] }},
		} {
			got := set(c.got)
			for o := range int64(60) {
				if got[o] != c.want(o) {
					t.Fatalf("%s of %v and %v: %v, wrong at %d", name, a, b, c.got, o)
				}
			}
			for i, r := range c.got {
				if r[0] >= r[1] || i > 0 && r[0] < c.got[i-1][1] {
					t.Fatalf("%s of %v and %v: %v is not in order", name, a, b, c.got)
				}
			}
		}
	})
}

func set(runs [][2]int64) map[int64]bool {
	s := map[int64]bool{}
	for _, r := range runs {
		for o := r[0]; o < r[1]; o++ {
			s[o] = true
		}
	}
	return s
}
