package verify

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

const (
	shownFindings = 20 // of one kind, in text; JSON has them all
	shownEvents   = 5  // of one finding
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.table(&b)
	r.list(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// table is the balance sheet. A column of the ledger's epoch stands there only where there are several.
func (r *Report) table(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "partition\toffsets\tfetched\tinserted\tcollapsed\tdead-lettered\terased\tlost\tmissing\tin flight\t")
	row := func(name, offsets string, s Sheet) {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, offsets,
			s.Fetched, s.Inserted, s.Collapsed, s.DeadLettered, s.Erased, s.LostOpen+s.LostAcknowledged, s.Missing, s.InFlight)
	}
	for _, a := range r.Partitions {
		offsets := "-"
		if a.Next > a.First {
			offsets = fmt.Sprintf("%d-%d", a.First, a.Next-1)
		}
		row(position(a.Epoch, a.Partition), offsets, a.Sheet)
	}
	row("total", "", r.Total)
	_ = t.Flush() // a strings.Builder takes everything
}

func position(epoch uint32, partition int32) string {
	if epoch == 0 {
		return fmt.Sprint(partition)
	}
	return fmt.Sprintf("%d/%d", epoch, partition)
}

func (r *Report) list(b *strings.Builder) {
	shown := map[Kind]int{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if shown[f.Kind]++; shown[f.Kind] == 1 {
			mark := "!"
			if f.Fails {
				mark = "✗"
			}
			fmt.Fprintf(b, "\n%s %s\n", mark, kinds[f.Kind].words)
		}
		if shown[f.Kind] <= shownFindings {
			f.line(b)
		}
		last := i == len(r.Findings)-1 || r.Findings[i+1].Kind != f.Kind
		if more := shown[f.Kind] - shownFindings; last && more > 0 {
			fmt.Fprintf(b, "  and %d more: --format json lists them\n", more)
		}
	}
	if r.More > 0 {
		fmt.Fprintf(b, "\n%d more findings are counted, and not listed.\n", r.More)
	}
	fails := func(f Finding) bool { return f.Fails && f.Kind != NotErased }
	switch {
	case r.Balanced:
		fmt.Fprintln(b, "\nThe books balance.")
	case r.Total.Missing == 0 && !slices.ContainsFunc(r.Findings, fails):
		fmt.Fprintln(b, "\nThe books balance, but an erasure is not complete.")
	default:
		fmt.Fprintln(b, "\nThe books do not balance.")
	}
}

func (f *Finding) line(b *strings.Builder) {
	fmt.Fprintf(b, "  %s", Range{f.Epoch, f.Partition, f.First, f.Last})
	if f.Records != f.Last-f.First+1 {
		fmt.Fprintf(b, ", %d records", f.Records)
	}
	if f.Fails {
		switch {
		case f.Kind == OpenGap || f.Kind == CommittedPastEnd || f.Kind == NotErased:
		case f.Kind == Differs:
			fmt.Fprint(b, ": was the topic recreated? leadhouse sink --accept-new-topic goes on with what it has now")
		case f.InKafka:
			fmt.Fprint(b, ", still in Kafka: set the group's offset back to it")
		default:
			fmt.Fprintf(b, ", no longer in Kafka; to accept the loss: leadhouse verify --acknowledge %s", Range{f.Epoch, f.Partition, f.First, f.Last})
		}
	}
	if f.Detail != "" {
		fmt.Fprintf(b, ": %s", f.Detail)
	}
	fmt.Fprintln(b)
	for i, e := range f.Events {
		if i == shownEvents {
			fmt.Fprintf(b, "    and %d more\n", len(f.Events)-i)
			break
		}
		e.line(b)
	}
}

func (e Event) line(b *strings.Builder) {
	id := e.ID
	if id == "" {
		id = "no event"
	}
	fmt.Fprintf(b, "    %d %s", e.Offset, id)
	if e.Stored {
		fmt.Fprint(b, ", has a row")
	}
	fmt.Fprintln(b)
}
