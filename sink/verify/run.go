package verify

import (
	"cmp"
	"slices"
)

// run is offsets of one partition: first, and those after it, up to but not including next.
type run struct{ first, next int64 }

func (r run) len() int64 { return max(r.next-r.first, 0) }

// runs are in order, apart from each other, and none is empty.
type runs []run

// join puts runs in order and melts what touches or overlaps.
func join(rs ...run) (joined runs) {
	slices.SortFunc(rs, func(a, b run) int { return cmp.Compare(a.first, b.first) })
	for _, r := range rs {
		last := len(joined) - 1
		switch {
		case r.len() == 0:
		case last >= 0 && r.first <= joined[last].next:
			joined[last].next = max(joined[last].next, r.next)
		default:
			joined = append(joined, r)
		}
	}
	return joined
}

// within is what of the runs lies in others.
func (rs runs) within(others runs) (both runs) {
	i, j := 0, 0
	for i < len(rs) && j < len(others) {
		r := run{max(rs[i].first, others[j].first), min(rs[i].next, others[j].next)}
		if r.len() > 0 {
			both = append(both, r)
		}
		if rs[i].next < others[j].next {
			i++
		} else {
			j++
		}
	}
	return both
}

// without is what of the runs lies in no other.
func (rs runs) without(others runs) (rest runs) {
	j := 0
	for _, r := range rs {
		for j < len(others) && others[j].next <= r.first {
			j++
		}
		for k := j; k < len(others) && others[k].first < r.next; k++ {
			if r.first < others[k].first {
				rest = append(rest, run{r.first, others[k].first})
			}
			r.first = max(r.first, others[k].next)
		}
		if r.len() > 0 {
			rest = append(rest, r)
		}
	}
	return rest
}

// offsets is how many there are.
func (rs runs) offsets() (n int64) {
	for _, r := range rs {
		n += r.len()
	}
	return n
}

// together makes runs of single offsets, which it sorts.
func together(offsets []int64) (rs runs) {
	slices.Sort(offsets)
	for _, o := range offsets {
		if last := len(rs) - 1; last >= 0 && o <= rs[last].next {
			rs[last].next = max(rs[last].next, o+1)
			continue
		}
		rs = append(rs, run{o, o + 1})
	}
	return rs
}
