package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// run is the whole program.
func run(ctx context.Context, cfg config, out io.Writer) (err error) {
	var printing sync.Mutex
	began := time.Now()
	say := func(format string, args ...any) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Fprintf(out, "%7.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	say("%s", cfg.line())
	s, err := startStack(ctx, cfg, say)
	if err == nil {
		var r *report
		if r, err = s.torture(ctx); r != nil {
			err = errors.Join(err, r.err())
			fmt.Fprint(out, r)
			if file := filepath.Join(s.dir, "report.txt"); s.workDir != "" {
				err = errors.Join(err, writeFile(file, r.String()))
			}
		}
	}
	s.stop()
	if s.removeDir == nil {
		return err
	}
	if err != nil && ctx.Err() == nil {
		// What is in there says why. Under its own name it would go with the next start of anything (local.TempDir).
		kept := filepath.Join(filepath.Dir(s.dir), fmt.Sprintf("leadhouse-chaos-%d-%d", cfg.seed, os.Getpid()))
		err = errors.Join(err, os.Rename(s.dir, kept))
		say("logs and data stay in %s", kept)
	}
	return errors.Join(err, s.removeDir())
}

// torture is the run between start and end: deliver and inject, drain, audit.
func (s *stack) torture(ctx context.Context) (*report, error) {
	sender, err := s.newSender()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "faults.log"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of faults: %w", err)
	}
	defer func() { _ = log.Close() }() // lines for a reader, each written at once
	t := &tally{struck: map[string]int{}, log: func(line string) { fmt.Fprintln(log, line) }}
	r := &report{config: s.config, journal: sender.Journal(), tally: t}
	began := time.Now()
	if err := s.deliver(ctx, sender, t, r); err != nil {
		return nil, err
	}
	r.sent = time.Since(began)
	if err := s.settle(ctx, r); err != nil {
		return nil, err
	}
	r.crashes = int(s.crashes.Load())
	return r, nil
}

// deliver sends everything while the schedule is carried out.
func (s *stack) deliver(ctx context.Context, sender *local.Sender, t *tally, r *report) error {
	watching, stopWatching := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	sending, sent := context.WithCancel(ctx)
	defer sent()
	watcher.Go(func() { r.noReceipt, r.noCommit = s.watch(watching, sending, sender.Journal(), t) })
	group, within := errgroup.WithContext(ctx)
	group.Go(func() error { return s.inject(within, s.schedule(), sender.Journal(), t) })
	group.Go(func() error {
		defer sent()
		return sender.Run(within, s.each())
	})
	err := group.Wait()
	stopWatching()
	watcher.Wait()
	return err
}

// settle waits until all is through, and audits. What does not get through in time, the audit names.
func (s *stack) settle(ctx context.Context, r *report) (err error) {
	for _, w := range s.workers {
		if err := w.alive(); err != nil {
			return err
		}
	}
	began := time.Now()
	var lag string
	drained := await(ctx, "the sinks to have committed everything", s.drainTimeout, func(ctx context.Context) (bool, error) {
		log, err := s.log(ctx)
		if lag = log.behind(); err == nil && lag != "" {
			err = errors.New(lag)
		}
		return err == nil, err
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.failed.add(drained)
	r.drained = time.Since(began)
	s.say("drained after %.1f s", r.drained.Seconds())
	r.failed.add(s.lastBackfill(ctx))
	s.say("comparing %s deliveries", thousands(s.deliveries))
	if r.findings, err = s.audit(ctx, r.journal); err != nil {
		return err
	}
	err = s.verify(ctx)
	r.verified = err == nil
	r.failed.add(err)
	r.failed.add(s.fallen.err())
	return ctx.Err()
}

// lastBackfill types what a frozen sink has written late. After it there is nothing to do.
func (s *stack) lastBackfill(ctx context.Context) error {
	if err := s.backfillUntilDone(ctx); err != nil {
		return err
	}
	return s.runOnce(ctx, "plan", append(s.backfillArgs(), "--plan")...)
}

// verify is what leadhouse itself says of the books.
func (s *stack) verify(ctx context.Context) error {
	return s.runOnce(ctx, "verify",
		"verify", "--format", "json", "--kafka-brokers", s.links[toConsume].Addr(), "--kafka-topic", topic, "--kafka-group", groupID,
		"--clickhouse-addr", s.links[toClickHouse].Addr(), "--clickhouse-database", database)
}
