package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// report prints what check finds, a line each, with what to do below it.
type report struct {
	w      io.Writer
	color  bool
	passed int
	warned int
	failed int
}

const (
	green  = "\x1b[32m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

// ok: as it should be.
func (r *report) ok(what, found string, args ...any) {
	r.passed++
	r.line(green, "✓", what, fmt.Sprintf(found, args...), "")
}

// bad: it will not work, and todo says what to do about it.
func (r *report) bad(what, found, todo string) {
	r.failed++
	r.line(red, "✗", what, found, todo)
}

// warn: it works, but not as promised.
func (r *report) warn(what, found, todo string) {
	r.warned++
	r.line(yellow, "!", what, found, todo)
}

// skip: not looked at, and why.
func (r *report) skip(what, why string) { r.line("", "–", what, "skipped: "+why, "") }

func (r *report) line(color, mark, what, found, todo string) {
	if r.color && color != "" {
		mark = color + mark + reset
	}
	fmt.Fprintf(r.w, "%s %-17s %s\n", mark, what, strings.ReplaceAll(found, "\n", "\n                    "))
	if todo != "" {
		fmt.Fprintln(r.w, wrap(todo, "                    "))
	}
}

// end prints the sum and returns the exit. To have looked at nothing is no success: somebody relies on it.
func (r *report) end() error {
	fmt.Fprintf(r.w, "\n%d in order, %d to think about, %d to mend\n", r.passed, r.warned, r.failed)
	switch {
	case r.passed+r.warned+r.failed == 0:
		fmt.Fprintln(r.w, "Nothing is configured that could be looked at.")
		return &exit{exitFailed, ""}
	case r.failed > 0:
		return &exit{exitFailed, ""}
	}
	return nil
}

// printReport prints what a job has found: as text, or else as JSON.
func printReport(w io.Writer, format string, found interface{ WriteText(w io.Writer) error }) error {
	if format == "text" {
		return found.WriteText(w)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(found); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}
