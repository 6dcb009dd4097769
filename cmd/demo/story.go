package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// demo is the whole program: it starts everything, tells the story, and stays until ctx ends.
func demo(ctx context.Context, cfg config, screen *screen) error {
	remove, err := cfg.openWorkDir()
	if err != nil {
		return err
	}
	// A process that dies ends the story, and is then what is to be told.
	alive, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	screen.title()
	stack, err := startStack(alive, cfg, fail, screen.note)
	if err == nil {
		err = (&story{stack: stack, screen: screen, cfg: cfg}).play(alive)
		stack.stop()
		screen.leftBehind(stack.howToDrop())
	}
	if err != nil && alive.Err() != nil {
		err = context.Cause(alive)
	}
	return errors.Join(err, remove())
}

// story is the tour, chapter by chapter.
type story struct {
	*stack
	screen *screen
	cfg    config

	sender     *local.Sender
	deliveries []local.Delivery // all there are
	cut        int              // how many are sent before the catalog grows
	visibility *visibility
	began      time.Time
}

func (s *story) play(ctx context.Context) error {
	if err := s.tell(ctx); err != nil || s.cfg.once {
		return err
	}
	return s.stay(ctx)
}

func (s *story) tell(ctx context.Context) error {
	for _, chapter := range []func(context.Context) error{s.createSchema, s.deliver, s.grow, s.takeStock} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

// createSchema is chapter 1: backfill reads the catalog and makes the tables.
func (s *story) createSchema(ctx context.Context) error {
	s.began = time.Now()
	if err := s.introduce(ctx); err != nil {
		return err
	}
	s.screen.chapter("The tables come from Leadron's event catalog")
	s.screen.command("leadhouse backfill --leadron-api-url " + s.leadron.URL() + " …")
	output, err := s.backfill(ctx)
	if err != nil {
		return err
	}
	s.screen.aside("%s", plain(output))
	return s.open()
}

// introduce says what runs where.
func (s *story) introduce(ctx context.Context) error {
	version, err := s.clickhouseVersion(ctx)
	if err != nil {
		return err
	}
	kafka := "kfake, in memory"
	if s.ownKafka {
		kafka = "yours: topic and group " + s.topic
	}
	server := version
	if s.ownClickHouse {
		server += ", yours: database " + s.database
	}
	s.screen.print("\n")
	s.screen.fields(
		[2]string{"Leadron", s.leadron.URL() + "  a stand-in"},
		[2]string{"Kafka", strings.Join(s.brokers, ",") + "  " + kafka},
		[2]string{"ClickHouse", s.clickhouse + "  " + server},
		[2]string{"logs", s.cfg.workDir},
	)
	return nil
}

// plain leaves out of a command's output what it logged.
func plain(output string) string {
	var kept []string
	for line := range strings.Lines(output) {
		if !strings.HasPrefix(line, "{") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// The catalog grows after three fifths of the deliveries. All of them take about as long as backfill and the reader need;
// a few are through at once.
const (
	beforeGrowth = 0.6
	deliverFor   = 13 * time.Second
	minRate      = 1000 // deliveries a second
)

// deliver is chapter 2: three fifths of the journeys.
func (s *story) deliver(ctx context.Context) (err error) {
	s.screen.chapter("Leadron delivers half a year of customer journeys, signed")
	if err := s.startPipeline(ctx); err != nil {
		return err
	}
	s.screen.command("leadhouse ingest --listen " + s.ingestAddr + " …")
	s.screen.command("leadhouse sink --clickhouse-addr " + s.clickhouse + " …")
	s.deliveries = journeys(s.cfg)
	s.cut = int(beforeGrowth * float64(len(s.deliveries)))
	rate := max(minRate, float64(len(s.deliveries))/deliverFor.Seconds())
	if s.sender, err = newSender(s.stack, s.cfg, rate); err != nil {
		return err
	}
	s.visibility = &visibility{warehouse: s.warehouse}
	return s.send(ctx, 0, s.cut, nil)
}

// send sends some of the deliveries and returns when every one that was accepted is in ClickHouse, and what runs beside has
// ended.
func (s *story) send(ctx context.Context, from, to int, beside func(context.Context) error) error {
	bars := s.screen.bars()
	defer bars.end()
	already := s.sender.Journal().Accepted()
	expected := int(float64(to-from) * (1 + duplicates))
	delivered, visible := bars.add("accepted by ingest", expected), bars.add("visible in ClickHouse", expected)

	group, ctx := errgroup.WithContext(ctx)
	watching, stopWatching := context.WithCancel(ctx)
	group.Go(func() error {
		s.visibility.watch(watching, func(rows int) {
			delivered.set(s.sender.Journal().Accepted() - already)
			visible.set(rows - already)
		})
		return nil
	})
	group.Go(func() error {
		defer stopWatching()
		if err := s.sender.Run(ctx, slices.Values(s.deliveries[from:to])); err != nil {
			return err
		}
		return s.awaitVisible(ctx, s.deliveries[:to])
	})
	if beside != nil {
		group.Go(func() error { return beside(ctx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	total := s.sender.Journal().Accepted() - already
	delivered.done(total)
	visible.done(total)
	return nil
}

// awaitVisible waits until ClickHouse has all that was accepted. If it never does, the books say what is missing.
func (s *story) awaitVisible(ctx context.Context, sent []local.Delivery) error {
	err := await(ctx, "every accepted delivery to be visible in ClickHouse", func(context.Context) (bool, error) {
		rows, err := s.visibility.last()
		return rows >= s.sender.Journal().Accepted(), err
	})
	if err != nil && ctx.Err() == nil {
		_, missing := newBooks(s.sender.Journal(), sent).balance(ctx, s.warehouse)
		err = errors.Join(err, missing)
	}
	return err
}

// grow is chapter 3: Leadron has a new event type and a new field, and backfill runs again while deliveries go on.
func (s *story) grow(ctx context.Context) error {
	s.screen.chapter("The catalog grows, and history is typed again while deliveries go on")
	grown, err := local.GrowCatalog(schema.BuiltinCatalog())
	if err != nil {
		return err
	}
	waiting, err := s.warehouse.count(ctx, "SELECT count() FROM other_events FINAL")
	if err != nil {
		return err
	}
	s.screen.say("%s events of a type that the catalog did not know, document.signed, wait in", thousands(waiting))
	s.screen.say("other_events; and lead.created has a field, campaign, for which there is no")
	s.screen.say("column. Now the catalog has both.")
	s.leadron.SetCatalog(grown)
	s.screen.command("leadhouse backfill --leadron-api-url " + s.leadron.URL() + " …")
	var output string
	err = s.send(ctx, s.cut, len(s.deliveries), func(ctx context.Context) (err error) {
		output, err = s.backfill(ctx)
		return err
	})
	if err != nil {
		return err
	}
	s.screen.aside("%s", plain(output))
	return s.showGrowth(ctx)
}

// showGrowth asks ClickHouse for what has become of the new type and the new field.
func (s *story) showGrowth(ctx context.Context) error {
	for _, q := range []struct{ what, sql string }{
		{"typed rows in document_events", "SELECT count() FROM document_events FINAL WHERE document_id IS NOT NULL"},
		{"rows left in other_events", "SELECT count() FROM other_events FINAL"},
		{"lead.created events with their campaign", "SELECT count() FROM lead_events FINAL WHERE event_type = 'lead.created' AND campaign IS NOT NULL"},
		{"lead.created events without", "SELECT count() FROM lead_events FINAL WHERE event_type = 'lead.created' AND campaign IS NULL"},
	} {
		n, err := s.warehouse.count(ctx, q.sql)
		if err != nil {
			return err
		}
		s.screen.say("%8s %s", thousands(n), q.what)
	}
	return nil
}

// takeStock is chapter 4: the tables, and the balance.
func (s *story) takeStock(ctx context.Context) error {
	s.screen.chapter("What has become of it")
	if err := s.printTables(ctx); err != nil {
		return err
	}
	books := newBooks(s.sender.Journal(), s.deliveries)
	l, err := books.balance(ctx, s.warehouse)
	if err != nil {
		return fmt.Errorf("the books do not balance:\n%w", err)
	}
	s.screen.balanced(books.deliveries(), l, time.Since(s.began))
	return nil
}
