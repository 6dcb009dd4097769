package main

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars show counts on their way to their totals: as bars on a terminal, and as a line for every quarter elsewhere.
type bars struct {
	screen   *screen
	progress *mpb.Progress // nil without a terminal
	all      []*bar
}

// A bar is one count. Its methods may be called by several goroutines, except done.
type bar struct {
	screen   *screen
	name     string
	expected int
	mpb      *mpb.Bar // nil without a terminal
	quarter  atomic.Int64
}

const (
	barWidth    = 30 // so that a line with name and counts has less than 80 columns
	nameWidth   = 22
	barInterval = 100 * time.Millisecond
)

// bars makes room for some. They are on the screen until end is called.
func (s *screen) bars() *bars {
	b := &bars{screen: s}
	if s.terminal {
		b.progress = mpb.New(mpb.WithOutput(s.out), mpb.WithWidth(barWidth), mpb.WithRefreshRate(barInterval))
		s.above(b.progress)
	}
	return b
}

// add makes a bar below the others. The total is only expected: what it was, done says.
func (b *bars) add(name string, expected int) *bar {
	one := &bar{screen: b.screen, name: name, expected: expected}
	b.all = append(b.all, one)
	if b.progress == nil {
		return one
	}
	paint := func(c text.Color) func(string) string {
		return func(t string) string { return b.screen.paint(c, t) }
	}
	style := mpb.BarStyle().Lbound("").Rbound("").Filler("━").Tip("━").Padding("─").
		FillerMeta(paint(text.FgCyan)).TipMeta(paint(text.FgCyan)).PaddingMeta(paint(text.FgHiBlack))
	one.mpb = b.progress.New(int64(expected), style,
		mpb.PrependDecorators(decor.Name(fmt.Sprintf("   %-*s ", nameWidth, name))),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			if s.Completed || s.Aborted {
				return " " + thousands(s.Current)
			}
			return fmt.Sprintf(" %s of about %s", thousands(s.Current), thousands(s.Total))
		})),
	)
	return one
}

// set says how far it is. A bar is not full before done says so.
func (b *bar) set(n int) {
	n = max(0, min(n, b.expected-1))
	if b.mpb != nil {
		b.mpb.SetCurrent(int64(n))
		return
	}
	quarter := int64(4 * n / max(b.expected, 1))
	if told := b.quarter.Load(); quarter > told && b.quarter.CompareAndSwap(told, quarter) {
		b.screen.say("%-*s %s of about %s", nameWidth, b.name, thousands(n), thousands(b.expected))
	}
}

// done says what the total was.
func (b *bar) done(total int) {
	if b.mpb == nil {
		b.screen.say("%-*s %s", nameWidth, b.name, thousands(total))
		return
	}
	b.mpb.SetTotal(int64(total), false)
	b.mpb.SetCurrent(int64(total))
	b.mpb.SetTotal(int64(total), true)
}

// end leaves the bars as they are and returns when they are drawn. It may be called more than once.
func (b *bars) end() {
	if b.progress == nil {
		return
	}
	for _, one := range b.all {
		one.mpb.Abort(false) // has no effect on one that is done
	}
	b.progress.Wait()
	b.screen.above(nil)
	b.progress = nil
}

// live makes a line that counts without an end. Without a terminal it says nothing: a log would grow for ever.
func (b *bars) live() *bar {
	one := &bar{screen: b.screen, expected: math.MaxInt}
	if b.progress == nil {
		return one
	}
	b.all = append(b.all, one)
	one.mpb = b.progress.New(0, mpb.SpinnerStyle().PositionLeft(),
		mpb.BarWidth(2), mpb.BarFillerClearOnAbort(),
		mpb.PrependDecorators(decor.Name("   ")),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			return fmt.Sprintf("live: %s more rows; Ctrl-C ends it all", thousands(s.Current))
		})))
	return one
}
