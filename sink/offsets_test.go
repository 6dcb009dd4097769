package sink

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// The tracker against a model that remembers every single stored offset.
func TestOffsetsAreCommittedAsAContiguousPrefix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var (
			tracker offsets
			begins  = map[int32]int64{} // where each partition's fetching began
			stored  = map[int32]map[int64]bool{}
			told    = map[int32]int64{}
		)
		partition := rapid.Int32Range(0, 2)
		// prefixOf is the model's answer: the first offset from the beginning on that is not stored.
		prefixOf := func(p int32) int64 {
			at := begins[p]
			for stored[p][at] {
				at++
			}
			return at
		}
		t.Repeat(map[string]func(*rapid.T){
			"assign": func(t *rapid.T) {
				p, from := partition.Draw(t, "partition"), rapid.Int64Range(0, 20).Draw(t, "from")
				tracker.assign(p, from)
				begins[p], stored[p], told[p] = from, map[int64]bool{}, from
			},
			"store": func(t *rapid.T) { // in any order, twice, overlapping, of partitions that are not ours
				p, from := partition.Draw(t, "partition"), rapid.Int64Range(0, 30).Draw(t, "from")
				next := from + rapid.Int64Range(0, 8).Draw(t, "length")
				tracker.store(span{p, from, next})
				if stored[p] != nil {
					for at := from; at < next; at++ {
						stored[p][at] = true
					}
				}
			},
			"commit": func(t *rapid.T) {
				due := tracker.due()
				if rapid.Bool().Draw(t, "Kafka takes it") {
					tracker.commit(due)
					maps.Copy(told, due)
				}
			},
			"": func(t *rapid.T) {
				due := tracker.due()
				for p := range begins {
					want, moved := prefixOf(p), prefixOf(p) > told[p]
					if got, is := due[p]; is != moved || moved && got != want {
						t.Fatalf("partition %d: due %v %v, want %v %v", p, got, is, want, moved)
					}
					if got := tracker.committed()[p]; got != told[p] {
						t.Fatalf("partition %d: committed %d, want %d", p, got, told[p])
					}
				}
				if len(due) > len(begins) {
					t.Fatalf("due %v, but only %v are assigned", due, begins)
				}
			},
		})
	})
}

func TestAPartitionWithoutACommitBeginsWhereItsFirstSpanDoes(t *testing.T) {
	t.Parallel()
	var o offsets
	o.assign(0, -2) // kafka.FirstOffset
	if due := o.due(); len(due) != 0 {
		t.Fatalf("due %v before anything is stored", due)
	}
	o.store(span{0, 100, 110})
	if got := o.due()[0]; got != 110 {
		t.Errorf("due %d, want 110", got)
	}
}
