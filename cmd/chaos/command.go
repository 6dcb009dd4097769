package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// manual is the whole of -h. A test finds every flag in it.
const manual = `chaos: break the whole pipeline at random under load, and count what it loses

  make chaos                                 builds leadhouse and this, and runs it
  make chaos ARGS="--for 12m --seed 7"       the same, with flags
  bin/chaos [flags]

What it does:
  Starts ClickHouse, a Kafka, two leadhouse ingest and three leadhouse sink, all
  as processes, with a fault proxy in every connection between them. Sends
  signed deliveries, with retries, repeats, forgeries and bodies that are no
  event, and keeps a journal of every 2xx. Meanwhile, on a schedule drawn from
  the seed:
    kills (kill -9) and restarts ingest, sink, Kafka, ClickHouse and backfill,
      one at a time and together;
    freezes them (SIGSTOP), sinks also for longer than their session;
    cuts, refuses, stalls, delays, throttles and half-closes connections; loses
      Kafka's, ClickHouse's and ingest's answers after the write; cuts inserts
      in the middle of their rows;
    lets sinks leave and join;
    grows the catalog and runs backfill;
    drops an event table, makes it again, and restores it from Kafka.
  Then it waits until the sinks have committed all that Kafka has, runs backfill
  once more (rows that a frozen sink has typed with old columns), and compares:
  every delivery with a 2xx is one row under FINAL, in its table, byte for byte
  and with every typed value that was sent, or a dead letter; no forged one is
  anywhere; the ledger has each record of Kafka once; leadhouse verify agrees.

  ClickHouse is the "clickhouse" on the PATH, else a library that npm fetches
  once (170 MB). Apache Kafka needs Java 17, and Maven the first time.

Flags:
  --for DURATION (default 2m)
      How long deliveries are sent.
  --rate NUMBER (default 1500)
      Deliveries a second.
  --deliveries NUMBER
      How many are sent; instead of --for.
  --faults NUMBER
      How many faults are scheduled, spread evenly by chance. Default: 3 in
      2 seconds.
  --seed NUMBER (default: drawn, and printed)
      Chooses the schedule, the deliveries, and what the sender does with them.
      The same seed with the same other flags is the same run, as far as the
      machine lets it.
  --plan
      Print the schedule and start nothing.
  --kafka apache|kfake (default apache)
      The real broker, or the embedded stand-in, which is not killed or frozen.
  --drain-timeout DURATION (default 3m)
      How long the sinks may take to catch up in the end.
  --work-dir DIR
      Keep logs, data, the schedule as it was carried out (faults.log) and the
      report (report.txt) in this directory, which must be empty or new.
      Without it they are in a temporary one that is removed at the end, unless
      something was found.
  --leadhouse FILE (default: the leadhouse beside this program)
      The binary whose commands run.

Exit codes:
  0    nothing lost, nothing doubled, nothing forged, and the books balance
  1    something was, or a process ended by itself, or the run failed
  64   a flag is wrong
  130  stopped by Ctrl-C
`

// The exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 64 // sysexits.h EX_USAGE
	exitStopped = 130
)

// The Kafkas.
const (
	kafkaApache = "apache"
	kafkaKfake  = "kfake"
)

// config is what a run is told.
type config struct {
	deliveries   int
	span         time.Duration
	rate         float64
	faults       int
	seed         uint64
	plan         bool
	kafka        string
	drainTimeout time.Duration
	workDir      string // empty: a temporary one
	leadhouse    string // the binary
	tellEvery    time.Duration
}

// faultsPerSecond is how many there are where nobody says.
const faultsPerSecond = 1.5

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg := config{tellEvery: 10 * time.Second}
	app := &cli.App{
		Name:                  "chaos",
		CustomAppHelpTemplate: strings.ReplaceAll(manual, "{{", `{{"{{"}}`),
		HideHelpCommand:       true,
		Writer:                stdout, ErrWriter: stderr,
		ExitErrHandler: func(*cli.Context, error) {}, // what it returns is looked at below
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usage{err} },
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "for", Value: 2 * time.Minute, Destination: &cfg.span},
			&cli.Float64Flag{Name: "rate", Value: 1500, Destination: &cfg.rate},
			&cli.IntFlag{Name: "deliveries", Destination: &cfg.deliveries},
			&cli.IntFlag{Name: "faults", Destination: &cfg.faults},
			&cli.Uint64Flag{Name: "seed", Destination: &cfg.seed},
			&cli.BoolFlag{Name: "plan", Destination: &cfg.plan},
			&cli.StringFlag{Name: "kafka", Value: kafkaApache, Destination: &cfg.kafka},
			&cli.DurationFlag{Name: "drain-timeout", Value: 3 * time.Minute, Destination: &cfg.drainTimeout},
			&cli.StringFlag{Name: "work-dir", Destination: &cfg.workDir},
			&cli.StringFlag{Name: "leadhouse", Destination: &cfg.leadhouse},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage{fmt.Errorf("there is nothing to say but flags, and there is %q", c.Args().First())}
			}
			if c.IsSet("for") && c.IsSet("deliveries") {
				return usage{errors.New("--for and --deliveries: one says what the other does")}
			}
			if !c.IsSet("seed") {
				cfg.seed = rand.Uint64N(1_000_000) //nolint:gosec // no secret; short enough to type
			}
			if err := cfg.complete(); err != nil {
				return usage{err}
			}
			if cfg.plan {
				return cfg.printPlan(stdout)
			}
			return run(c.Context, cfg, stdout)
		},
	}
	err := app.RunContext(ctx, args)
	switch _, wrong := errors.AsType[usage](err); {
	case err == nil:
		return exitOK
	case wrong:
		fmt.Fprintf(stderr, "chaos: %v\nSee chaos -h.\n", err)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "\nStopped.")
		return exitStopped
	}
	fmt.Fprintf(stderr, "\nchaos: %v\n", err)
	return exitFailed
}

// usage is an error of the command line.
type usage struct{ error }

// complete fills in what follows from the rest, and names everything that is wrong.
func (c *config) complete() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.rate < 1 || c.rate > 100_000, "--rate: %g is not 1 to 100000", c.rate)
	wrong(c.kafka != kafkaApache && c.kafka != kafkaKfake, "--kafka: %q is neither apache nor kfake", c.kafka)
	wrong(c.deliveries < 0 || c.faults < 0 || c.drainTimeout <= 0, "--deliveries, --faults and --drain-timeout are not negative")
	if c.deliveries == 0 {
		c.deliveries = int(c.rate * c.span.Seconds())
	} else if c.rate > 0 {
		c.span = time.Duration(float64(c.deliveries) / c.rate * float64(time.Second))
	}
	wrong(c.span < 10*time.Second || c.span > 24*time.Hour, "--for, or --deliveries by --rate: %v is not 10s to 24h", c.span)
	if c.faults == 0 {
		c.faults = int(faultsPerSecond * c.span.Seconds())
	}
	binary, err := local.Leadhouse(c.leadhouse)
	if c.leadhouse = binary; err != nil {
		errs = append(errs, fmt.Errorf("--leadhouse: %w", err))
	}
	return errors.Join(errs...)
}

// schedule is this run's.
func (c *config) schedule() []fault {
	return schedule(c.seed, c.faults, c.span, c.kafka == kafkaApache)
}

func (c *config) printPlan(w io.Writer) error {
	fmt.Fprintf(w, "%s\n\n", c.line())
	for _, f := range c.schedule() {
		fmt.Fprintln(w, f)
	}
	return nil
}

// line is the command that makes this run again.
func (c *config) line() string {
	return fmt.Sprintf("make chaos ARGS=\"--seed %d --deliveries %d --rate %g --faults %d --kafka %s\"", c.seed, c.deliveries, c.rate, c.faults, c.kafka)
}

// writeFile keeps something in the working directory.
func writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
