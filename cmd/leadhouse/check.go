package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/ingest"
	"github.com/leadhouse/leadhouse/sink"
)

// leadhouse check
//
//	main ─ signal ctx ─▶ configuration ─▶ Kafka ─▶ ClickHouse ─▶ Leadron ─▶ report
//
// One goroutine: one question after the other, each with a time-out of its own. It changes nothing anywhere.
//
// It holds the three jobs, and has all of their settings: what it finds in order, they find in order.
type checkJob struct {
	jobs    []*command
	only    []string
	timeout time.Duration

	kafka      *kafkaSettings
	topic      string
	group      string
	maxBody    int
	clickhouse *clickhouseSettings
	database   string
	leadron    *leadronSettings

	leadronSettings settings // for the names of what is wrong in them
	report          *report
}

// The parts of a check, as --only names them.
const (
	partKafka      = "kafka"
	partClickhouse = "clickhouse"
	partLeadron    = "leadron"
)

func newCheck() *command {
	j := &checkJob{
		jobs: []*command{newIngest(), newSink(), newBackfill()},
		only: []string{partKafka, partClickhouse, partLeadron}, timeout: 10 * time.Second,
		kafka: newKafkaSettings(), clickhouse: newClickhouseSettings(), leadron: newLeadronSettings(),
		topic: sink.Defaults().Topic, group: sink.Defaults().Group, database: sink.Defaults().Database, maxBody: ingest.Defaults().MaxBody,
		report: &report{w: os.Stdout, color: isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == ""},
	}
	c := &command{
		name:     "check",
		usage:    "check the configuration, then Kafka, ClickHouse and the Leadron API",
		manual:   checkManual,
		examples: checkExamples,
		exits: `0   nothing to mend
1   something to mend: the lines with ✗; what to do stands below each
64  the command line is wrong`,
		settings: j.settings(),
		refuse:   j.refuse,
		jobs:     j.jobs,
	}
	c.withCommon()
	c.adoptSettings()
	c.prepare = func(log zerolog.Logger) (func(context.Context) error, error) { return j.prepare(c, log) }
	return c
}

const checkManual = `Prints a line for each thing it looks at: ✓ in order, ! works but not as promised, ✗ will not work, – skipped, and why. What to do stands below. It changes nothing, and commits nothing.
It takes every setting of ingest, sink and backfill, so that it can run with the environment or the --config file of any of them. Below are those that it dials with; the others are checked too, and explained by -h of their command.`

const checkExamples = `leadhouse check --config /etc/leadhouse.yaml

# is the warehouse there?
leadhouse check --only clickhouse --clickhouse-addr clickhouse:9000`

func (j *checkJob) settings() settings {
	ss := settings{
		{
			name: "only", group: "Check", value: someOf(&j.only, partKafka, partClickhouse, partLeadron), noFile: true,
			usage: "Look at these alone. The configuration is checked in any case.",
		},
		{
			name: "timeout", group: "Check", value: duration(&j.timeout), noFile: true,
			usage: "How long each question may take.",
		},
	}
	ss = append(ss, j.kafka.settings(false)...)
	ss = append(
		ss, topicSetting(&j.topic, ""), groupSetting(&j.group),
		&setting{
			name: "max-body", group: "Kafka topic", value: size(&j.maxBody),
			usage: "The largest body that ingest takes: the topic's max.message.bytes must have room for it.",
		},
	)
	ss = append(ss, j.clickhouse.settings(false)...)
	ss = append(ss, databaseSetting(&j.database))
	j.leadronSettings = j.leadron.settings()
	return append(ss, j.leadronSettings...)
}

// adoptSettings adds the settings of the jobs that the command does not have itself.
func (c *command) adoptSettings() {
	for _, job := range c.jobs {
		for _, s := range job.settings {
			s.required = false // a job may be missing; see needs
			if len(c.settings.named(s.name)) == 0 {
				s.hidden = true
				c.settings = append(c.settings, s)
			}
		}
	}
}

// needs are the settings without which a job is not configured: one of each list.
var needs = map[string][][]string{
	"ingest":   {{"kafka-brokers"}, {"webhook-secret-file"}},
	"sink":     {{"kafka-brokers"}, {"clickhouse-addr"}},
	"backfill": {{"clickhouse-addr"}, {"leadron-api-key-file", "catalog"}},
}

// prepare lets every job that is configured prepare itself, which is what it does before it begins.
func (j *checkJob) prepare(c *command, log zerolog.Logger) (func(context.Context) error, error) {
	var errs []error
	for _, job := range j.jobs {
		for _, s := range job.settings {
			s.given = c.settings.named(s.name)[0].given
		}
		_, problems := job.settings.read()
		missing := job.missing()
		if missing == "" {
			_, err := job.prepare(log)
			problems = append(problems, job.settings.rename(job.name, err)...)
		}
		errs = append(errs, problems...)
		switch {
		case len(problems) > 0: // refuse lists them
		case missing != "":
			j.report.skip(job.name, "no "+missing)
		default:
			j.report.ok(job.name, "its configuration is in order")
		}
	}
	return j.run, errors.Join(errs...)
}

// missing names the first need that is not met, or nothing.
func (c *command) missing() string {
	for _, oneOf := range needs[c.name] {
		met := slices.ContainsFunc(oneOf, func(name string) bool {
			s := c.settings.named(name)[0]
			return s.present() || s.bad
		})
		if !met {
			return "--" + strings.Join(oneOf, " or --")
		}
	}
	return ""
}

func (j *checkJob) refuse(problems []error) error {
	for _, p := range problems {
		j.report.bad("configuration", p.Error(), "")
	}
	j.report.skip("the engines", "the configuration has to be right first")
	return j.report.end()
}

func (j *checkJob) run(ctx context.Context) error {
	parts := []struct {
		name    string
		missing string // why it is not configured
		look    func(context.Context)
	}{
		{partKafka, unless(len(j.kafka.brokers) > 0, "no --kafka-brokers"), j.lookAtKafka},
		{partClickhouse, unless(len(j.clickhouse.addrs) > 0, "no --clickhouse-addr"), j.lookAtClickhouse},
		{partLeadron, unless(j.leadron.key != "", "no --leadron-api-key-file, and no "+variable("leadron-api-key")), j.lookAtLeadron},
	}
	for _, p := range parts {
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		case !slices.Contains(j.only, p.name):
			j.report.skip(p.name, "not in --only")
		case p.missing != "":
			j.report.skip(p.name, p.missing)
		default:
			p.look(ctx)
		}
	}
	return j.report.end()
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}

// ask runs one question within the time-out.
func (j *checkJob) ask(ctx context.Context, question func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, j.timeout)
	defer cancel()
	err := question(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s: %w", showDuration(j.timeout), err)
	}
	return err
}
