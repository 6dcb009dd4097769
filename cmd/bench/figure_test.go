package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f    figure
		want bool
	}{
		{figure{ours: 40, peer: 100, limit: limit{ratio, 0.40}}, true},
		{figure{ours: 39.9, peer: 100, limit: limit{ratio, 0.40}}, false},
		{figure{ours: 0, peer: 0, limit: limit{ratio, 0.40}}, false}, // nothing measured is nothing reached
		{figure{ours: 15, limit: limit{atMost, 15}}, true},
		{figure{ours: 15.1, limit: limit{atMost, 15}}, false},
		{figure{ours: 64, limit: limit{lessThan, 64}}, false},
		{figure{ours: 63.9, limit: limit{lessThan, 64}}, true},
		{figure{ours: math.NaN(), limit: limit{atMost, 15}}, false},
		{figure{ours: 1e9}, true},
	} {
		if got := c.f.met(); got != c.want {
			t.Errorf("%+v: met %v, want %v", c.f, got, c.want)
		}
	}
}

// A limit that is missed is in the table, and in the error that makes the exit code 1.
func TestReport(t *testing.T) {
	t.Parallel()
	var r report
	r.add(bench{name: "ingest", notes: []string{"how"}}, results{figures: []figure{
		{what: "requests/s", ours: 3000, peer: 10_000, beside: compared, limit: limit{ratio, 0.4}},
		{what: "memory", ours: 40, limit: limit{lessThan, 64}},
	}})
	for _, markdown := range []bool{false, true} {
		var out bytes.Buffer
		r.print(&out, markdown)
		for _, want := range []string{"3,000", "10,000", "0.30", "ratio ≥ 0.40", "MISSED", "kept", "ingest: how"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("markdown %v: no %q in\n%s", markdown, want, out.String())
			}
		}
	}
	const want = "limit missed: ingest: requests/s: 0.300 of the peer's, and the limit is ratio ≥ 0.40"
	if err := r.missed(); err == nil || err.Error() != want {
		t.Errorf("missed: %v, want %s", err, want)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{
		0: "0", 1: "1", 1.5: "1.5", 0.0213: "0.0213", 4.0666: "4.07", 16_203.6: "16,204", 999.9: "1,000", 100: "100",
		2e6: "2,000,000", -1234: "-1,234", 64: "64",
	} {
		if got := number(x); got != want {
			t.Errorf("number(%v): %s, want %s", x, got, want)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of   []int
		want int
	}{{nil, 0}, {[]int{7}, 7}, {[]int{9, 1, 5}, 5}, {[]int{4, 1, 3, 2}, 2}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v): %d, want %d", c.of, got, c.want)
		}
	}
	sorted := make([]int, 100)
	for i := range sorted {
		sorted[i] = i + 1
	}
	if got := quantile(sorted, 0.99); got != 100 {
		t.Errorf("p99 of 1 to 100: %d", got)
	}
	if got := quantile(sorted, 0.5); got != 51 {
		t.Errorf("p50 of 1 to 100: %d", got)
	}
}
