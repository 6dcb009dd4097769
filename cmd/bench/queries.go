package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/leadhouse/leadhouse/deploy/clickhouse/dashboard"
	"github.com/leadhouse/leadhouse/schema/views"
)

var queriesBench = bench{
	name: "queries",
	run:  runQueries,
	notes: []string{
		"customer journeys of the last 180 days, 5 % of the deliveries repeat an event of the 500,000 before, brought in by the real sink; while the queries run, 1,000 more events a second arrive.",
		"all: SELECT count() and the maximum of every column of a view (but payload, maps and arrays) over all of history, so that no column is left out as unused; month: the same over the last 30 days, by the view's first column of time; ask: a query of the README's section \"Ask\"; chart: one of ClickHouse's dashboard (deploy/clickhouse/dashboard).",
		"the peer is the same view, word for word but for FINAL, over tables of the engine MergeTree that hold each event once and are merged into one part.",
		"cold: after ClickHouse's caches are dropped, and those of the operating system for its files as far as it lets go of them; warm: the median of three after that. Seconds of a client, with the query condition cache off.",
		"materialized: the same after backfill --materialize-views; the peer is not asked again.",
	},
}

const (
	// queryRatio is how much longer than over tables without duplicates a question may take, warm.
	queryRatio = 3

	// querySlack is not held against a question that takes no time: of 5 ms and 20 ms the one is not "three times" the other.
	querySlack = 0.05 // s

	// queryLimit is of entity and metric views, materialized.
	queryLimit = 2 // s

	// historyDays are as long as journeys take to come to their ends.
	historyDays = 180

	// warmQueries are counted, after the cold one.
	warmQueries = 3

	// arriving is how many events a second come in meanwhile.
	arriving = 1000
)

// A question is one query, in two spellings: ours, and the peer's.
type question struct {
	what   string // "leads, all"
	view   string // "" for one of the README
	ours   string
	peer   string
	timing [2]seconds // ours, the peer's
}

// seconds are of one query.
type seconds struct{ cold, warm float64 }

func runQueries(ctx context.Context, r *rig) (results, error) {
	topic := r.name("questions")
	group := []string{"--kafka-group", topic} // of both sinks: the second goes on where the first has stopped
	database, peer, err := r.queryDatabases(ctx, topic, group)
	if err != nil {
		return results{}, err
	}
	stop, err := r.keepArriving(ctx, topic, database, group)
	if err != nil {
		return results{}, err
	}
	defer func() { _ = stop() }() // what went wrong is said at the end
	t := newTable(2, "question", "cold s", "warm s", "peer, cold", "peer, warm", "ratio")
	found := results{table: t}
	all, err := r.questions(ctx, database, peer)
	if err != nil {
		return results{}, err
	}
	if r.pass != passMaterialized {
		if err := r.askAll(ctx, all, true); err != nil {
			return results{}, err
		}
		found.judge(t, "", all)
	}
	if r.pass != passPlain {
		if err := r.materialize(ctx, database); err != nil {
			return results{}, err
		}
		all = slices.DeleteFunc(all, func(q question) bool { return !q.shipped() })
		if err := r.askAll(ctx, all, false); err != nil {
			return results{}, err
		}
		t.AppendSeparator()
		found.judge(t, "materialized: ", all)
	}
	return found, stop()
}

// The passes.
const (
	passBoth         = "both"
	passPlain        = "plain"
	passMaterialized = "materialized"
)

// queryDatabases loads the events, and makes the tables of the peer.
func (r *rig) queryDatabases(ctx context.Context, topic string, group []string) (database, peer string, err error) {
	var different int
	if err := r.fill(ctx, topic, r.rows, repeating(history(r.rows), r.rows, &different)); err != nil {
		return "", "", err
	}
	database, peer = r.name("questions"), r.name("once")
	if err := r.setUp(ctx, database); err != nil {
		return "", "", err
	}
	p, err := r.load(ctx, topic, database, r.rows, group...)
	if err != nil {
		return "", "", err
	}
	wrong, err := r.wrongRows(ctx, database, different, r.rows)
	if err != nil || wrong > 0 {
		return "", "", fmt.Errorf("%d rows are missing or there twice: %w", wrong, err)
	}
	r.say("loaded: %v; %d different events", p, different)
	if r.pass == passMaterialized {
		return database, peer, nil
	}
	return database, peer, r.once(ctx, database, peer)
}

// once copies a database into tables that hold every row once and need no FINAL, and makes the views over them.
func (r *rig) once(ctx context.Context, database, peer string) error {
	if err := r.conn.Exec(ctx, "CREATE DATABASE "+peer); err != nil {
		return fmt.Errorf("make the peer's database: %w", err)
	}
	var tables []struct {
		Name string `ch:"name"`
		Key  string `ch:"sorting_key"`
	}
	if err := r.conn.Select(ctx, &tables, "SELECT name, sorting_key FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree'", database); err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	for _, t := range tables {
		from, to := database+"."+t.Name, peer+"."+t.Name
		for _, sql := range []string{
			fmt.Sprintf("CREATE TABLE %s AS %s ENGINE = MergeTree ORDER BY (%s)", to, from, t.Key),
			fmt.Sprintf("INSERT INTO %s SELECT * FROM %s SETTINGS final = 1", to, from),
			fmt.Sprintf("OPTIMIZE TABLE %s FINAL", to),
		} {
			if err := r.conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("copy %s: %w", t.Name, err)
			}
		}
	}
	var statements []string
	err := r.conn.QueryRow(ctx, "SELECT groupArray(statement) FROM (SELECT argMax(statement, revision) AS statement FROM "+
		database+".schema_changes WHERE kind = 'view' GROUP BY table_name)").Scan(&statements)
	if err != nil {
		return fmt.Errorf("read the views: %w", err)
	}
	return r.copyViews(ctx, database, peer, statements)
}

// copyViews makes views in an order of their own finding: one that stands on another, which is not there yet, waits.
func (r *rig) copyViews(ctx context.Context, database, peer string, statements []string) error {
	for len(statements) > 0 {
		var waiting []string
		var last error
		for _, s := range statements {
			s = strings.ReplaceAll(strings.ReplaceAll(s, "`"+database+"`", "`"+peer+"`"), " FINAL", "")
			if err := r.conn.Exec(ctx, s); err != nil {
				waiting, last = append(waiting, s), err
			}
		}
		if len(waiting) == len(statements) {
			return fmt.Errorf("make the peer's views: %w", last)
		}
		statements = waiting
	}
	return nil
}

// askAll measures every question: ours, and in turn with it the peer's, if that is wanted.
func (r *rig) askAll(ctx context.Context, all []question, peers bool) (err error) {
	for i := range all {
		q := &all[i]
		if q.timing[0], err = r.ask(ctx, q.ours); err == nil && peers {
			q.timing[1], err = r.ask(ctx, q.peer)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
		r.say("%s: %s s cold, %s s warm; the peer: %s, %s", q.what, number(q.timing[0].cold), number(q.timing[0].warm),
			number(q.timing[1].cold), number(q.timing[1].warm))
	}
	return nil
}

// ask runs a query once cold, and then warm.
func (r *rig) ask(ctx context.Context, query string) (s seconds, err error) {
	if err := r.forget(ctx); err != nil {
		return s, err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"use_query_condition_cache": 0}))
	var took []float64
	for range 1 + warmQueries {
		began := time.Now()
		rows, err := r.conn.Query(ctx, query)
		if err != nil {
			return s, err
		}
		for rows.Next() { // what a client shows it must have read
			continue
		}
		if err := rows.Err(); err != nil {
			return s, err
		}
		took = append(took, time.Since(began).Seconds())
	}
	return seconds{cold: took[0], warm: median(took[1:])}, nil
}

// questions are those about the views, and the README's.
func (r *rig) questions(ctx context.Context, database, peer string) ([]question, error) {
	var columns []struct {
		View string   `ch:"table"`
		Cols []string `ch:"cols"`
		Time string   `ch:"time"`
	}
	if err := r.conn.Select(ctx, &columns, `SELECT table,
			groupArrayIf(name, name != 'payload' AND NOT match(type, '^(Map|Array)')) AS cols,
			anyIf(name, match(type, '^(Nullable\\()?Date')) AS time
		FROM (SELECT * FROM system.columns ORDER BY position)
		WHERE database = ? AND table IN (SELECT name FROM system.tables WHERE database = ? AND engine = 'View')
		GROUP BY table ORDER BY table`, database, database); err != nil {
		return nil, fmt.Errorf("list the views: %w", err)
	}
	var all []question
	for _, c := range columns {
		list := make([]string, len(c.Cols))
		for i, name := range c.Cols {
			list[i] = "max(" + name + ")"
		}
		from := "SELECT count(), " + strings.Join(list, ", ") + " FROM %s." + c.View
		all = append(all, newQuestion(c.View, c.View+", all", from, database, peer))
		if c.Time != "" {
			all = append(all, newQuestion(c.View, c.View+", month", from+" WHERE "+c.Time+" >= now('UTC') - INTERVAL 30 DAY", database, peer))
		}
	}
	asked, err := readmeQuestions()
	if err != nil {
		return nil, err
	}
	for i, sql := range asked {
		all = append(all, newQuestion("", fmt.Sprintf("ask %d", i+1), strings.ReplaceAll(sql, "leadron.", "%s."), database, peer))
	}
	charts, err := dashboard.Charts()
	if err != nil {
		return nil, err
	}
	for _, c := range charts {
		sql := parameter.ReplaceAllStringFunc(c.Query, func(p string) string {
			name := parameter.FindStringSubmatch(p)[1]
			return dashboard.Params("%s")[name]
		})
		all = append(all, newQuestion("", "chart "+c.Title, sql, database, peer))
	}
	return all, nil
}

// parameter is a query's, as ClickHouse spells it.
var parameter = regexp.MustCompile(`\{(\w+):\w+\}`)

func newQuestion(view, what, format, database, peer string) question {
	return question{
		view: view, what: what,
		ours: strings.ReplaceAll(format, "%s.", database+"."),
		peer: strings.ReplaceAll(strings.ReplaceAll(format, "%s.", peer+"."), " FINAL", ""),
	}
}

// shipped reports that a question is about an analytics view, or several: those that --materialize-views makes quicker.
func (q question) shipped() bool { return q.view == "" || slices.Contains(views.Names(), q.view) }

// judge adds lines to the table and the figures that count.
func (found *results) judge(t table.Writer, mark string, all []question) {
	var slowest question
	var over, above []string
	for _, q := range all {
		ours, peers := q.timing[0], q.timing[1]
		line := table.Row{mark + q.what, number(ours.cold), number(ours.warm)}
		if peers.warm > 0 {
			line = append(line, number(peers.cold), number(peers.warm), number(ours.warm/peers.warm))
		}
		t.AppendRow(line)
		if peers.warm > 0 && ours.warm > queryRatio*peers.warm+querySlack {
			over = append(over, q.what)
		}
		if !slices.Contains(views.Names(), q.view) {
			continue
		}
		if ours.warm > slowest.timing[0].warm {
			slowest = q
		}
		if ours.warm > queryLimit {
			above = append(above, q.what)
		}
	}
	name := func(what string, of []string) string {
		if len(of) > 0 {
			what += " (" + strings.Join(of, "; ") + ")"
		}
		return mark + what
	}
	took := figure{what: name("s, the slowest view, warm: "+slowest.what, above), ours: slowest.timing[0].warm}
	if mark != "" { // of so many events views are kept as tables
		took.limit = limit{atMost, queryLimit}
	}
	found.figures = append(found.figures, took)
	if all[0].timing[1].warm > 0 {
		found.figures = append(found.figures, figure{
			what: name("questions that take more than 3 times as long as without duplicates", over), ours: float64(len(over)), limit: limit{atMost, 0},
		})
	}
}
