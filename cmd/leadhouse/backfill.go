package main

import (
	"context"
	"errors"
	"os"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/backfill"
)

// leadhouse backfill
//
//	main ─ signal ctx ─▶ Backfill.Run: pull ─▶ plan ─▶ apply ─▶ sweeps
//	                          │                               └─ a stream, an insert
//	                          └─ progress: bars on a terminal (drawn by goroutines of mpb's), else log lines
//
// All of them are Backfill.Run's, which returns when the last has ended. The ClickHouse pool is this file's: it is closed
// when Run has returned.
type backfillJob struct {
	cfg        backfill.Config
	clickhouse *clickhouseSettings
	leadron    *leadronSettings
	logFormat  func() string
}

func newBackfill() *command {
	j := &backfillJob{cfg: backfill.Defaults(), clickhouse: newClickhouseSettings(), leadron: newLeadronSettings()}
	c := &command{
		name:     "backfill",
		usage:    "create and evolve the tables from Leadron's catalog, and fill them from stored payloads",
		manual:   backfillManual,
		examples: backfillExamples,
		exits: `0   the warehouse is as the catalog says; with --plan: there is nothing to do
1   it could not: the catalog, ClickHouse, or stopped by SIGINT or SIGTERM; run it again and it goes on
2   --plan: there is something to do
64  the command line or the configuration is wrong: nothing was dialled, and a restart will not help`,
		settings: j.settings(),
		prepare:  j.prepare,
	}
	j.logFormat = func() string { return c.logFormat }
	return c.withCommon()
}

const backfillManual = `Pulls the catalog, infers columns, compares them with ClickHouse, prints the plan, applies it, and types stored events anew for what has come. It only adds: no table or column is dropped or changed. Safe beside running sinks, and run again it finishes what was cut.
The plan goes to stdout; logs and progress go to stderr.`

const backfillExamples = `# set up a warehouse without an API key
leadhouse backfill --catalog builtin --clickhouse-addr clickhouse:9000

# would anything change?
leadhouse backfill --plan --clickhouse-addr clickhouse:9000 --leadron-api-key-file /run/secrets/leadron`

func (j *backfillJob) settings() settings {
	c := &j.cfg
	ss := settings{
		{
			name: "plan", group: "Backfill", value: toggle(&c.PlanOnly), noFile: true,
			usage: "Print the plan and change nothing.",
		},
		{
			name: "catalog", group: "Backfill", field: "Catalog", value: text(&c.Catalog, "FILE|builtin"),
			usage: "Take the catalog from a file with a saved response, or the one in this binary, instead of the API.",
		},
		{
			name: "dead-letters-ttl", group: "Backfill", field: "DeadLettersTTL", value: never(duration(&c.DeadLettersTTL)),
			usage: "Have ClickHouse delete dead letters so long after their receipt, open ones too; their entries in the ledger stay. Without it the table is left as it is, and deletes none. Once set it stays: ALTER TABLE dead_letters REMOVE TTL ends it. verify misses what was deleted, so let it look no further back (--since).",
		},
		{
			name: "materialize-views", group: "Backfill", field: "MaterializeViews", value: choice(&c.MaterializeViews),
			usage: "Make the views that take long to ask tables of their names, which ClickHouse fills anew every --materialize-every: for large installations. =false makes them views again. Readers find every name at every moment. Without it they stay what they are, which in a new database is views. A refresh runs a view's whole query; one that fails is this command's error the next time.",
		},
		{
			name: "materialize-every", group: "Backfill", field: "MaterializeEvery", value: never(duration(&c.MaterializeEvery)),
			usage: "How often they are filled, in whole seconds, 10s at least. Without it as often as before, and in the beginning every 5m.",
		},
		{
			name: "chunk-rows", group: "Backfill", field: "ChunkRows", value: number(&c.ChunkRows),
			usage: "Rows that end a chunk of a fill. A fill that is killed repeats one chunk.",
		},
		{
			name: "chunk-bytes", group: "Backfill", field: "ChunkBytes", value: size(&c.ChunkBytes),
			usage: "Bytes that end a chunk. Two chunks are in memory at a time.",
		},
		{
			name: "settle-for", group: "Backfill", field: "SettleFor", value: duration(&c.SettleFor),
			usage: "How long no row of older columns may have come before the work is done. Longer than two of the sinks' --schema-reload-interval and a --batch-age.",
		},
		{
			name: "retry-for", group: "Backfill", field: "RetryFor", value: duration(&c.RetryFor),
			usage: "How long ClickHouse may be away in the middle of the work.",
		},
		{
			name: "retry-min", group: "Backfill", field: "RetryMin", value: duration(&c.RetryMin),
			usage: "The shortest pause between two attempts at anything.",
		},
		{
			name: "retry-max", group: "Backfill", field: "RetryMax", value: duration(&c.RetryMax),
			usage: "The longest pause between two attempts at anything.",
		},
	}
	ss = append(ss, j.clickhouse.settings(true)...)
	ss = append(ss, databaseSetting(&c.Database))
	ss = append(ss, j.leadron.settings()...)
	return append(ss, &setting{
		name: "leadron-pull-timeout", group: "Leadron", field: "PullTimeout", value: duration(&c.PullTimeout),
		usage: "How long getting the catalog may take, waits for Leadron's rate limit (15 minutes) included.",
	})
}

// never is a duration whose zero means that something does not happen.
func never(v value) value {
	show := v.show
	v.show = func() string {
		if !v.isSet() {
			return ""
		}
		return show()
	}
	return v
}

// choice is a toggle that leaves things as they are when nobody says anything.
func choice(dst **bool) value {
	var on bool
	v := toggle(&on)
	parse := v.parse
	v.parse = func(t string) error {
		if err := parse(t); err != nil {
			return err
		}
		*dst = &on
		return nil
	}
	v.isSet = func() bool { return *dst != nil }
	return v
}

// leadronSettings are how to reach Leadron's API.
type leadronSettings struct {
	url, key, keyFile string
}

func newLeadronSettings() *leadronSettings { return &leadronSettings{url: backfill.Defaults().APIURL} }

func (l *leadronSettings) settings() settings {
	const group = "Leadron"
	return settings{
		{
			name: "leadron-api-url", group: group, field: "APIURL", value: address(&l.url),
			usage: "Where Leadron's API is. The key is sent there and nowhere else.",
		},
		{
			name: "leadron-api-key-file", group: group, field: "APIKey", value: file(&l.keyFile),
			usage:  "File with the API key; a line end at its end does not count.",
			secret: &secret{name: "leadron-api-key", what: "the API key", use: into(&l.key)},
		},
	}
}

// backfillConns is how many connections a backfill uses at a time: a stream, an insert, a ping of the pool.
const backfillConns = 3

func (j *backfillJob) prepare(log zerolog.Logger) (func(context.Context) error, error) {
	conn, clickhouseErr := j.clickhouse.open("backfill", backfillConns)
	j.cfg.ClickHouse = conn
	j.cfg.APIURL, j.cfg.APIKey = j.leadron.url, j.leadron.key
	j.cfg.Version = build().version
	j.cfg.Out = os.Stdout
	j.cfg.Progress, j.cfg.Logger = progressOn(log, j.logFormat())
	b, err := backfill.New(j.cfg)
	if err = errors.Join(clickhouseErr, err); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		starting(log, j.clickhouse.risk())
		result, err := b.Run(ctx)
		if err = closing(err, conn); err != nil {
			return err
		}
		if result.Pending {
			return &exit{exitPending, ""}
		}
		return nil
	}, nil
}
