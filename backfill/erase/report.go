package erase

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what Run has done. Its JSON is what `leadhouse erase --format json` prints. It holds IDs, and nothing personal.
type Report struct {
	DryRun     bool     `json:"dry_run"` // nothing was changed: blanked is what would be
	Database   string   `json:"database"`
	Leads      []*Lead  `json:"leads"` // in the order of their IDs
	Tables     []*Table `json:"tables"`
	Blanked    uint64   `json:"blanked"`       // rows, of all tables and versions
	Already    uint64   `json:"already_blank"` // rows about the leads that were blank before
	NotReached Reach    `json:"not_reached"`
}

// Lead is one that was asked for.
type Lead struct {
	ID       string     `json:"lead_id"`
	ErasedAt *time.Time `json:"erased_at"` // of its tombstone; null: it has none yet, in a dry run
	New      bool       `json:"new"`       // the tombstone is this run's
	Rows     uint64     `json:"rows"`      // found about it, versions and dead letters, blank ones included
}

// Table is one table.
type Table struct {
	Name    string `json:"table"`
	Blanked uint64 `json:"blanked"`
	Already uint64 `json:"already_blank"`
}

// already counts rows that the first sweep has found blank: later ones find what the run itself has blanked.
func (t *Table) already(first bool, rows uint64) {
	if first {
		t.Already += rows
	}
}

// Reach is what a run cannot reach, as far as it can be known.
type Reach struct {
	Kafka         []Range     `json:"kafka"`          // where the leads' deliveries lie, until the topic's retention
	Detached      uint64      `json:"detached_parts"` // of the database's tables
	Inactive      uint64      `json:"inactive_parts"` // likewise: old parts that ClickHouse has yet to remove
	OldPartsFor   uint64      `json:"old_parts_lifetime_seconds"`
	Addresses     int         `json:"email_addresses"` // how many of the leads' own were found, and looked for
	Elsewhere     []Elsewhere `json:"elsewhere"`       // rows that are not about the leads and hold such an address
	ForeignTables []string    `json:"foreign_tables"`  // of the database, that leadhouse did not make
	Text          []string    `json:"text"`            // all of it in sentences
}

// Position is a record's in Kafka.
type Position struct {
	Epoch     uint32 // of the topic
	Partition int32
	Offset    int64
}

// Range is a run of offsets.
type Range struct {
	Epoch     uint32 `json:"topic_epoch"`
	Partition int32  `json:"kafka_partition"`
	First     int64  `json:"first_offset"`
	Last      int64  `json:"last_offset"`
}

// String is the range as other commands print it.
func (r Range) String() string {
	text := fmt.Sprintf("%d:%d", r.Partition, r.First)
	if r.Last > r.First {
		text += fmt.Sprintf("-%d", r.Last)
	}
	if r.Epoch > 0 {
		text = fmt.Sprintf("%d/%s", r.Epoch, text)
	}
	return text
}

// Elsewhere are rows of one table.
type Elsewhere struct {
	Table string `json:"table"`
	Rows  uint64 `json:"rows"`  // events, or dead letters
	Query string `json:"query"` // to look at them, or at the first of them
}

const (
	shownLeads  = 20
	shownRanges = 20
)

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.writeLeads(&b)
	r.writeTables(&b)
	b.WriteString("\nNot within reach:\n")
	for _, s := range r.NotReached.Text {
		b.WriteString("  - " + s + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) writeLeads(b *strings.Builder) {
	for i, l := range r.Leads {
		if i == shownLeads {
			fmt.Fprintf(b, "and %d more leads: --format json lists them\n", len(r.Leads)-i)
			break
		}
		fmt.Fprintf(b, "lead %s: ", printable(l.ID))
		switch {
		case l.Rows == 0:
			b.WriteString("no rows found")
		case r.DryRun:
			fmt.Fprintf(b, "%d rows found", l.Rows)
		default:
			fmt.Fprintf(b, "erased, %d rows", l.Rows)
		}
		switch {
		case l.New:
			b.WriteString("; its tombstone is written, what comes about it from now on arrives blank\n")
		case l.ErasedAt != nil:
			fmt.Fprintf(b, "; its tombstone is of %s\n", l.ErasedAt.Format("2006-01-02 15:04:05 UTC"))
		default:
			b.WriteString("; it has no tombstone yet\n")
		}
	}
}

func (r *Report) writeTables(b *strings.Builder) {
	b.WriteString("\n")
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	done := "blanked"
	if r.DryRun {
		done = "to blank"
	}
	fmt.Fprintf(t, "table\t%s\tblank before\t\n", done)
	for _, one := range r.Tables {
		fmt.Fprintf(t, "%s\t%d\t%d\t\n", one.Name, one.Blanked, one.Already)
	}
	fmt.Fprintf(t, "total\t%d\t%d\t\n", r.Blanked, r.Already)
	_ = t.Flush() // a strings.Builder takes everything
}

// finish adds up, and puts into words.
func (r *run) finish() {
	for _, id := range r.cfg.Leads {
		r.report.Leads = append(r.report.Leads, r.leads[id])
	}
	for _, t := range r.report.Tables {
		r.report.Blanked += t.Blanked
		r.report.Already += t.Already
	}
	r.report.NotReached.sentences(r.cfg.Database)
}

// sentences: an operator who is asked whether all is gone must not have to guess.
func (n *Reach) sentences(database string) {
	say := func(format string, args ...any) { n.Text = append(n.Text, fmt.Sprintf(format, args...)) }
	if len(n.Kafka) == 0 {
		say("Kafka: no record of theirs is known. One that lies there arrives blank when it is read again, and leaves with the topic's retention.")
	} else {
		say("Kafka: their records stay until the topic's retention takes them; read again, they arrive blank. They lie at %s", n.ranges())
	}
	say("ClickHouse's old parts: replaced parts are removed %d s after the mutation (old_parts_lifetime); %d inactive parts are there now.", n.OldPartsFor, n.Inactive)
	if n.Detached > 0 {
		say("Detached parts: %d, which no query reads and no mutation writes: SELECT * FROM system.detached_parts WHERE database = '%s'", n.Detached, database)
	}
	say("Backups, frozen parts, snapshots of disks, and a restore of them: run erase again after one.")
	if len(n.ForeignTables) > 0 {
		say("Tables of this database that leadhouse did not make, which may hold copies: %s", strings.Join(n.ForeignTables, ", "))
	}
	say("Copies in other databases, in BI tools' caches and extracts, in exports.")
	n.others(say)
	say("Leadron itself: what is not erased there may be sent again, and arrives blank.")
}

// others are rows about somebody else that may name the person.
func (n *Reach) others(say func(string, ...any)) {
	say("Rows that do not name the lead's ID and may name the person, such as a task's title.")
	switch {
	case n.Addresses == 0:
		say("No e-mail address of theirs was in what this run has blanked, so none was looked for in others' rows.")
	case len(n.Elsewhere) == 0:
		say("None of their e-mail addresses (%d) is in any other row.", n.Addresses)
	}
	for _, e := range n.Elsewhere {
		say("%s: %d rows of others hold an e-mail address of theirs: %s", e.Table, e.Rows, e.Query)
	}
}

func (n *Reach) ranges() string {
	var words []string
	for i, r := range n.Kafka {
		if i == shownRanges {
			return strings.Join(words, ", ") + fmt.Sprintf(" and %d more places: --format json lists them", len(n.Kafka)-i)
		}
		words = append(words, r.String())
	}
	return strings.Join(words, ", ") + " ([epoch/]partition:offsets)."
}
