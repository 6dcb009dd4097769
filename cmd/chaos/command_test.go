package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// Not parallel to each other: urfave/cli sets globals of its own.

func chaos(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = command(t.Context(), append([]string{"chaos", "--leadhouse", leadhouseBinary}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestPlanIsPrintedAndNothingStarts(t *testing.T) {
	code, out, errs := chaos(t, "--plan", "--seed", "3", "--for", "1m", "--rate", "100", "--kafka", "kfake")
	if code != exitOK || !strings.HasPrefix(out, `make chaos ARGS="--seed 3 --deliveries 6000 --rate 100 --faults 90 --kafka kfake"`) || strings.Count(out, "\n") != 92 {
		t.Errorf("exit %d, %s\n%s", code, errs, out)
	}
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"--for", "1s"},
		{"--rate", "0"},
		{"--kafka", "redpanda"},
		{"--deliveries", "10"},
		{"--deliveries", "-1"},
		{"--faults", "-1"},
		{"--for", "1m", "--deliveries", "100000"},
		{"--bogus"},
		{"now"},
		{"--leadhouse", "/nowhere/leadhouse"},
	} {
		if code, _, errs := chaos(t, args...); code != exitUsage || !strings.Contains(errs, "See chaos -h.") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
}

func TestTheManualHasEveryFlag(t *testing.T) {
	code, out, _ := chaos(t, "-h")
	if code != exitOK || out != manual {
		t.Errorf("exit %d", code)
	}
	_, _, errs := chaos(t, "--bogus")
	if !strings.Contains(errs, "bogus") {
		t.Errorf("the error does not name the flag: %s", errs)
	}
	for _, name := range []string{"for", "rate", "deliveries", "faults", "seed", "plan", "kafka", "drain-timeout", "work-dir", "leadhouse"} {
		if !regexp.MustCompile(`(?m)^  --` + name + `\b`).MatchString(manual) {
			t.Errorf("--%s is not in the manual", name)
		}
	}
}
