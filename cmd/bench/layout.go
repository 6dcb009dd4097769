package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jedib0t/go-pretty/v6/table"
)

var layoutBench = bench{
	name: "layout",
	run:  runLayout,
	notes: []string{
		fmt.Sprintf("lead_events with the columns that backfill gives it, loaded by the real sink out of Kafka; %d %% of the deliveries repeat an event of the %d before. IDs in time order are Leadron's (a ULID: time, then chance), random ones are chance alone.", repeats, repeatsWithin),
		"parts: active parts of the table while loading, the median of a look every 100 ms, and the most.",
		"whole: SELECT changes_status, count() FROM lead_events FINAL GROUP BY changes_status; month: the same WHERE occurred_at lies in November. Seconds of a client, the median of five after one that is not counted, with the query condition cache off and merges stopped.",
		"unmerged: as the loading left it; merged: after OPTIMIZE FINAL, which took the seconds beside it; fresh: after the sink has then brought in 250,000 more (5 blocks).",
	},
}

// layoutTable is the one that is laid out anew.
const layoutTable = "lead_events"

// A layout is a way to partition.
type layout struct{ name, partitionBy string }

var layouts = []layout{
	{"none", ""},
	{"by month", "toYYYYMM(occurred_at)"},
	{"hash % 8", "cityHash64(event_id) % 8"},
}

const (
	// freshBatches of the sink's size come on top of the merged table.
	freshBatches = 5

	// partsInterval is how often the parts are counted while rows come.
	partsInterval = 100 * time.Millisecond

	// measuredQueries are counted, after one that warms up.
	measuredQueries = 5
)

// layoutFigures are what one layout comes to.
type layoutFigures struct {
	ids               string
	layout            layout
	rate              float64
	parts, mostParts  uint64
	unmerged          queries
	mergeTook         time.Duration
	merged            queries
	bytes             uint64
	freshParts, wrong uint64
	fresh             queries
}

// queries are the seconds of the two.
type queries struct{ whole, month float64 }

func runLayout(ctx context.Context, r *rig) (results, error) {
	t := newTable(3, "IDs", "PARTITION BY", "rows/s", "parts", "most",
		"whole, unmerged", "month, unmerged", "whole, merged", "month, merged", "merge s", "MiB", "whole, fresh", "month, fresh", "parts")
	var wrong uint64
	for _, random := range []bool{false, true} {
		if random {
			t.AppendSeparator()
		}
		all, err := r.layoutsOf(ctx, random)
		if err != nil {
			return results{}, err
		}
		for _, f := range all {
			t.AppendRow(f.row())
			wrong += f.wrong
		}
	}
	return results{table: t, figures: []figure{
		{what: "rows missing or seen twice, of all layouts", ours: float64(wrong), limit: limit{atMost, 0}},
	}}, nil
}

func (f layoutFigures) row() table.Row {
	return table.Row{
		f.ids, f.layout.name, number(f.rate), f.parts, f.mostParts,
		number(f.unmerged.whole), number(f.unmerged.month), number(f.merged.whole), number(f.merged.month),
		number(f.mergeTook.Seconds()), number(float64(f.bytes) / (1 << 20)),
		number(f.fresh.whole), number(f.fresh.month), f.freshParts,
	}
}

// layoutsOf fills the topics of one kind of ID once, and loads every layout from them.
func (r *rig) layoutsOf(ctx context.Context, random bool) (all []layoutFigures, err error) {
	ids := "in time order"
	if random {
		ids = "random"
	}
	l := newLeads(r.rows, random)
	load := layoutLoad{topic: r.name("leads"), fresh: r.name("leads_fresh"), rows: r.rows, freshRows: min(freshBatches*batchRows, r.rows)}
	if err := r.fill(ctx, load.topic, load.rows, l.deliveries(0, load.rows, &load.events)); err != nil {
		return nil, err
	}
	if err := r.fill(ctx, load.fresh, load.freshRows, l.deliveries(load.events, load.freshRows, &load.allEvents)); err != nil {
		return nil, err
	}
	for _, layout := range layouts {
		f, err := r.layOut(ctx, layout, load)
		if err != nil {
			return nil, fmt.Errorf("IDs %s, %s: %w", ids, layout.name, err)
		}
		f.ids = ids
		all = append(all, f)
	}
	return all, errors.Join(r.deleteTopic(ctx, load.topic), r.deleteTopic(ctx, load.fresh))
}

// layoutLoad is what every layout is loaded with.
type layoutLoad struct {
	topic, fresh      string
	rows, freshRows   int // records
	events, allEvents int // different events, in the first topic and in both
}

// layOut loads and measures one layout, in a database of its own.
func (r *rig) layOut(ctx context.Context, l layout, load layoutLoad) (f layoutFigures, err error) {
	f.layout = l
	database := r.name("layout")
	if err := r.setUp(ctx, database); err != nil {
		return f, err
	}
	if err := r.partition(ctx, database, l); err != nil {
		return f, err
	}
	if err := r.loadCounting(ctx, load, database, &f); err != nil {
		return f, err
	}
	r.say("%s: %s rows/s, %d parts, at most %d", l.name, number(f.rate), f.parts, f.mostParts)
	if f.unmerged, err = r.query(ctx, database); err != nil {
		return f, err
	}
	if f.mergeTook, err = r.mergeAll(ctx, database); err != nil {
		return f, err
	}
	if f.merged, err = r.query(ctx, database); err != nil {
		return f, err
	}
	if f.bytes, err = r.count(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = ? AND table = ?", database, layoutTable); err != nil {
		return f, err
	}
	if err := r.addFresh(ctx, database, load, &f); err != nil {
		return f, err
	}
	r.say("%s: whole %s, %s, %s s; merged in %s s; %d rows wrong", l.name, number(f.unmerged.whole), number(f.merged.whole),
		number(f.fresh.whole), number(f.mergeTook.Seconds()), f.wrong)
	return f, r.drop(ctx, database)
}

// addFresh has the sink bring in more. That they are of another topic makes no difference to lead_events, but deliveries
// would take them for the records at the same offsets of the first: it is checked, and emptied, before.
func (r *rig) addFresh(ctx context.Context, database string, load layoutLoad, f *layoutFigures) error {
	wrong, err := r.wrongRows(ctx, database, load.events, load.rows)
	if err != nil {
		return err
	}
	if err := r.conn.Exec(ctx, "TRUNCATE TABLE "+database+".deliveries SYNC"); err != nil {
		return fmt.Errorf("empty deliveries: %w", err)
	}
	if _, err := r.load(ctx, load.fresh, database, load.freshRows); err != nil {
		return err
	}
	if f.freshParts, err = r.countParts(ctx, database); err != nil {
		return err
	}
	if f.fresh, err = r.query(ctx, database); err != nil {
		return err
	}
	more, err := r.wrongRows(ctx, database, load.allEvents, load.freshRows)
	f.wrong = wrong + more
	return err
}

// partition makes the table anew: what backfill has made, and PARTITION BY.
func (r *rig) partition(ctx context.Context, database string, l layout) error {
	if l.partitionBy == "" {
		return nil
	}
	var statement string
	if err := r.conn.QueryRow(ctx, "SHOW CREATE TABLE "+database+"."+layoutTable).Scan(&statement); err != nil {
		return fmt.Errorf("read the table's definition: %w", err)
	}
	const order = "\nORDER BY event_id\n"
	if strings.Count(statement, order) != 1 {
		return fmt.Errorf("the table's definition has another ORDER BY than expected:\n%s", statement)
	}
	statement = strings.Replace(statement, order, "\nPARTITION BY "+l.partitionBy+order, 1)
	for _, sql := range []string{"DROP TABLE " + database + "." + layoutTable + " SYNC", statement} {
		if err := r.conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("make the table anew: %w", err)
		}
	}
	return nil
}

// loadCounting loads the first topic and looks at the table's parts meanwhile. At the end merges are stopped: the table
// stays as the loading left it.
func (r *rig) loadCounting(ctx context.Context, load layoutLoad, database string, f *layoutFigures) error {
	counting, stop := context.WithCancel(ctx)
	defer stop()
	var counts []uint64
	counted := make(chan error, 1)
	go func() { counted <- r.countPartsUntil(counting, database, &counts) }()
	p, err := r.load(ctx, load.topic, database, load.rows)
	if err == nil {
		err = r.stopMerges(ctx, database)
	}
	stop()
	if err := errors.Join(err, <-counted); err != nil {
		return err
	}
	f.rate, f.parts = p.rate, median(counts)
	for _, n := range counts {
		f.mostParts = max(f.mostParts, n)
	}
	return nil
}

func (r *rig) countPartsUntil(ctx context.Context, database string, counts *[]uint64) error {
	tick := time.NewTicker(partsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n, err := r.countParts(ctx, database)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if n > 0 { // else nothing has come yet
			*counts = append(*counts, n)
		}
	}
}

func (r *rig) countParts(ctx context.Context, database string) (uint64, error) {
	return r.count(ctx, "SELECT count() FROM system.parts WHERE active AND database = ? AND table = ?", database, layoutTable)
}

// mergeAll merges each partition into one part, and stops merges again.
func (r *rig) mergeAll(ctx context.Context, database string) (time.Duration, error) {
	name := database + "." + layoutTable
	if err := r.conn.Exec(ctx, "SYSTEM START MERGES "+name); err != nil {
		return 0, fmt.Errorf("start merges: %w", err)
	}
	began := time.Now()
	// Once is not enough where a merge of ClickHouse's own has begun meanwhile: its parts are left out.
	err := await(ctx, "one part a partition", patience(r.rows), time.Second, func(ctx context.Context) (bool, error) {
		if err := r.conn.Exec(ctx, "OPTIMIZE TABLE "+name+" FINAL"); err != nil {
			return false, err
		}
		more, err := r.count(ctx, "SELECT toUInt64(count() - uniqExact(partition_id)) FROM system.parts WHERE active AND database = ? AND table = ?", database, layoutTable)
		return more == 0, err
	})
	took := time.Since(began)
	return took, errors.Join(err, r.stopMerges(ctx, database))
}

// query measures the two queries.
func (r *rig) query(ctx context.Context, database string) (q queries, err error) {
	from := "SELECT changes_status, count() FROM " + database + "." + layoutTable + " FINAL"
	if q.whole, err = r.seconds(ctx, from+" GROUP BY changes_status"); err != nil {
		return q, err
	}
	q.month, err = r.seconds(ctx, from+" WHERE occurred_at >= '2025-11-01' AND occurred_at < '2025-12-01' GROUP BY changes_status")
	return q, err
}

func (r *rig) seconds(ctx context.Context, query string) (float64, error) {
	// The cache would remember which granules have rows of November, which no reader's first query knows.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"use_query_condition_cache": 0}))
	var took []float64
	for i := range 1 + measuredQueries {
		began := time.Now()
		var rows []struct {
			Status *string `ch:"changes_status"`
			N      uint64  `ch:"count()"`
		}
		if err := r.conn.Select(ctx, &rows, query); err != nil {
			return 0, fmt.Errorf("query: %w", err)
		}
		if i > 0 {
			took = append(took, time.Since(began).Seconds())
		}
	}
	return median(took), nil
}
