package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// upAgain bounds a restart, and what is tried again while other faults go on.
const upAgain = 3 * time.Minute

// A tally counts the faults that met something, by class.
type tally struct {
	mu     sync.Mutex
	struck map[string]int
	missed int
	log    func(string)
}

func (t *tally) add(f fault, began time.Time, struck bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if struck {
		t.struck[f.className()]++
		t.log(fmt.Sprintf("%s done %s", f, time.Since(began).Round(time.Millisecond)))
		return
	}
	t.missed++
	t.log(fmt.Sprintf("%s met nothing", f))
}

func (t *tally) total() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range maps.Values(t.struck) {
		n += c
	}
	return n
}

// receiptWithin is how long Kafka's next fault waits for one: no longer than that, because all deliveries may be sent.
const receiptWithin = 10 * time.Second

// inject carries out the schedule: each target's faults one after the other, those of different targets at the same time.
// It returns when all are over and everything runs again. An error is of the harness: something did not come back.
//
// Kafka takes seconds to start. So that a run is no single outage, its next fault waits until a receipt has come.
func (s *stack) inject(ctx context.Context, faults []fault, j *local.Journal, t *tally) error {
	queues := map[string][]fault{}
	for _, f := range faults {
		queues[f.target] = append(queues[f.target], f)
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, target := range slices.Sorted(maps.Keys(queues)) {
		group.Go(func() error {
			for _, f := range queues[target] {
				pause(ctx, time.Until(start.Add(f.at)))
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				began := time.Now()
				struck, err := s.strike(ctx, f)
				if err != nil {
					return fmt.Errorf("%s: %w", f, err)
				}
				t.add(f, began, struck)
				if target == kafkaServer {
					after := j.Accepted()
					_ = await(ctx, "a receipt", receiptWithin, func(context.Context) (bool, error) { return j.Accepted() > after, nil })
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// strike carries out one fault and returns when it is over; struck is whether it met something.
func (s *stack) strike(ctx context.Context, f fault) (struck bool, err error) {
	switch {
	case s.links[f.target] != nil:
		return strikeLink(ctx, s.links[f.target], f) > 0, nil
	case s.workers[f.target] != nil:
		return true, strikeWorker(ctx, s.workers[f.target], f)
	case f.target == clickhouseServer:
		return true, s.strikeClickHouse(ctx, f)
	case f.target == kafkaServer:
		return true, s.strikeKafka(ctx, f)
	case f.kind == "grow-schema":
		return true, errors.Join(s.growCatalog(), s.backfillUntilDone(ctx))
	case f.kind == "kill-backfill":
		return true, s.killBackfill(ctx, f)
	case f.kind == "drop-table-restore":
		return true, s.dropAndRestore(ctx)
	}
	return false, fmt.Errorf("nobody knows how to do that")
}

// connectionWithin is how long a fault waits for a connection to meet: while an engine is down, there is none.
const connectionWithin = 10 * time.Second

// strikeLink returns how many connections were met.
func strikeLink(ctx context.Context, p *local.Proxy, f fault) (met int) {
	_ = await(ctx, "a connection", connectionWithin, func(context.Context) (bool, error) { return p.Open() > 0, nil })
	limited, cancel := context.WithTimeout(ctx, f.length)
	defer cancel()
	once := func(struck bool) int {
		if struck {
			return 1
		}
		return 0
	}
	switch f.kind {
	case "cut":
		return p.Cut()
	case "cut-one":
		return p.CutOne()
	case "half-close-up":
		return p.HalfClose(true)
	case "half-close-down":
		return p.HalfClose(false)
	case "lose-answer":
		return once(p.LoseAnswer(limited))
	case "cut-insert":
		return once(p.CutInsert(limited))
	case "lose-insert-answer":
		return once(p.LoseInsertAnswer(limited))
	case "refuse":
		met = p.SetAway(true)
		pause(ctx, f.length)
		p.SetAway(false)
	case "stall":
		met = p.Stall(true)
		pause(ctx, f.length)
		p.Stall(false)
	case "delay":
		met = p.Slow(f.length/4, 0)
		pause(ctx, f.length)
		p.Slow(0, 0)
	case "throttle":
		met = p.Slow(0, f.size)
		pause(ctx, f.length)
		p.Slow(0, 0)
	}
	return met
}

func strikeWorker(ctx context.Context, w *worker, f fault) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.alive(); err != nil {
		return err
	}
	switch f.kind {
	case "freeze", "freeze-past-session":
		if err := w.program.Pause(); err != nil {
			return err
		}
		pause(ctx, f.length)
		return w.program.Continue()
	case "leave-and-join":
		w.stop()
	default:
		w.kill()
	}
	pause(ctx, f.length)
	return w.start()
}

func (s *stack) strikeClickHouse(ctx context.Context, f fault) error {
	if f.kind == "freeze" {
		if err := s.clickhouse.Pause(); err != nil {
			return nil //nolint:nilerr // it has ended by itself and is being started again
		}
		pause(ctx, f.length)
		return s.clickhouse.Continue()
	}
	s.clickhouse.Kill()
	pause(ctx, f.length)
	return s.clickhouse.Restart(ctx)
}

func (s *stack) strikeKafka(ctx context.Context, f fault) error {
	if f.kind == "freeze" {
		if err := s.apache.Pause(); err != nil {
			return err
		}
		pause(ctx, f.length)
		return s.apache.Continue()
	}
	s.apache.Kill()
	pause(ctx, f.length)
	return s.apache.Restart(ctx)
}

// backfillUntilDone is an operator's: run it again until it says that all is done.
func (s *stack) backfillUntilDone(ctx context.Context) error {
	return await(ctx, "backfill to be done", upAgain, func(ctx context.Context) (bool, error) {
		err := s.backfill(ctx, "backfill")
		return err == nil, err
	})
}

func (s *stack) killBackfill(ctx context.Context, f fault) error {
	w := &worker{name: "backfill", path: s.leadhouse, args: s.backfillArgs(), env: environment(), logDir: s.dir, ended: func(error) {}}
	if err := w.start(); err != nil {
		return err
	}
	pause(ctx, f.length)
	w.kill()
	return s.backfillUntilDone(ctx)
}

// droppedTable is the one that most events go to.
const droppedTable = "lead_events"

// dropAndRestore loses a table in the middle of things and gets it back as an operator would: backfill makes it again, the
// group is set to the beginning of the log, and what is there a second time collapses. Kafka must still have all of it.
//
// Reading all again would mend what was lost before: so that is looked for first.
func (s *stack) dropAndRestore(ctx context.Context) error {
	if err := s.untilUp(ctx, "look at what is committed", s.checkPrefix); err != nil {
		return err
	}
	err := s.untilUp(ctx, "drop a table", func(ctx context.Context) error {
		_, err := s.clickhouse.Query(ctx, "DROP TABLE IF EXISTS "+database+"."+droppedTable+" SYNC")
		return err
	})
	if err != nil {
		return err
	}
	if err := s.backfillUntilDone(ctx); err != nil {
		return err
	}
	for _, name := range sinks {
		w := s.workers[name]
		w.mu.Lock()
		defer w.mu.Unlock()
	}
	var ends sync.WaitGroup
	for _, name := range sinks {
		ends.Go(s.workers[name].stop)
	}
	ends.Wait()
	if err := s.untilUp(ctx, "set the group to the beginning", s.rewind); err != nil {
		return err
	}
	for _, name := range sinks {
		if err := s.workers[name].start(); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) untilUp(ctx context.Context, what string, do func(context.Context) error) error {
	return await(ctx, what, upAgain, func(ctx context.Context) (bool, error) {
		err := do(ctx)
		return err == nil, err
	})
}

// rewind sets the group's offsets to the beginning. Kafka refuses it while the group has members.
func (s *stack) rewind(ctx context.Context) error {
	log, err := s.log(ctx)
	if err != nil {
		return err
	}
	var commits []kafka.OffsetCommit
	for p := range log.first {
		commits = append(commits, kafka.OffsetCommit{Partition: p, Offset: log.first[p]})
	}
	answer, err := s.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: groupID, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits},
	})
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	var errs []error
	for _, p := range answer.Topics[topic] {
		errs = append(errs, p.Error)
	}
	return errors.Join(errs...)
}

// kafkaLog is what Kafka holds of the topic, and how far the group is, by partition.
type kafkaLog struct{ first, end, committed map[int]int64 }

func (s *stack) log(ctx context.Context) (l kafkaLog, err error) {
	l = kafkaLog{first: map[int]int64{}, end: map[int]int64{}}
	var ask []kafka.OffsetRequest
	for p := range partitions {
		ask = append(ask, kafka.FirstOffsetOf(p), kafka.LastOffsetOf(p))
	}
	answer, err := s.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: ask}})
	if err != nil {
		return l, fmt.Errorf("ask Kafka for offsets: %w", err)
	}
	for _, p := range answer.Topics[topic] {
		if p.Error != nil {
			return l, fmt.Errorf("ask Kafka for offsets: %w", p.Error)
		}
		l.first[p.Partition], l.end[p.Partition] = p.FirstOffset, p.LastOffset
	}
	if len(l.end) != partitions {
		return l, fmt.Errorf("ask Kafka for offsets: it told %d of %d", len(l.end), partitions)
	}
	l.committed, err = s.client.ConsumerOffsets(ctx, kafka.TopicAndGroup{Topic: topic, GroupId: groupID})
	if err != nil {
		return l, fmt.Errorf("ask Kafka for committed offsets: %w", err)
	}
	return l, nil
}

func (l kafkaLog) sum() (n int) {
	for o := range maps.Values(l.committed) {
		n += int(max(o, 0)) // -1: nothing yet
	}
	return n
}

// behind names the partitions that are not committed to their end; "" when all are.
func (l kafkaLog) behind() string {
	var list []string
	for _, p := range slices.Sorted(maps.Keys(l.end)) {
		if l.committed[p] != l.end[p] && (l.end[p] > 0 || l.committed[p] > 0) {
			list = append(list, fmt.Sprintf("%d: %d of %d", p, l.committed[p], l.end[p]))
		}
	}
	return strings.Join(list, ", ")
}
