package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// -h is the whole manual: every flag and every bench is in it.
func TestManual(t *testing.T) {
	t.Parallel()
	app := newApp(nil, nil)
	flags := app.Flags
	for _, c := range app.Commands {
		if !strings.Contains(manual, "\n  "+c.Name+" ") {
			t.Errorf("the manual does not know the bench %s", c.Name)
		}
		flags = append(flags, c.Flags...)
	}
	for _, f := range flags {
		if _, help := f.(*cli.BoolFlag); help && f.Names()[0] == "help" {
			continue
		}
		if !strings.Contains(manual, "\n  --"+f.Names()[0]) {
			t.Errorf("the manual does not know --%s", f.Names()[0])
		}
	}
	for _, args := range [][]string{{"bench", "-h"}, {"bench", "sink", "-h"}} {
		var out, errs bytes.Buffer
		if code := command(t.Context(), args, &out, &errs); code != exitOK || !strings.Contains(out.String(), manual) {
			t.Errorf("%v: exit code %d, %s%s", args, code, out.String(), errs.String())
		}
	}
}

func TestUsage64(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want []string
	}{
		{"bench --rounds 0 --rows 5 --kafka none --cell 1ms --stream 1ms --leadhouse /nowhere", []string{"--rounds", "--rows", "--kafka", "--cell", "--stream", "--leadhouse"}},
		{"bench nothing", []string{`no bench "nothing"`}},
		{"bench sink --cell 1s", []string{"-cell"}},
		{"bench ingest more", []string{`no bench "more"`}},
		{"bench layout --rows -1 --leadhouse /nowhere", []string{"--rows: -1", "--leadhouse"}},
	} {
		var out, errs bytes.Buffer
		if code := command(t.Context(), strings.Fields(c.args), &out, &errs); code != exitUsage {
			t.Errorf("%s: exit code %d", c.args, code)
		}
		for _, want := range c.want {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("%s: no %q in %q", c.args, want, errs.String())
			}
		}
	}
}
