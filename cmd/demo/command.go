package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// manual is the whole of -h. A test finds every flag in it.
const manual = `demo: signed Leadron webhooks become typed rows in ClickHouse, on this machine

  make demo                    builds leadhouse and this, and runs it
  make demo ARGS="--once"      the same, with flags
  bin/demo [flags]

What it does:
  Starts ClickHouse, a Kafka, a stand-in for Leadron, and the three real
  commands, leadhouse ingest, sink and backfill, each as a process of its own.
  Then, in half a minute:
  1  backfill reads Leadron's event catalog and creates the tables;
  2  Leadron delivers half a year of customer journeys, signed: some deliveries
     twice, some out of order, a few forged, a few that are no event, and one
     type that the catalog does not know;
  3  the catalog grows by that type and by a field, and backfill runs again
     while deliveries go on;
  4  tables show what has become of it all, and the books are balanced: every
     accepted delivery is one row or one dead letter.
  Then it stays, with live events trickling in, until Ctrl-C. All that it made
  goes with it.

  ClickHouse is real: the "clickhouse" on the PATH, else a library that npm
  fetches once (170 MB). The Kafka is kfake: Kafka's protocol in memory.

Flags:
  --once
      End after the tables.
  --events NUMBER (default 20000)
      How many events happen, from 500 up: with fewer, some of the story does
      not.
  --seed NUMBER (default 1)
      Another number is another story of the same kind; the same number is the
      same story.
  --work-dir DIR
      Keep the logs of all processes, and ClickHouse's data, in this directory,
      which must be empty or new. Without it they are in a temporary one that is
      removed at the end.
  --leadhouse FILE (default: the leadhouse beside this program)
      The binary whose commands run.

Flags for engines that you run already:
  Nothing that exists there is touched. Topic, consumer group and database are
  made under one name, and the demo does not start when one of them exists. They
  stay at the end, and the demo prints how to drop them.

  --kafka-brokers HOST:PORT,…
      Use this Kafka, without TLS and login.
  --clickhouse-addr HOST:PORT
      Use this ClickHouse, by its native port, without TLS.
  --clickhouse-username NAME (default "default")
      Its user, who must be allowed to create a database. The password is in
      $LEADHOUSE_CLICKHOUSE_PASSWORD.
  --name NAME (default leadhouse_demo)
      The name of topic, group and database: leadhouse_demo, or leadhouse_demo_
      and more.

Ports, on 127.0.0.1, each replaced by a free one when it is taken:
  ClickHouse 9000 (native) and 8123 (HTTP), Kafka 9092, Leadron 8000,
  ingest 8080 and 9090 (admin), sink 9091 (admin), the short address of the
  dashboard 8124.

Exit codes:
  0    the story is told, and the books balance
  1    something failed, or something is missing in the books
  64   a flag is wrong
  130  stopped by Ctrl-C before the end of the tables
`

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 64 // sysexits.h EX_USAGE
	exitStopped = 130
)

// config is what a demo is told.
type config struct {
	once      bool
	events    int
	seed      uint64
	workDir   string // empty: a temporary one
	leadhouse string // the binary

	kafkaBrokers       []string // empty: the embedded one
	clickhouseAddr     string   // empty: the embedded one
	clickhouseUsername string
	clickhousePassword string
	name               string // of what is made on the user's engines

	ports ports
}

// ports are the preferred ones; 0 is any.
type ports struct{ clickhouse, clickhouseHTTP, kafka, leadron, ingest, ingestAdmin, sinkAdmin, dashboard int }

// defaultPorts are those that the programs' documentation names.
var defaultPorts = ports{
	clickhouse: 9000, clickhouseHTTP: 8123, kafka: 9092, leadron: 8000,
	ingest: 8080, ingestAdmin: 9090, sinkAdmin: 9091, dashboard: 8124,
}

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout *os.File, stderr io.Writer) int {
	cfg := config{ports: defaultPorts, clickhousePassword: os.Getenv("LEADHOUSE_CLICKHOUSE_PASSWORD")}
	app := &cli.App{
		Name:                  "demo",
		CustomAppHelpTemplate: strings.ReplaceAll(manual, "{{", `{{"{{"}}`),
		HideHelpCommand:       true,
		Writer:                stdout, ErrWriter: stderr,
		ExitErrHandler: func(*cli.Context, error) {}, // what it returns is looked at below
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usage{err} },
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "once", Destination: &cfg.once},
			&cli.IntFlag{Name: "events", Value: 20_000, Destination: &cfg.events},
			&cli.Uint64Flag{Name: "seed", Value: 1, Destination: &cfg.seed},
			&cli.StringFlag{Name: "work-dir", Destination: &cfg.workDir},
			&cli.StringFlag{Name: "leadhouse", Destination: &cfg.leadhouse},
			&cli.StringSliceFlag{Name: "kafka-brokers"},
			&cli.StringFlag{Name: "clickhouse-addr", Destination: &cfg.clickhouseAddr},
			&cli.StringFlag{Name: "clickhouse-username", Destination: &cfg.clickhouseUsername},
			&cli.StringFlag{Name: "name", Value: "leadhouse_demo", Destination: &cfg.name},
		},
		Action: func(c *cli.Context) error {
			cfg.kafkaBrokers = c.StringSlice("kafka-brokers")
			if c.Args().Present() {
				return usage{fmt.Errorf("there is nothing to say but flags, and there is %q", c.Args().First())}
			}
			if err := cfg.validate(); err != nil {
				return usage{err}
			}
			return demo(c.Context, cfg, newScreen(stdout))
		},
	}
	err := app.RunContext(ctx, args)
	switch _, wrong := errors.AsType[usage](err); {
	case err == nil:
		return exitOK
	case wrong:
		fmt.Fprintf(stderr, "demo: %v\nSee demo -h.\n", err)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "\nStopped.")
		return exitStopped
	}
	fmt.Fprintf(stderr, "\ndemo: %v\n", err)
	return exitFailed
}

// usage is an error of the command line.
type usage struct{ error }

var demoName = regexp.MustCompile(`^leadhouse_demo(_[a-z0-9_]{1,40})?$`)

// validate names everything that is wrong, before anything is started.
func (c *config) validate() error {
	var errs []error
	if c.events < 500 || c.events > 1_000_000 {
		errs = append(errs, fmt.Errorf("--events: %d is not 500 to 1000000", c.events))
	}
	if !demoName.MatchString(c.name) {
		errs = append(errs, fmt.Errorf("--name: %q is not leadhouse_demo or leadhouse_demo_ and small letters, digits and underscores", c.name))
	}
	for _, addr := range append(c.kafkaBrokers, c.clickhouseAddr) {
		if _, _, err := net.SplitHostPort(addr); err != nil && addr != "" {
			errs = append(errs, fmt.Errorf("%q is not host:port", addr))
		}
	}
	if c.clickhouseUsername != "" && c.clickhouseAddr == "" {
		errs = append(errs, errors.New("--clickhouse-username is for --clickhouse-addr"))
	}
	binary, err := local.Leadhouse(c.leadhouse)
	if c.leadhouse = binary; err != nil {
		errs = append(errs, fmt.Errorf("--leadhouse: %w", err))
	}
	return errors.Join(errs...)
}

// openWorkDir makes the directory for logs and data. Its close removes it, if it is temporary.
func (c *config) openWorkDir() (remove func() error, err error) {
	if c.workDir == "" {
		c.workDir, remove, err = local.TempDir()
		return remove, err
	}
	if err := os.MkdirAll(c.workDir, 0o700); err != nil {
		return nil, fmt.Errorf("--work-dir: %w", err)
	}
	found, err := os.ReadDir(c.workDir)
	if err != nil {
		return nil, fmt.Errorf("--work-dir: %w", err)
	}
	if len(found) > 0 {
		return nil, fmt.Errorf("--work-dir: %s is not empty", c.workDir)
	}
	return func() error { return nil }, nil
}
