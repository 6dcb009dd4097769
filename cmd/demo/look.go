package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// stay lets live events trickle in, and says how to look, until ctx ends. Its error says nothing then.
func (s *story) stay(ctx context.Context) error {
	s.howToLook()
	sender, err := newSender(s.stack, s.cfg, 0)
	if err != nil {
		return err
	}
	already, _ := s.visibility.last()
	bars := s.screen.bars()
	line := bars.live()
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return sender.Run(both, live(both, s.cfg.seed)) })
	group.Go(func() error {
		s.visibility.watch(both, func(rows int) { line.set(rows - already) })
		return nil
	})
	err = group.Wait()
	bars.end()
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) { // Ctrl-C is how it is meant to end
		s.screen.say("Stopping …")
		return nil
	}
	return err
}

// howToLook prints lines that work as they are, pasted into another terminal.
func (s *story) howToLook() {
	screen, user := s.screen, s.username
	if !s.ownClickHouse {
		user = "bi" // reads only, and sees each event once
	}
	screen.chapter("Look around, in another terminal; live events trickle in meanwhile")
	if s.http != "" {
		screen.say("SQL, as a user who can only read and sees each event once:")
		screen.paste("curl 'http://%s/?user=%s&database=%s' --data-binary \\\n'%s'", s.http, user, s.database,
			"SELECT event_type, count() FROM events GROUP BY 1 FORMAT PrettyCompact")
		screen.say("The same in the browser, and with ClickHouse's own client:")
		screen.paste("http://%s/play?user=%s&database=%s", s.http, user, s.database)
	} else {
		screen.say("SQL:")
	}
	screen.paste("%s --database %s", s.client(user), s.database)
	screen.say("A delivery of your own, signed; sent twice it is still one row:")
	screen.paste("%s", s.signedCurl())
	screen.fields(
		[2]string{"ingest", "http://" + s.ingestAdmin + "/metrics  /readyz  /healthz"},
		[2]string{"sink", "http://" + s.sinkAdmin + "/metrics  /readyz  /healthz"},
		[2]string{"logs", s.cfg.workDir},
	)
	screen.print("\n")
}

// signedCurl is a command line that posts an event with its valid signature.
func (s *story) signedCurl() string {
	now := time.Now().UTC()
	body := fmt.Sprintf(`{"id":"evt_DEMO%d","type":"lead.created","createdAt":"%s","data":{"leadId":"ld_yours"}}`,
		now.UnixMilli(), now.Format("2006-01-02T15:04:05.000Z"))
	return fmt.Sprintf("curl -i %s \\\n-H '%s: %s' \\\n--data-binary '%s'",
		s.webhooks(), local.SignatureHeader, local.Sign(s.secret, []byte(body)), body)
}
