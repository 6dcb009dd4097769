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
func (s *story) stay(ctx context.Context) (err error) {
	post, err := s.howToLook(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, post.stop()) }()
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

// howToLook prints lines that work as they are, pasted into another terminal or a browser.
func (s *story) howToLook(ctx context.Context) (post *signpost, err error) {
	screen, user := s.screen, s.username
	if !s.ownClickHouse {
		user = "bi" // reads only, and sees each event once
	}
	if s.http != "" {
		if post, err = s.startSignpost(ctx, user); err != nil {
			return nil, err
		}
	}
	screen.chapter("Look around, in another terminal; live events trickle in meanwhile")
	if post != nil {
		screen.say("Charts of the views, in the browser; and SQL, as a user who can only read:")
		screen.paste("%s", post.url)
		screen.paste("http://%s/play?user=%s&database=%s", s.http, user, s.database)
		screen.say("The same in a terminal, also with ClickHouse's own client:")
		screen.paste("curl 'http://%s/?user=%s&database=%s' --data-binary \\\n'%s FORMAT PrettyCompact'", s.http, user, s.database,
			"SELECT check_name, problems, examples FROM data_quality")
	} else {
		screen.say("SQL:")
	}
	screen.paste("%s --database %s", s.client(user), s.database)
	screen.say("Questions to begin with:")
	for _, q := range questions() {
		screen.paste("%s", q)
	}
	screen.say("A delivery of your own, signed; sent twice it is still one row:")
	screen.paste("%s", s.signedCurl())
	screen.fields(
		[2]string{"ingest", "http://" + s.ingestAdmin + "/metrics  /readyz  /healthz"},
		[2]string{"sink", "http://" + s.sinkAdmin + "/metrics  /readyz  /healthz"},
		[2]string{"logs", s.cfg.workDir},
	)
	screen.print("\n")
	return post, nil
}

// questions are what one asks first, each of a view.
func questions() []string {
	return []string{
		"SELECT * FROM lead_funnel_by_source WHERE cohort_month = toStartOfMonth(now('UTC'))",
		"SELECT month, win_rate, median_days_to_win FROM win_rate_monthly ORDER BY month",
		"SELECT stage, visits, moved_on_rate, median_days_in_stage FROM stage_conversion",
		"SELECT * FROM commission_aging ORDER BY owed DESC",
		"SELECT table_name, seconds_since_received FROM data_freshness",
	}
}

// signedCurl is a command line that posts an event with its valid signature.
func (s *story) signedCurl() string {
	now := time.Now().UTC()
	body := fmt.Sprintf(`{"id":"evt_DEMO%d","type":"lead.created","createdAt":"%s","data":{"leadId":"ld_yours"}}`,
		now.UnixMilli(), now.Format("2006-01-02T15:04:05.000Z"))
	return fmt.Sprintf("curl -i %s \\\n-H '%s: %s' \\\n--data-binary '%s'",
		s.webhooks(), local.SignatureHeader, local.Sign(s.secret, []byte(body)), body)
}
