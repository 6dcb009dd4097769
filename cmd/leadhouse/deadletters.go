package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink/deadletters"
)

// leadhouse deadletters list | show | replay | discard
//
//	main ─ signal ctx ─▶ Select ─▶ list, show: pages to stdout
//	                            └▶ replay, discard: chunk after chunk; progress: a bar on a terminal, else log lines
//
// One goroutine, beside the bar's (mpb), and the one that waits for an answer on the terminal. The ClickHouse pool is this
// file's: it is closed when the work is over.
type lettersJob struct {
	cfg        deadletters.Config
	clickhouse *clickhouseSettings
	filter     deadletters.Filter
	logFormat  func() string

	reasons, statuses, types, partitions, places []string // as given
	since, until                                 string   // likewise

	format               string
	raw, dryRun, consent bool
	table                *deadletters.Table
	log                  zerolog.Logger
}

const lettersFamily = "deadletters"

// newDeadletters are the commands of the family, each with its own copies of the settings.
func newDeadletters() []*command {
	return []*command{newLettersList(), newLettersShow(), newLettersReplay(), newLettersDiscard()}
}

func newLettersJob(limit int) *lettersJob {
	j := &lettersJob{cfg: deadletters.Defaults(), clickhouse: newClickhouseSettings(), statuses: []string{string(schema.Open)}, format: "text"}
	j.filter.Limit = limit
	return j
}

// command completes one of the family. run has the job's Table.
func (j *lettersJob) command(c command, run func(context.Context) error) *command {
	c.name = lettersFamily + " " + c.name
	c.settings = append(c.settings, j.filterSettings()...)
	c.settings = append(c.settings, j.clickhouse.settings(true)...)
	c.settings = append(c.settings, databaseSetting(&j.cfg.Database))
	c.prepare = func(log zerolog.Logger) (func(context.Context) error, error) { return j.prepare(log, run) }
	j.logFormat = func() string { return c.logFormat }
	return c.withCommon()
}

func newLettersList() *command {
	j := newLettersJob(100) // some pages of a terminal
	return j.command(command{
		name:  "list",
		usage: "count the dead letters by reason, and list them",
		manual: `Prints how many dead letters there are of each reason, and then one line for each: where the record lies in Kafka (partition:offset, with the topic's epoch before it where that is not 0), when ingest took it, why it is no row, what has been done about it, the event type where the record still shows one, and the size of its body. Detail is ClickHouse's own message where the reason is rejected.
The reasons: invalid_utf8 and invalid_json, the body is not that; duplicate_key, a field of the envelope stands there twice; bad_envelope, one is absent or odd; rejected, the body is an event and ClickHouse refused its row.`,
		examples: `leadhouse deadletters list --clickhouse-addr clickhouse:9000

# what ClickHouse refused today, for a program
leadhouse deadletters list --reason rejected --since 24h --format json --config /etc/leadhouse.yaml`,
		exits: `0   listed, however many there are
1   it could not: ClickHouse, or stopped by SIGINT or SIGTERM
64  the command line or the configuration is wrong: nothing was dialled`,
		settings: settings{j.formatSetting("Text for people, or one JSON object with counts and letters.")},
	}, j.list)
}

func newLettersShow() *command {
	j := newLettersJob(10) // somebody reads them
	return j.command(command{
		name:  "show",
		usage: "print dead letters whole: position, reason, key, headers, times and bytes",
		manual: `Prints dead letters with all that is known of them. A body that is text is printed as it is, with control characters escaped, so that it cannot do anything to a terminal; a body that is not UTF-8 is printed in hex. The exact bytes are what --raw writes.
In JSON what is not UTF-8 stands in base64, under a name that says so: payload_base64.`,
		examples: `leadhouse deadletters show --offset 3:1042 --clickhouse-addr clickhouse:9000

# the exact bytes, for other tools
leadhouse deadletters show --offset 3:1042 --raw --config /etc/leadhouse.yaml > body`,
		exits: `0   shown
1   there is none, or with --raw more than one; or it could not: ClickHouse, or stopped by SIGINT or SIGTERM
64  the command line or the configuration is wrong: nothing was dialled`,
		settings: settings{
			{
				name: "raw", group: "Output", value: toggle(&j.raw), noFile: true,
				usage: "Write the body of one dead letter to stdout, byte for byte, and nothing else. The filter must mean exactly one.",
			},
			j.formatSetting("Text for people, or a JSON object with the letters."),
		},
	}, j.show)
}

func newLettersReplay() *command {
	j := newLettersJob(0)
	return j.command(command{
		name:  "replay",
		usage: "decode dead letters again, and insert those that are events now",
		manual: `Takes dead letters, after their cause was mended, through what a sink does: decode, type for the columns that the warehouse has now, insert, enter into the ledger. Those that went in are replayed from then on; those that are still no event, or that ClickHouse still refuses, stay what they were, with the reason of today. It is safe beside sinks and other replays, and run again after a kill it finishes the work: nothing is there twice.
With --status discarded it takes back a discard; with --status replayed it inserts again what is in already, which refills a table that lost rows.
The result goes to stdout; logs and progress go to stderr.`,
		examples: `# what would become events?
leadhouse deadletters replay --dry-run --clickhouse-addr clickhouse:9000

# a constraint was dropped that had refused leads
leadhouse deadletters replay --reason rejected --type lead.created,lead.updated --config /etc/leadhouse.yaml`,
		exits: `0   all are replayed; with --dry-run: all would be tried
1   some stayed what they were; or it could not go on: ClickHouse, or stopped by SIGINT or SIGTERM; run it again
64  the command line or the configuration is wrong: nothing was dialled`,
		settings: append(settings{{
			name: "dry-run", group: "Replay", value: toggle(&j.dryRun), noFile: true,
			usage: "Decode only, and write nothing. What ClickHouse would refuse is not known then.",
		}}, j.workSettings("Replay")...),
	}, j.replay)
}

func newLettersDiscard() *command {
	j := newLettersJob(0)
	return j.command(command{
		name:  "discard",
		usage: "mark open dead letters as done with; nothing is deleted",
		manual: `Says of open dead letters that nothing will be done about them. They leave the open ones; their rows, bytes and entries in the ledger stay, and a replay with --status discarded takes it back.
On a terminal it says how many there are, of what reasons, and asks. Elsewhere it wants --yes.`,
		examples: `leadhouse deadletters discard --reason invalid_json --until 2026-11-01T00:00:00Z --clickhouse-addr clickhouse:9000`,
		exits: `0   discarded, or there are none
1   the answer was no; or it could not: ClickHouse, or stopped by SIGINT or SIGTERM
64  the command line or the configuration is wrong, or there is nobody to ask: nothing was dialled`,
		settings: append(settings{{
			name: "yes", group: "Discard", value: toggle(&j.consent), noFile: true,
			usage: "Do not ask.",
		}}, j.workSettings("Discard")...),
	}, j.discard)
}

func (j *lettersJob) formatSetting(usage string) *setting {
	return &setting{name: "format", group: "Output", value: oneOf(&j.format, "text", "json"), noFile: true, usage: usage}
}

func (j *lettersJob) workSettings(group string) settings {
	return settings{
		{
			name: "retry-for", group: group, field: "RetryFor", value: duration(&j.cfg.RetryFor),
			usage: "How long ClickHouse may be away in the middle of the work.",
		},
	}
}

// filterSettings are what all of the family share. A filter belongs to one call, so it cannot stand in the file.
func (j *lettersJob) filterSettings() settings {
	const group = "Which dead letters"
	ss := settings{
		{
			name: "status", value: someOf(&j.statuses, string(schema.Open), string(schema.Replayed), string(schema.Discarded)),
			usage: "Those with one of these statuses.",
		},
		{
			name: "reason", value: someOf(&j.reasons, reasons()...),
			usage: "Those with one of these reasons.",
		},
		{
			name: "type", value: list(&j.types, "TYPE,…", func(string) error { return nil }),
			usage: "Those of one of these event types. The type is looked for in the record's headers, in its envelope and, where that is no JSON, in its text.",
		},
		{
			name: "since", value: moment(&j.since, &j.filter.Since),
			usage: "Those that ingest took then or later: a time like 2026-05-27T00:00:00Z, or so long ago.",
		},
		{
			name: "until", value: moment(&j.until, &j.filter.Until),
			usage: "Those that ingest took before then.",
		},
		{
			name: "partition", value: list(&j.partitions, "NUMBER,…", isPartition),
			usage: "Those of these partitions.",
		},
		{
			name: "offset", value: list(&j.places, "[EPOCH/]PARTITION:OFFSET,…", isPlace),
			usage: "Those at these places; in every epoch of the topic, when none is given.",
		},
		{
			name: "limit", value: atMost(&j.filter.Limit),
			usage: "At most so many, in the order of epoch, partition and offset; 0 is no limit.",
		},
	}
	for _, s := range ss {
		s.group, s.noFile = group, true
	}
	return ss
}

func reasons() []string {
	var words []string
	for _, r := range schema.Reasons() {
		words = append(words, string(r))
	}
	return words
}

func isPartition(word string) error {
	if _, err := strconv.ParseUint(word, 10, 31); err != nil {
		return fmt.Errorf("%q is not a partition", word)
	}
	return nil
}

func isPlace(word string) error {
	_, err := deadletters.ParsePlace(word)
	return err
}

// lettersConns is how many connections are used at a time.
const lettersConns = 1

func (j *lettersJob) prepare(log zerolog.Logger, run func(context.Context) error) (func(context.Context) error, error) {
	conn, clickhouseErr := j.clickhouse.open(lettersFamily, lettersConns)
	j.cfg.ClickHouse = conn
	j.log = log
	j.cfg.Progress, j.cfg.Logger = progressOn(log, j.logFormat())
	table, err := deadletters.New(j.cfg)
	if err = errors.Join(clickhouseErr, err); err != nil {
		return nil, err
	}
	j.table = table
	j.fillFilter()
	return func(ctx context.Context) error {
		if risk := j.clickhouse.risk(); risk != "" {
			log.Warn().Msg(risk)
		}
		err := run(ctx)
		return closing(err, conn)
	}, nil
}

// fillFilter takes the words, which have been checked.
func (j *lettersJob) fillFilter() {
	for _, s := range j.statuses {
		j.filter.Statuses = append(j.filter.Statuses, schema.Status(s))
	}
	for _, r := range j.reasons {
		j.filter.Reasons = append(j.filter.Reasons, schema.Reason(r))
	}
	j.filter.Types = j.types
	for _, p := range j.partitions {
		n, _ := strconv.ParseUint(p, 10, 31)
		j.filter.Partitions = append(j.filter.Partitions, int32(n))
	}
	for _, p := range j.places {
		at, _ := deadletters.ParsePlace(p)
		j.filter.Places = append(j.filter.Places, at)
	}
}

// lettersCommand holds the family's commands.
func lettersCommand(jobs []*cli.Command) *cli.Command {
	return familyCommand(lettersFamily, "list, show, replay and discard what is no event", lettersHelp, jobs)
}

const lettersHelp = `leadhouse deadletters: list, show, replay and discard what is no event

A dead letter is a Kafka record that is no event, or whose row ClickHouse refused. Sink keeps it in the table dead_letters,
with its bytes and the reason, and goes on. These commands look at them and settle them; none deletes any.

Usage:
  leadhouse deadletters COMMAND [flags]
  leadhouse deadletters COMMAND -h      the whole manual of a command, with all of its settings

Commands:
{{range .VisibleCommands}}  {{printf "%-10s" .Name}} {{.Usage}}
{{end}}`

// atMost is a number with 0 for no limit.
func atMost(dst *int) value {
	v := number(dst)
	v.want = "a whole number"
	v.parse = func(t string) error {
		n, err := strconv.Atoi(t)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*dst = n
		return nil
	}
	return v
}

// onlyOpen: a discard of others would undo something.
func (j *lettersJob) onlyOpen() bool { return slices.Equal(j.statuses, []string{string(schema.Open)}) }
