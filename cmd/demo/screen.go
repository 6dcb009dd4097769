package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// A screen is what the story is told on: with colours and bars on a terminal, in plain lines elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	colour   bool
	chapters int

	mu    sync.Mutex // lines come from several goroutines
	lines io.Writer  // where they go: above the bars while there are some, else to out
}

// newScreen looks at what the output is. NO_COLOR (no-color.org) leaves the bars.
func newScreen(out *os.File) *screen {
	terminal := term.IsTerminal(int(out.Fd())) && os.Getenv("TERM") != "dumb"
	s := plainScreen(out)
	s.terminal, s.colour = terminal, terminal && os.Getenv("NO_COLOR") == ""
	return s
}

func plainScreen(out io.Writer) *screen { return &screen{out: out, lines: out} }

// above makes lines go to something that draws bars below them; nil ends that.
func (s *screen) above(bars io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = s.out
	if bars != nil {
		s.lines = bars
	}
}

// print writes whole lines. A reader that has gone away does not stop the story.
func (s *screen) print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.lines, format, args...)
}

// paint colours a text, or leaves it.
func (s *screen) paint(c text.Color, words string) string {
	if !s.colour {
		return words
	}
	return text.Escape(words, c.EscapeSeq())
}

// chapter begins a part of the story.
func (s *screen) chapter(title string) {
	s.chapters++
	s.print("\n%s  %s\n", s.paint(text.FgCyan, fmt.Sprint(s.chapters)), s.paint(text.Bold, title))
}

// screenWidth is what lines of text are broken at: a terminal's least common denominator, less a margin.
const screenWidth = 79

// say prints what happened, below the chapter's title.
func (s *screen) say(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		s.print("   %s\n", strings.TrimRight(line, "\n"))
	}
}

// aside prints what a command answered, or a remark. Long lines are broken and go on further in.
func (s *screen) aside(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		line = strings.TrimRight(line, " \n")
		inner := strings.TrimLeft(line, " ")
		indent := strings.Repeat(" ", 3+len(line)-len(inner))
		for i, part := range strings.Split(text.WrapSoft(inner, screenWidth-len(indent)-4), "\n") {
			if i > 0 {
				part = "    " + part
			}
			s.print("%s%s\n", indent, s.paint(text.FgHiBlack, strings.TrimRight(part, " ")))
		}
	}
}

// command prints a command line, unbroken: it is to be copied.
func (s *screen) command(line string) { s.say("%s", s.paint(text.FgHiBlack, "$ ")+line) }

// paste prints what is to be copied: unbroken, and without anything before it that a shell would choke on.
func (s *screen) paste(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		s.print("     %s\n", s.paint(text.FgCyan, strings.TrimRight(line, "\n")))
	}
}

// leftBehind says how to remove what stays on the user's own engines.
func (s *screen) leftBehind(howToDrop string) {
	if howToDrop == "" {
		return
	}
	s.print("\n")
	s.say("What the demo made on your engines stays. To drop it:")
	s.paste("%s", howToDrop)
}

// fields prints names and values, one under the other.
func (s *screen) fields(pairs ...[2]string) {
	width := 0
	for _, p := range pairs {
		width = max(width, text.StringWidthWithoutEscSequences(p[0]))
	}
	for _, p := range pairs {
		s.print("   %s  %s\n", s.paint(text.FgHiBlack, text.Pad(p[0], width, ' ')), p[1])
	}
}

// title begins the story.
func (s *screen) title() {
	s.print("\n%s\n", s.paint(text.Bold, "leadhouse")+s.paint(text.FgHiBlack, "  Leadron's webhooks into ClickHouse, by way of Kafka"))
}

// note is for what happens beside the story.
func (s *screen) note(line string) { s.aside("%s", line) }

// balanced ends the story well.
func (s *screen) balanced(accepted int, l ledger, took time.Duration) {
	s.print("\n")
	count := func(n uint64, noun string) string {
		if n != 1 {
			noun += "s"
		}
		return s.paint(text.Bold, thousands(n)) + " " + noun
	}
	s.say("%s The books balance: %s accepted deliveries are", s.paint(text.FgGreen, "✓"), s.paint(text.Bold, thousands(accepted)))
	s.say("  %s + %s of them + %s.", count(l.Events, "row"), count(l.collapsed(), "duplicate"), count(l.DeadLettered, "dead letter"))
	if more := int(l.Inserted+l.DeadLettered) - accepted; more > 0 {
		s.say("  %s of these were written though their sender never saw the answer, and sent them again.", thousands(more))
	}
	s.say("  Told in %.0f s.", took.Seconds())
}

// thousands prints a count as people read it: 20,712.
func thousands[T ~int | ~int64 | ~uint64](n T) string { return groupThousands(fmt.Sprint(n)) }

func groupThousands(digits string) string {
	if digits, found := strings.CutPrefix(digits, "-"); found {
		return "-" + groupThousands(digits)
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
