package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/deadletters"
)

func (j *lettersJob) list(ctx context.Context) error {
	s, err := j.table.Select(ctx, j.filter)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	if j.format == "json" {
		err = j.listJSON(ctx, out, s)
	} else {
		err = j.listText(ctx, out, s)
	}
	return errors.Join(err, out.Flush())
}

// lineFormat has room for what is usual; what is longer pushes the rest to the right, and is not cut.
const lineFormat = "%-12s  %-23s  %-13s  %-9s  %-25s  %10s  %s"

const timeFormat = "2006-01-02 15:04:05.000"

func (j *lettersJob) listText(ctx context.Context, out io.Writer, s *deadletters.Selection) error {
	if s.Total() == 0 {
		fmt.Fprintln(out, "No dead letters.")
		return nil
	}
	fmt.Fprintf(out, "%-13s  %-9s  %10s\n", "REASON", "STATUS", "LETTERS")
	for _, c := range s.Counts {
		fmt.Fprintf(out, "%-13s  %-9s  %10d\n", printable(string(c.Reason)), printable(string(c.Status)), c.Letters)
	}
	fmt.Fprintf(out, "%-13s  %-9s  %10d\n\n", "", "", s.Total())
	cut := cutter(os.Stdout)
	fmt.Fprintln(out, cut(fmt.Sprintf(lineFormat, "POSITION", "RECEIVED (UTC)", "REASON", "STATUS", "TYPE", "BYTES", "DETAIL")))
	err := j.table.Each(ctx, s, func(l deadletters.Summary) error {
		_, err := fmt.Fprintln(out, cut(fmt.Sprintf(lineFormat, l.Position, l.ReceivedAt.UTC().Format(timeFormat), printable(string(l.Reason)), l.Status,
			printable(l.Type), fmt.Sprint(l.Bytes), printable(l.Detail))))
		return err
	})
	if rest := s.Total() - s.Letters(); rest > 0 && err == nil {
		fmt.Fprintf(out, "… and %d more (--limit %d)\n", rest, j.filter.Limit)
	}
	return err
}

// cutter shortens lines to a terminal's width, and elsewhere leaves them as they are.
func cutter(file *os.File) func(string) string {
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < 20 {
		return func(line string) string { return line }
	}
	return func(line string) string {
		if runes := []rune(line); len(runes) > width {
			return string(runes[:width-1]) + "…"
		}
		return line
	}
}

func (j *lettersJob) listJSON(ctx context.Context, out io.Writer, s *deadletters.Selection) error {
	type count struct {
		Reason  schema.Reason `json:"reason"`
		Status  schema.Status `json:"status"`
		Letters uint64        `json:"letters"`
	}
	counts := make([]count, len(s.Counts))
	for i, c := range s.Counts {
		counts[i] = count(c)
	}
	text, err := json.Marshal(counts)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `{"counts":%s,"letters":[`, text)
	letters := newJSONList(out)
	err = j.table.Each(ctx, s, func(l deadletters.Summary) error { return letters.add(newSummaryJSON(l)) })
	return errors.Join(err, letters.end())
}

func (j *lettersJob) show(ctx context.Context) error {
	s, err := j.table.Select(ctx, j.filter)
	switch {
	case err != nil:
		return err
	case s.Total() == 0:
		return errors.New("there is no such dead letter; `leadhouse deadletters list` shows which there are")
	case j.raw && s.Letters() != 1:
		return fmt.Errorf("--raw wants one dead letter, and these are %d: name one with --offset", s.Letters())
	}
	out := bufio.NewWriter(os.Stdout)
	switch {
	case j.raw:
		err = j.table.EachLetter(ctx, s, func(l *deadletters.Letter) error {
			_, err := out.Write(l.Payload)
			return err
		})
	case j.format == "json":
		fmt.Fprint(out, `{"letters":[`)
		letters := newJSONList(out)
		err = j.table.EachLetter(ctx, s, func(l *deadletters.Letter) error { return letters.add(newLetterJSON(l)) })
		err = errors.Join(err, letters.end())
	default:
		first := true
		err = j.table.EachLetter(ctx, s, func(l *deadletters.Letter) error {
			if !first {
				fmt.Fprintln(out)
			}
			first = false
			return writeLetter(out, l)
		})
		if rest := s.Total() - s.Letters(); rest > 0 && err == nil {
			fmt.Fprintf(out, "\n… and %d more (--limit %d)\n", rest, j.filter.Limit)
		}
	}
	return errors.Join(err, out.Flush())
}

func (j *lettersJob) replay(ctx context.Context) error {
	s, err := j.table.Select(ctx, j.filter)
	if err != nil {
		return err
	}
	result, err := j.table.Replay(ctx, s, j.dryRun)
	fmt.Fprint(os.Stdout, replayText(result, j.dryRun))
	if err != nil {
		return err
	}
	if result.Stays() > 0 {
		return &exit{exitFailed, ""}
	}
	return nil
}

func replayText(r deadletters.Result, dry bool) string {
	done, stay := "replayed", "stay what they are"
	if dry {
		done, stay = "would be tried", "would stay what they are"
	}
	text := fmt.Sprintf("%d dead letters %s%s\n", r.Replays(), done, listed(r.Replayed))
	if n := r.Stays(); n > 0 {
		text += fmt.Sprintf("%d %s%s\n", n, stay, listed(r.Stayed))
	}
	if r.Settled > 0 {
		text += fmt.Sprintf("%d had been inserted already, and are replayed now\n", r.Settled)
	}
	if r.Blanked > 0 {
		text += fmt.Sprintf("%d of them without personal data, because their lead has been erased\n", r.Blanked)
	}
	if r.Erased > 0 {
		text += fmt.Sprintf("%d left alone, because their event was erased\n", r.Erased)
	}
	return text
}

// listed is ": a 3, b 1".
func listed[K ~string](counts map[K]uint64) string {
	var words []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%s %d", k, counts[k]))
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

func (j *lettersJob) discard(ctx context.Context) error {
	if !j.onlyOpen() {
		return misuse("leadhouse deadletters discard", "--status: only open dead letters can be discarded")
	}
	if !j.consent && !isTerminal(os.Stdin) {
		return misuse("leadhouse deadletters discard", "stdin is no terminal, so there is nobody to ask: look with list, and then say --yes")
	}
	s, err := j.table.Select(ctx, j.filter)
	if err != nil {
		return err
	}
	if s.Letters() == 0 {
		fmt.Println("No open dead letters.")
		return nil
	}
	if !j.consent {
		if err := j.ask(ctx, s); err != nil {
			return err
		}
	}
	done, err := j.table.Discard(ctx, s)
	fmt.Fprintf(os.Stdout, "%d dead letters discarded\n", done.Letters)
	if done.Settled > 0 {
		fmt.Fprintf(os.Stdout, "%d had been inserted already, and are replayed now\n", done.Settled)
	}
	return err
}

// ask returns nil for a yes. Which letters are meant was settled by the selection: what comes while the question stands
// there is not discarded.
func (j *lettersJob) ask(ctx context.Context, s *deadletters.Selection) error {
	counts := map[schema.Reason]uint64{}
	for _, c := range s.Counts {
		counts[c.Reason] += c.Letters
	}
	first := ""
	if s.Letters() < s.Total() {
		first = fmt.Sprintf("the first %d of ", s.Letters())
	}
	fmt.Fprintf(os.Stderr, "Discard %s%d dead letters%s?\nTheir rows and bytes stay. [y/N] ", first, s.Total(), listed(counts))
	answer := make(chan string, 1)
	go func() { // it ends with the answer or, since a terminal's reads cannot be interrupted, with the process
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(os.Stderr)
		return context.Cause(ctx)
	case word := <-answer:
		if word == "y" || word == "yes" {
			return nil
		}
		return &exit{exitFailed, "Nothing was discarded."}
	}
}
