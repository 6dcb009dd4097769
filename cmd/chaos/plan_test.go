package main

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestTheSameSeedIsTheSameSchedule(t *testing.T) {
	t.Parallel()
	const n, span = 1200, 12 * time.Minute
	one := schedule(7, n, span, true)
	if again := schedule(7, n, span, true); !slices.Equal(one, again) {
		t.Error("drawn twice, it differs")
	}
	if other := schedule(8, n, span, true); slices.Equal(one, other) {
		t.Error("another seed draws the same")
	}
	if len(one) != n || !slices.IsSortedFunc(one, func(a, b fault) int { return int(a.at - b.at) }) {
		t.Errorf("%d faults, want %d in order", len(one), n)
	}
	drawn := map[string]int{}
	for _, f := range one {
		drawn[f.kind]++
		if f.at < 0 || f.at > span || f.length < 0 {
			t.Errorf("out of bounds: %s", f)
		}
	}
	for _, k := range kinds {
		if got := drawn[k.name]; got == 0 || k.once && got != 1 {
			t.Errorf("%s: %d times", k.name, got)
		}
	}
}

func TestWithoutABrokerOfItsOwnNoneIsStruck(t *testing.T) {
	t.Parallel()
	for _, f := range schedule(1, 1000, time.Minute, false) {
		if f.target == kafkaServer {
			t.Errorf("%s", f)
		}
	}
}

// A short run has each kind once, where there is room.
func TestEveryKindComes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		drawn := map[string]bool{}
		for _, f := range schedule(seed, 45, 30*time.Second, false) {
			drawn[f.kind] = true
		}
		for _, k := range kinds {
			if !drawn[k.name] && !k.apache {
				t.Errorf("seed %d: no %s", seed, k.name)
			}
		}
	}
}

func TestAFaultIsALine(t *testing.T) {
	t.Parallel()
	f := fault{at: 1500 * ms, kind: "throttle", target: toConsume, length: 200 * ms, size: 16 << 10}
	if got, want := fmt.Sprint(f), "    1.500s  throttle             sink-kafka  for 200 ms  at 16 KiB/s"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := (fault{kind: "kill", target: "sink-2"}).className(); got != "kill sink" {
		t.Errorf("its class is %q", got)
	}
}
