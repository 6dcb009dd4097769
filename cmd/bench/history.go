package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// history are the events that questions are asked about: journeys that end now, since "this month" is part of them.
func history(rows int) iter.Seq[event] {
	span := historyDays * 24 * time.Hour
	return eventsOf(local.Journeys{Seed: 1, Events: rows, Start: time.Now().UTC().Add(-span), Span: span})
}

// repeating lets some deliveries repeat an event, as leads.deliveries does, until there are n; different says, at the end,
// how many events they are of.
func repeating(events iter.Seq[event], n int, different *int) iter.Seq[event] {
	return func(yield func(event) bool) {
		next, stop := iter.Pull(events)
		defer stop()
		before := make([]event, 0, repeatsWithin) // a ring, once it is full
		for i := range n {
			chance := mix(uint64(i), 1)
			if len(before) > 0 && chance%100 < repeats {
				if !yield(before[int(chance>>32)%len(before)]) {
					return
				}
				continue
			}
			e, ok := next()
			if !ok {
				return
			}
			if len(before) < repeatsWithin {
				before = append(before, e)
			} else {
				before[*different%repeatsWithin] = e
			}
			*different++
			if !yield(e) {
				return
			}
		}
	}
}

// keepArriving has new events come in through Kafka and a sink until stop is called, which says what went wrong.
func (r *rig) keepArriving(ctx context.Context, topic, database string, group []string) (stop func() error, err error) {
	to, err := r.producer(ctx, topic)
	if err != nil {
		return nil, err
	}
	s, _, err := r.startSink(topic, database, group...)
	if err != nil {
		to.Transport.(*kafka.Transport).CloseIdleConnections()
		return nil, err
	}
	producing, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer to.Transport.(*kafka.Transport).CloseIdleConnections()
		err := arrive(producing, to, topic)
		if producing.Err() != nil && ctx.Err() == nil {
			err = nil
		}
		ended <- err
	}()
	return sync.OnceValue(func() error {
		cancel()
		err := <-ended
		s.stop()
		return err
	}), nil
}

// arrive produces until ctx ends.
func arrive(ctx context.Context, to *kafka.Client, topic string) error {
	tick := time.NewTicker(time.Second / arrivals)
	defer tick.Stop()
	var batches [partitions][]event
	n := 0
	span := historyDays * 24 * time.Hour
	for e := range eventsOf(local.Journeys{Seed: 2, Events: arriving * int(span/time.Second), Start: time.Now().UTC(), Span: span}) {
		p := partitionOf(e.key)
		batches[p] = append(batches[p], e)
		if n++; n%(arriving/arrivals) != 0 {
			continue
		}
		for p, b := range batches {
			if len(b) == 0 {
				continue
			}
			if err := produce(ctx, to, topic, p, b); err != nil {
				return fmt.Errorf("let events arrive: %w", err)
			}
			batches[p] = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// arrivals a second, each of some events.
const arrivals = 10

// materialize has backfill do so, and waits until merges are over.
func (r *rig) materialize(ctx context.Context, database string) error {
	p, err := r.startBackfill(r.server.DirectAddr(), database, "builtin", "--materialize-views")
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err = p.wait(ctx); err != nil {
		return err
	}
	r.say("materialized in %v", time.Since(began).Round(time.Second))
	return nil
}

// forget drops ClickHouse's caches, and asks the operating system to drop its own of the data files.
func (r *rig) forget(ctx context.Context) error {
	for _, cache := range []string{"MARK", "INDEX MARK", "UNCOMPRESSED", "INDEX UNCOMPRESSED", "PRIMARY INDEX", "QUERY CONDITION", "MMAP"} {
		if err := r.conn.Exec(ctx, "SYSTEM DROP "+cache+" CACHE"); err != nil {
			return fmt.Errorf("drop the %s cache: %w", strings.ToLower(cache), err)
		}
	}
	root, err := os.OpenRoot(r.server.Dir())
	if err != nil {
		return fmt.Errorf("open ClickHouse's data: %w", err)
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".bin") { // parts come and go
			return nil
		}
		f, err := root.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close()
		return uncache(f)
	})
}

var sqlBlock = regexp.MustCompile("(?s)```sql\n(.*?)```")

// readmeQuestions are the queries of the README's section "Ask". The bench runs in the repository: make bench-queries.
func readmeQuestions() ([]string, error) {
	text, err := os.ReadFile("README.md")
	if errors.Is(err, os.ErrNotExist) {
		text, err = os.ReadFile("../../README.md") // in a test
	}
	if err != nil {
		return nil, fmt.Errorf("read the README's questions: %w", err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Ask\n")
	if !ok {
		return nil, errors.New("README.md has no section Ask")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	for _, m := range sqlBlock.FindAllStringSubmatch(section, -1) {
		all = append(all, strings.TrimRight(strings.TrimSpace(m[1]), ";"))
	}
	return all, nil
}
