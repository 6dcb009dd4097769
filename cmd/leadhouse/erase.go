package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/backfill/erase"
	"github.com/leadhouse/leadhouse/schema"
)

// leadhouse erase
//
//	main ─ signal ctx ─▶ Eraser.Run: tombstones ─▶ sweep ─▶ wait ─▶ sweep ─▶ report
//	                          └─ a mutation, and how far it is; progress: a bar on a terminal, else log lines
//
// The goroutine of a mutation ends with its query, and that with Run's context. The ClickHouse pool is this file's: it is
// closed when Run has returned.
type eraseJob struct {
	cfg        erase.Config
	clickhouse *clickhouseSettings
	leads      []string
	leadFile   string
	format     string
	logFormat  func() string
}

func newErase() *command {
	j := &eraseJob{cfg: erase.Defaults(), clickhouse: newClickhouseSettings(), format: "text"}
	c := &command{
		name:     "erase",
		usage:    "blank what the warehouse holds about a lead, and keep it blank",
		manual:   eraseManual,
		examples: eraseExamples,
		exits: `0   nothing that is not blank is left, also where nothing was found; with --dry-run: counted
1   it could not: ClickHouse, a mutation that fails, a sink that goes on writing, or stopped by SIGINT or SIGTERM; run it again
64  the command line or the configuration is wrong: nothing was dialled, and a restart will not help`,
		settings: j.settings(),
		prepare:  j.prepare,
	}
	j.logFormat = func() string { return c.logFormat }
	return c.withCommon()
}

const eraseManual = `Writes a tombstone for the lead into erasures, and blanks all events whose data.leadId is its ID, of whatever type and in whatever table, and its dead letters. Of an event stay its ID, type, times, position in Kafka, the IDs of other entities, source, status, and a deal's stages and money, so that no sum changes; payload and all other typed columns go, also columns that were added by hand. Of a dead letter stay position, key, reason and times. From then on whatever comes about the lead arrives blank: through sink, backfill and the replay of dead letters.
It blanks at once, then waits until every sink has read the tombstone (--settle-for), and looks again until it finds nothing. Old bytes leave the disk when ClickHouse removes the replaced parts, 8 minutes later by default. A mutation writes the columns anew of every part that holds one of the rows: give many leads to one run, not to many.
Run again it finishes what was cut, and does nothing where nothing is left. It may run beside sinks, backfill and other runs of itself.
The report on stdout says what was blanked and, always, what it cannot reach: Kafka's records, backups, copies elsewhere, and others' rows that hold an e-mail address of the lead's. It holds IDs and nothing personal. Logs and progress go to stderr.
It needs SELECT, INSERT, ALTER UPDATE and ALTER DELETE on the database, and SELECT on system.mutations, system.parts and system.detached_parts. A tombstone is taken back by hand, DELETE FROM erasures, for what comes after; what was blanked stays so.`

const eraseExamples = `# what would go?
leadhouse erase --lead ld_123 --dry-run --clickhouse-addr clickhouse:9000

leadhouse erase --lead ld_123 --clickhouse-addr clickhouse:9000

# many at once, and none of them in the process list
leadhouse erase --lead-file leads.txt --format json --config /etc/leadhouse.yaml > report.json`

func (j *eraseJob) settings() settings {
	const group = "Erase"
	ss := settings{
		{
			name: "lead", group: group, field: "Leads", noFile: true, value: list(&j.leads, "ID,…", schema.CheckLead),
			usage: "The lead's ID, as data.leadId has it; may be repeated. The process list shows it. An ID with a comma goes into --lead-file.",
		},
		{
			name: "lead-file", group: group, noFile: true, isFile: true, value: file(&j.leadFile),
			usage: "File with IDs of leads, one a line.",
		},
		{
			name: "dry-run", group: group, value: toggle(&j.cfg.DryRun), noFile: true,
			usage: "Count what would be blanked, and change nothing.",
		},
		{
			name: "format", group: group, value: oneOf(&j.format, "text", "json"), noFile: true,
			usage: "How the report is printed.",
		},
		{
			name: "settle-for", group: group, field: "SettleFor", value: duration(&j.cfg.SettleFor),
			usage: "How long after the tombstone a sink may still write what it has not read it for. Longer than two of the sinks' --schema-reload-interval and a --batch-age.",
		},
		{
			name: "wait-for", group: group, field: "WaitFor", value: duration(&j.cfg.WaitFor),
			usage: "How long one mutation may take, on all replicas. After it the command ends, and the mutation goes on.",
		},
	}
	ss = append(ss, j.clickhouse.settings(true)...)
	return append(ss, databaseSetting(&j.cfg.Database))
}

// eraseConns is how many connections it uses at a time: a mutation, and how far it is.
const eraseConns = 2

func (j *eraseJob) prepare(log zerolog.Logger) (func(context.Context) error, error) {
	conn, clickhouseErr := j.clickhouse.open("erase", eraseConns)
	leads, fileErr := leadsOf(j.leadFile)
	j.cfg.ClickHouse = conn
	j.cfg.Leads = append(leads, j.leads...)
	j.cfg.Progress, j.cfg.Logger = progressOn(log, j.logFormat())
	if fileErr != nil {
		return nil, errors.Join(clickhouseErr, fileErr)
	}
	e, err := erase.New(j.cfg)
	if err = errors.Join(clickhouseErr, err); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		starting(log, j.clickhouse.risk())
		report, err := e.Run(ctx)
		if err = closing(err, conn); err != nil {
			return err
		}
		return printReport(os.Stdout, j.format, report)
	}, nil
}

// leadsOf reads a file of IDs. Problems name the line, and not what stands there. A file that cannot be opened has been
// complained of.
func leadsOf(path string) (leads []string, err error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		id := strings.TrimSpace(lines.Text())
		if id == "" {
			continue
		}
		if err := schema.CheckLead(id); err != nil {
			return nil, fmt.Errorf("--lead-file: line %d: %w", n, err)
		}
		leads = append(leads, id)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--lead-file: %w", err)
	}
	return leads, nil
}
