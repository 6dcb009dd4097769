package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// manual is the whole of -h. A test finds every flag in it.
const manual = `bench: what leadhouse costs, against limits and peers measured in the same run

  make bench                             from the repository: builds leadhouse and this, and runs the gate
  make bench ARGS="ingest --rounds 5"    one bench, with flags
  bin/bench [flags]                      the gate: ingest, sink, fill, freshness
  bin/bench BENCH [flags]                one of them, or layout, or queries

Benches:
  ingest      Requests a second, latencies and CPU of leadhouse ingest at 8, 64 and 256 connections, with Kafka's
              acks=all, against the same HTTP server that only checks the HMAC and answers.
  sink        Rows a second, CPU and memory of leadhouse sink, from Kafka into every typed table and deliveries,
              against clickhouse-go inserting the same rows, typed beforehand, on two connections.
  fill        Rows a second and memory of leadhouse backfill typing all stored rows again after every table got a
              new column, against the sink; and how many rows it writes twice when it is killed half-way.
  freshness   From receipt to visible at 1,000 events a second, with --batch-age 100ms and 1s.
  layout      Not in the gate: 20 million rows with 5 % duplicates through the sink into three layouts of
              lead_events, with IDs in time order and random ones. It takes about 25 minutes and 20 GB of disk.
  queries     Not in the gate: every view, the README's questions and the dashboard's charts over 20 million events with
              5 % duplicates while more arrive, against the same over tables that were deduplicated by hand; as views,
              and after backfill --materialize-views. It takes about 40 minutes and 25 GB of disk.

  All run on engines of their own, on free ports, in temporary directories that are gone at the end: ClickHouse (the
  "clickhouse" on the PATH, else a library that npm fetches once, 170 MB) and Apache Kafka (Java 17; Maven fetches it
  once, 45 MB). Nothing else should run meanwhile; without noise, a second run differs by some percent. With
  TMPDIR=/dev/shm their data is in memory: no figure waits for the disk either way, but freshness makes so many small
  files that the file system's own work is in its figures, and on ext4 without a journal that is a lot.

Flags of all benches:
  --rounds NUMBER (default 3; layout and queries have one)
      How often both sides take their turn. What counts is the median.
  --kafka apache|kfake (default apache)
      kfake is a Kafka in this program's memory: quick to start, and no measure of anything.
  --leadhouse FILE (default: the leadhouse beside this program)
      The binary that is measured.
  --work-dir DIR
      Keep the logs of all processes in this directory. Without it they go at the end.
  --markdown
      Print the table as Markdown.

Flags of single benches, and of the gate:
  --cell DURATION (default 5s)
      ingest: how long each server is measured at each number of connections, after a second (or as long, if that is less) for warming up.
  --rows NUMBER (default 2000000; of layout and queries 20000000)
      sink, fill, layout, queries: how many events are in the topic.
  --pass both|plain|materialized (default both)
      queries: ask the views as they are, or what --materialize-views makes of them, or first the one and then the other.
  --stream DURATION (default 30s)
      freshness: how long events flow at each interval.

Exit codes:
  0    every limit is kept
  1    a limit is missed, a row is missing, or something failed
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

// config is what a run is told.
type config struct {
	rounds    int
	kafka     string // kafkaApache or kafkaKfake
	leadhouse string // the binary
	workDir   string // empty: a temporary one
	markdown  bool

	cell   time.Duration // ingest
	rows   int           // sink, fill, layout, queries
	pass   string        // queries
	stream time.Duration // freshness

	sinkArgs []string // of every sink; none but in tests, which do not wait for batches of 3,000 rows to grow old
}

// What runs as Kafka.
const (
	kafkaApache = "apache"
	kafkaKfake  = "kfake"
)

// A bench measures one thing.
type bench struct {
	name  string
	run   func(ctx context.Context, r *rig) (results, error)
	notes []string // what is measured, for below the table
}

var (
	gate   = []bench{ingestBench, sinkBench, fillBench, freshnessBench}
	single = append(gate[:len(gate):len(gate)], layoutBench, queriesBench)
)

// command runs the program and returns its exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := newApp(stdout, stderr).RunContext(ctx, args)
	if err == nil {
		return exitOK
	}
	if _, wrong := errors.AsType[usageError](err); wrong {
		fmt.Fprintf(stderr, "bench: %v\nSee bench -h.\n", err)
		return exitUsage
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "stopped")
		return exitStopped
	}
	fmt.Fprintf(stderr, "bench: %v\n", err)
	return exitFailed
}

// usageError is an error of the command line.
type usageError struct{ error }

func newApp(stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:                  "bench",
		CustomAppHelpTemplate: strings.ReplaceAll(manual, "{{", `{{"{{"}}`),
		HideHelpCommand:       true,
		Writer:                stdout, ErrWriter: stderr,
		ExitErrHandler: func(*cli.Context, error) {}, // command does it
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usageError{err} },
	}
	app.Flags, app.Action = action(gate, stdout, stderr)
	for _, b := range single {
		c := &cli.Command{
			Name: b.name, CustomHelpTemplate: app.CustomAppHelpTemplate, HideHelpCommand: true,
			OnUsageError: app.OnUsageError,
		}
		c.Flags, c.Action = action([]bench{b}, stdout, stderr)
		app.Commands = append(app.Commands, c)
	}
	return app
}

// action is the flags that the benches have, and what runs them.
func action(benches []bench, stdout, stderr io.Writer) ([]cli.Flag, cli.ActionFunc) {
	cfg := &config{}
	flags := []cli.Flag{
		&cli.StringFlag{Name: "kafka", Value: kafkaApache, Destination: &cfg.kafka},
		&cli.StringFlag{Name: "leadhouse", Destination: &cfg.leadhouse},
		&cli.StringFlag{Name: "work-dir", Destination: &cfg.workDir},
		&cli.BoolFlag{Name: "markdown", Destination: &cfg.markdown},
	}
	has := map[string]bool{}
	for _, b := range benches {
		has[b.name] = true
	}
	if !has["layout"] && !has["queries"] {
		flags = append(flags, &cli.IntFlag{Name: "rounds", Value: 3, Destination: &cfg.rounds})
	}
	if has["ingest"] {
		flags = append(flags, &cli.DurationFlag{Name: "cell", Value: 5 * time.Second, Destination: &cfg.cell})
	}
	if has["sink"] || has["fill"] {
		flags = append(flags, &cli.IntFlag{Name: "rows", Value: 2_000_000, Destination: &cfg.rows})
	}
	if has["freshness"] {
		flags = append(flags, &cli.DurationFlag{Name: "stream", Value: 30 * time.Second, Destination: &cfg.stream})
	}
	if has["layout"] || has["queries"] {
		cfg.rounds = 1
		flags = append(flags, &cli.IntFlag{Name: "rows", Value: 20_000_000, Destination: &cfg.rows})
	}
	if has["queries"] {
		flags = append(flags, &cli.StringFlag{Name: "pass", Value: passBoth, Destination: &cfg.pass})
	}
	return flags, func(c *cli.Context) error {
		if c.Args().Present() {
			return usageError{fmt.Errorf("there is no bench %q", c.Args().First())}
		}
		if err := cfg.validate(has); err != nil {
			return usageError{err}
		}
		return measure(c.Context, *cfg, benches, stdout, stderr)
	}
}

// validate names everything that is wrong, before anything is started.
func (c *config) validate(has map[string]bool) error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.rounds < 1 || c.rounds > 99, "--rounds: %d is not 1 to 99", c.rounds)
	wrong(c.kafka != kafkaApache && c.kafka != kafkaKfake, "--kafka: %q is neither apache nor kfake", c.kafka)
	wrong(has["ingest"] && c.cell < 100*time.Millisecond, "--cell: %v is less than 100ms", c.cell)
	wrong(has["freshness"] && c.stream < time.Second, "--stream: %v is less than 1s", c.stream)
	wrong((has["sink"] || has["fill"] || has["layout"] || has["queries"]) && (c.rows < 1000 || c.rows > 100_000_000), "--rows: %d is not 1000 to 100000000", c.rows)
	wrong(has["queries"] && !slices.Contains([]string{passBoth, passPlain, passMaterialized}, c.pass), "--pass: %q is none of both, plain, materialized", c.pass)
	binary, err := local.Leadhouse(c.leadhouse)
	if c.leadhouse = binary; err != nil {
		errs = append(errs, fmt.Errorf("--leadhouse: %w", err))
	}
	return errors.Join(errs...)
}

// measure runs benches one after another and prints their figures. Its error names the limits that are missed.
func measure(ctx context.Context, cfg config, benches []bench, stdout, stderr io.Writer) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	say := newTeller(stderr)
	machine, err := describeMachine(cfg.leadhouse)
	if err != nil {
		return err
	}
	r, err := openRig(ctx, cfg, fail, say)
	if err != nil {
		return err
	}
	defer r.close()
	if machine.engines, err = r.engines(ctx); err != nil {
		return err
	}
	report := report{machine: machine}
	for _, b := range benches {
		found, err := b.run(ctx, r)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause // a process that ended by itself is why all else failed
			}
			return fmt.Errorf("%s: %w", b.name, err)
		}
		report.add(b, found)
	}
	report.print(stdout, cfg.markdown)
	return report.missed()
}

// newTeller prints lines of progress, with the time since the start.
func newTeller(to io.Writer) func(format string, args ...any) {
	began := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(to, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
}
