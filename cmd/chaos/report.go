package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// report is what a run has come to.
type report struct {
	config
	journal  *local.Journal
	tally    *tally
	findings *findings
	failed   collected // what is not about deliveries: a process that ended, a drain that did not

	sent, drained       time.Duration
	noReceipt, noCommit time.Duration // the longest
	crashes             int
	verified            bool // leadhouse verify says so too
}

// err is nil when every promise was kept.
func (r *report) err() error { return errors.Join(r.failed.err(), r.findings.err()) }

func (r *report) String() string {
	attempts, forged, abandoned := 0, 0, len(r.journal.Abandoned())
	for _, n := range r.journal.Answers() {
		attempts += n
	}
	for _, n := range r.journal.Forged() {
		forged += n
	}
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	f := r.findings
	b.WriteString("\n" + r.line() + "\n\n")
	line("deliveries", "%s, of which %s are no event; and %s forged", thousands(r.deliveries), thousands(len(r.malformed())), thousands(forged))
	line("receipts (2xx)", "%s; %s given up without one", thousands(r.journal.Accepted()), thousands(abandoned))
	line("attempts", "%s: %s", thousands(attempts), byStatus(r.journal.Answers()))
	line("sent in", "%s, %s a second", r.sent.Round(time.Second), thousands(int(float64(r.deliveries)/r.sent.Seconds())))
	line("faults", "%s; %s more met nothing", thousands(r.tally.total()), thousands(r.tally.missed))
	for _, class := range slices.Sorted(maps.Keys(r.tally.struck)) {
		line("", "%6s %s", thousands(r.tally.struck[class]), class)
	}
	line("longest standstill", "%.1f s without a receipt, %.1f s without a commit", r.noReceipt.Seconds(), r.noCommit.Seconds())
	line("caught up", "%.1f s after the last delivery and the last fault", r.drained.Seconds())
	line("records in Kafka", "%s: %s rows, %s collapsed, %s dead letters", thousands(f.fetched), thousands(f.rows), thousands(f.collapsed), thousands(f.letters))
	line("lost", "%s", thousands(len(f.lost)))
	line("doubled", "%s", thousands(len(f.doubled)))
	line("not as sent", "%s", thousands(len(f.wrong)))
	line("forged found", "%s", thousands(len(f.forged)))
	line("of nobody's", "%s", thousands(len(f.strange)))
	balance := map[bool]string{true: "balance", false: "do NOT balance"}
	line("books", "%s", balance[len(f.imbalance) == 0])
	line("leadhouse verify", "they %s", balance[r.verified])
	if r.crashes > 0 {
		line("ClickHouse", "ended by itself %d times", r.crashes)
	}
	line("seed", "%d", r.seed)
	return b.String()
}

func byStatus(answers map[int]int) string {
	var list []string
	for _, status := range slices.Sorted(maps.Keys(answers)) {
		name := strconv.Itoa(status)
		if status == 0 {
			name = "no answer"
		}
		list = append(list, thousands(answers[status])+" "+name)
	}
	return strings.Join(list, ", ")
}

// thousands writes a number for people.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
