package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/sink/verify"
)

// leadhouse verify
//
//	main ─ signal ctx ─▶ Verifier.Run: Kafka's offsets ─▶ ledger ─▶ event tables ─▶ Kafka's records ─▶ report
//	                          └─ progress: bars on a terminal (drawn by goroutines of mpb's), else log lines
//
// One goroutine, one question after the other. The ClickHouse pool is this file's: it is closed when Run has returned.
type verifyJob struct {
	cfg         verify.Config
	kafka       *kafkaSettings
	clickhouse  *clickhouseSettings
	since       string
	format      string
	acknowledge []string
	logFormat   func() string
}

func newVerify() *command {
	j := &verifyJob{cfg: verify.Defaults(), kafka: newKafkaSettings(), clickhouse: newClickhouseSettings(), format: "text"}
	c := &command{
		name:     "verify",
		usage:    "prove that every Kafka record is in ClickHouse, or name what is missing",
		manual:   verifyManual,
		examples: verifyExamples,
		exits: `0   the books balance, and no gap is open
1   they do not: the report says what is missing; or they could not be looked at: the error says why
64  the command line or the configuration is wrong: nothing was dialled, and a restart will not help`,
		settings: j.settings(),
		prepare:  j.prepare,
	}
	j.logFormat = func() string { return c.logFormat }
	return c.withCommon()
}

const verifyManual = `Compares what Kafka holds and what the group has committed with the ledger (deliveries), the event tables and dead_letters. Prints the balance sheet (fetched = inserted + collapsed + dead-lettered + erased; lost, missing, in flight), and names every range of offsets that is missing, with the event IDs while Kafka still has the records. Offsets at which Kafka never had a record (transaction markers, compaction) are no loss.
It may run beside sinks under load: what seems missing is looked at again before it is named. It changes nothing, except that --acknowledge writes down which losses are accepted.
What is missing and still in Kafka is read again when the sinks are stopped and the group's offset is set back to it: what is there already collapses. What Kafka no longer has is lost: --acknowledge makes verify and the sinks' readiness green again, and every later report lists it.
Where an event table has a TTL, look no further back than it: --since.
It needs Describe and Read on the topic and Describe on the group; in ClickHouse SELECT on the database, and INSERT for --acknowledge. The report goes to stdout; logs and progress go to stderr.`

const verifyExamples = `leadhouse verify --kafka-brokers kafka:9092 --clickhouse-addr clickhouse:9000

# the last day, for a nightly job
leadhouse verify --config /etc/leadhouse.yaml --since 24h --format json

# accept that retention has taken offsets 1200 to 1499 of partition 2
leadhouse verify --config /etc/leadhouse.yaml --acknowledge 2:1200-1499`

func (j *verifyJob) settings() settings {
	const group = "Verify"
	ss := settings{
		{
			name: "since", group: group, value: moment(&j.since, &j.cfg.Since), noFile: true,
			usage: "Leave out records from before: a time like 2026-05-27T00:00:00Z, or so long ago.",
		},
		{
			name: "format", group: group, value: oneOf(&j.format, "text", "json"), noFile: true,
			usage: "How the report is printed.",
		},
		{
			name: "acknowledge", group: group, value: ranges(&j.acknowledge, &j.cfg.Acknowledge), noFile: true,
			usage: "Accept that these offsets, the first and the last included, are lost for good; may be repeated. Only what is missing and no longer in Kafka can be. EPOCH counts the topic's recreations, 0 without it.",
		},
	}
	ss = append(ss, j.kafka.settings(true)...)
	ss = append(ss, topicSetting(&j.cfg.Topic, "Topic"), groupSetting(&j.cfg.Group))
	ss = append(ss, j.clickhouse.settings(true)...)
	return append(ss, databaseSetting(&j.cfg.Database))
}

// moment is a time, or how long ago it is.
func moment(text *string, dst *time.Time) value {
	v := value{
		form: "TIME|DURATION", tags: []string{yamlText}, want: "a time like 2026-05-27T00:00:00Z, or a time ago with its unit, like 12h or 14d",
		show:  func() string { return *text },
		isSet: func() bool { return *text != "" },
	}
	v.parse = func(t string) error {
		if at, err := time.Parse(time.RFC3339, t); err == nil {
			*text, *dst = t, at
			return nil
		}
		ago, err := parseDuration(t)
		if err != nil || ago <= 0 {
			return fmt.Errorf("%q is not %s", t, v.want)
		}
		*text, *dst = t, time.Now().Add(-ago)
		return nil
	}
	return v
}

// ranges are runs of offsets.
func ranges(words *[]string, dst *[]verify.Range) value {
	v := list(words, "[EPOCH/]PARTITION:FIRST-LAST,…", func(word string) error {
		_, err := verify.ParseRange(word)
		return err
	})
	inner := v.parse
	v.parse = func(t string) error {
		if err := inner(t); err != nil {
			return err
		}
		*dst = nil
		for _, word := range *words {
			r, err := verify.ParseRange(word)
			if err != nil {
				return err
			}
			*dst = append(*dst, r)
		}
		return nil
	}
	return v
}

// verifyConns is how many connections it uses at a time.
const verifyConns = 1

func (j *verifyJob) prepare(log zerolog.Logger) (func(context.Context) error, error) {
	dialer, kafkaErr := j.kafka.dialer("leadhouse-verify")
	conn, clickhouseErr := j.clickhouse.open("verify", verifyConns)
	j.cfg.Brokers, j.cfg.Dialer = j.kafka.brokers, dialer
	j.cfg.ClickHouse = conn
	j.cfg.Progress = backfill.NewLines(log)
	if isTerminal(os.Stderr) {
		j.cfg.Progress = backfill.NewBars(os.Stderr)
	}
	v, err := verify.New(j.cfg)
	if err = errors.Join(kafkaErr, clickhouseErr, err); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		starting(log, j.kafka.risk(), j.clickhouse.risk())
		report, err := v.Run(ctx)
		if err = errors.Join(err, conn.Close()); err != nil {
			return err
		}
		if err := printReport(os.Stdout, j.format, report); err != nil {
			return err
		}
		if !report.Balanced {
			return &exit{exitFailed, ""}
		}
		return nil
	}, nil
}
