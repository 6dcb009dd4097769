package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// A figure is one line of the table: what leadhouse took, and what its peer took.
type figure struct {
	bench string
	what  string // with the unit: "CPU s per million rows"
	ours  float64
	peer  float64
	beside
	limit limit
}

// beside says what the peer's value is for.
type beside int

const (
	alone    beside = iota // there is no peer
	shown                  // to be looked at
	compared               // as a ratio
)

// A limit is what a figure must keep to.
type limit struct {
	kind  limitKind
	value float64
}

type limitKind int

const (
	none     limitKind = iota
	ratio              // ours / peer ≥ value
	atMost             // ours ≤ value
	lessThan           // ours < value
)

func (f figure) ratio() float64 { return f.ours / f.peer }

func (f figure) met() bool {
	switch f.limit.kind {
	case ratio:
		return f.ratio() >= f.limit.value
	case atMost:
		return f.ours <= f.limit.value
	case lessThan:
		return f.ours < f.limit.value
	case none:
	}
	return true
}

func (l limit) String() string {
	switch l.kind {
	case ratio:
		return fmt.Sprintf("ratio ≥ %.2f", l.value)
	case atMost:
		return "≤ " + number(l.value)
	case lessThan:
		return "< " + number(l.value)
	case none:
	}
	return ""
}

// number prints three digits that count, and all of those before the point: 16,204 and 4.07 and 0.0213.
func number(x float64) string {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Sprint(x)
	}
	decimals := max(0, 2-int(math.Floor(math.Log10(math.Abs(x)))))
	whole, fraction, _ := strings.Cut(strconv.FormatFloat(x, 'f', decimals, 64), ".")
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		fraction = "." + fraction
	}
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole + fraction
}

// median is of a copy: the order of rounds is kept. 0 for none.
func median[T cmp.Ordered](of []T) (m T) {
	if len(of) == 0 {
		return m
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[(len(sorted)-1)/2] // of an even number the lower: a value that was measured
}

// quantile is of sorted values.
func quantile[T any](sorted []T, share float64) (q T) {
	if len(sorted) == 0 {
		return q
	}
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// results are what a bench has found.
type results struct {
	figures []figure
	table   table.Writer // its own, where figures say too little
}

// report is the table and what stands around it.
type report struct {
	machine machine
	figures []figure
	tables  []table.Writer
	notes   []string
}

func (r *report) add(b bench, found results) {
	if found.table != nil {
		r.tables = append(r.tables, found.table)
	}
	for _, f := range found.figures {
		f.bench = b.name
		r.figures = append(r.figures, f)
	}
	for _, n := range b.notes {
		r.notes = append(r.notes, b.name+": "+n)
	}
}

// newTable has text in its first columns and numbers, to the right, from one column on.
func newTable(numbers int, header ...any) table.Writer {
	t := table.NewWriter()
	style := table.StyleRounded
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	t.AppendHeader(header)
	columns := make([]table.ColumnConfig, 0, len(header))
	for i := numbers; i <= len(header); i++ {
		columns = append(columns, table.ColumnConfig{Number: i, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// print writes machine, tables and notes.
func (r *report) print(to io.Writer, markdown bool) {
	t := newTable(3, "bench", "measured", "leadhouse", "peer", "ratio", "limit", "")
	last := ""
	for _, f := range r.figures {
		name := f.bench
		if name == last {
			name = ""
		} else if last != "" {
			t.AppendSeparator()
		}
		last = f.bench
		t.AppendRow(f.row(name))
	}
	fmt.Fprintf(to, "\n%s\n", r.machine)
	for _, one := range append(r.tables, t) {
		if markdown {
			fmt.Fprintf(to, "\n%s\n", one.RenderMarkdown())
		} else {
			fmt.Fprintf(to, "\n%s\n", one.Render())
		}
	}
	fmt.Fprintln(to)
	for _, n := range r.notes {
		fmt.Fprintln(to, "* "+n)
	}
}

func (f figure) row(name string) table.Row {
	row := table.Row{name, f.what, number(f.ours), "", "", f.limit.String(), ""}
	if f.beside != alone {
		row[3] = number(f.peer)
	}
	if f.beside == compared {
		row[4] = fmt.Sprintf("%.2f", f.ratio())
	}
	switch {
	case f.limit.kind == none:
	case f.met():
		row[6] = "kept"
	default:
		row[6] = "MISSED"
	}
	return row
}

// missed names every limit that is.
func (r *report) missed() error {
	var errs []error
	for _, f := range r.figures {
		if f.met() {
			continue
		}
		is := number(f.ours)
		if f.limit.kind == ratio {
			is = fmt.Sprintf("%.3f of the peer's", f.ratio())
		}
		errs = append(errs, fmt.Errorf("limit missed: %s: %s: %s, and the limit is %s", f.bench, f.what, is, f.limit))
	}
	return errors.Join(errs...)
}
