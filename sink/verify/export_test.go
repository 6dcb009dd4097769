package verify

// RunSets are joins, intersections and differences of runs of offsets, for tests: each run is first and next.
func RunSets(a, b [][2]int64) (joined, within, without [][2]int64) {
	x, y := join(toRuns(a)...), join(toRuns(b)...)
	return fromRuns(join(append(append(runs{}, x...), y...)...)), fromRuns(x.within(y)), fromRuns(x.without(y))
}

func toRuns(pairs [][2]int64) (rs runs) {
	for _, p := range pairs {
		rs = append(rs, run{p[0], p[1]})
	}
	return rs
}

func fromRuns(rs runs) (pairs [][2]int64) {
	for _, r := range rs {
		pairs = append(pairs, [2]int64{r.first, r.next})
	}
	return pairs
}
