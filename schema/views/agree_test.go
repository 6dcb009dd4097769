package views_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/schema/views"
)

// More worlds than the few of every run, or the one that a failure named:
//
//	go test ./schema/views -run Agree -worlds 100
//	go test ./schema/views -run Agree/wide/seed=7$ -worlds 8 -today 2026-11-24
var (
	worlds = flag.Int("worlds", 3, "how many worlds are compared with the model, of each shape")
	today  = flag.String("today", "", "the day that the worlds lie before; UTC, today where it is empty")
)

func theDay(t testing.TB) time.Time {
	if *today == "" {
		return time.Now().UTC().Truncate(day)
	}
	d, err := time.Parse(time.DateOnly, *today)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// models are what every view has to show.
func models() map[string]func(*model) relation {
	return map[string]func(*model) relation{
		"leads": (*model).leadRows, "lead_status_history": (*model).leadStatusHistory, "opportunities": (*model).opportunityRows,
		"opportunity_stage_history": (*model).opportunityStageHistory, "partners": (*model).partnerRows, "commissions": (*model).commissionRows,
		"tasks": (*model).taskRows, "form_submissions": (*model).formSubmissions, "lead_funnel": (*model).leadFunnel,
		"lead_funnel_by_source": (*model).leadFunnelBySource, "opportunity_funnel": (*model).opportunityFunnel,
		"stage_conversion": (*model).stageConversion, "win_rate_monthly": (*model).winRateMonthly,
		"sales_velocity_monthly": (*model).salesVelocityMonthly, "commission_totals": (*model).commissionTotals,
		"commission_by_partner": (*model).commissionByPartner, "commission_aging": (*model).commissionAging,
		"commission_monthly": (*model).commissionMonthly, "partner_leaderboard": (*model).partnerLeaderboard,
		"form_conversion": (*model).formConversion, "task_completion": (*model).taskCompletion, "data_quality": (*model).dataQuality,
		"data_freshness": (*model).dataFreshness, "delivery_latency": (*model).deliveryLatency,
	}
}

// unproven are the columns that no model computes: a sentence for the reader, and an age that is another by the moment
// it is looked at.
var unproven = []string{"data_quality.meaning", "data_freshness.seconds_since_received"}

func TestEveryViewHasAModelOfAllItsColumns(t *testing.T) {
	t.Parallel()
	all, _, err := views.All("db", everything{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(1, theDay(t), 0)
	for _, v := range all {
		compute := models()[v.Name]
		if compute == nil {
			t.Errorf("no model computes %s: how do we know that its numbers are right?", v.Name)
			continue
		}
		var names []string
		for _, c := range v.Columns {
			if !slices.Contains(unproven, v.Name+"."+c.Name) {
				names = append(names, c.Name)
			}
		}
		if got := compute(newModel(w, shapes()[0], time.Now())).columns; got != strings.Join(names, " ") {
			t.Errorf("%s has the columns %v, the model %s", v.Name, names, got)
		}
	}
}

// size is how many events a world has: none, many, few.
func size(seed uint64) int { return []int{0, 1500, 12}[seed%3] }

func TestEveryViewAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	for _, s := range shapes() {
		for seed := range uint64(*worlds) {
			if s.name != "today" && s.name != "wide" && size(seed) < 100 { // those are about columns and views that are not there
				continue
			}
			t.Run(fmt.Sprintf("%s/seed=%d", s.name, seed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(seed, theDay(t), size(seed))
				w.shuffle()
				wh := open(t, s)
				wh.load(w.deliveries)
				wh.loadLetters(w.letters())
				wh.agree(w, s, nil)
				if t.Failed() {
					t.Logf("the same again: -run '%s$' -worlds %d -today %s", t.Name(), *worlds, w.today.Format(time.DateOnly))
				}
			})
		}
	}
}

// TestWhatNoModelComputes is of the columns in unproven.
func TestWhatNoModelComputes(t *testing.T) {
	t.Parallel()
	w := newWorld(202, theDay(t), 50)
	wh := open(t, shapes()[0])
	wh.load(w.deliveries)
	before := time.Now()
	var rows []struct {
		Received time.Time `ch:"received"`
		Seconds  float64   `ch:"seconds"`
	}
	wh.must(wh.conn.Select(t.Context(), &rows, fmt.Sprintf(`SELECT assumeNotNull(last_received_at) AS received,
assumeNotNull(seconds_since_received) AS seconds FROM %s.data_freshness WHERE isNotNull(last_received_at)`, wh.Database)))
	after := time.Now()
	for _, r := range rows {
		least, most := before.Sub(r.Received).Seconds()-0.001, after.Sub(r.Received).Seconds()
		if r.Seconds < least || r.Seconds > most {
			t.Errorf("%v s since %v, want between %v and %v", r.Seconds, r.Received, least, most)
		}
	}
	if len(rows) < 4 {
		t.Errorf("%d tables have received anything", len(rows))
	}
	for _, row := range wh.rows("data_quality", "meaning", nil) {
		if len(row) < 20 {
			t.Errorf("a check's meaning is %s", row)
		}
	}
}

func TestMaterializedViewsAgreeToo(t *testing.T) {
	t.Parallel()
	s, w, on := shapes()[1], newWorld(201, theDay(t), 500), true
	wh := openViews(t, s, schema.Materialize{On: &on, Every: time.Hour})
	wh.load(w.deliveries)
	wh.loadLetters(w.letters())
	wh.filled = time.Now()
	wh.must(schema.RefreshViews(t.Context(), wh.conn, wh.Database))
	wh.agree(w, s, nil)
}

// agree compares every view with the model.
func (wh *warehouse) agree(w *world, s shape, settings clickhouse.Settings) {
	wh.Helper()
	m := newModel(w, s, time.Now())
	for _, name := range views.Names() {
		compute := models()[name]
		switch {
		case slices.Contains(s.lacks, name):
			if wh.has(name) {
				wh.Errorf("%s is there without its tables", name)
			}
		case compute == nil: // another test says so
		case name == "commission_aging":
			wh.compareAges(w, s, settings)
		default:
			wh.compare(name, compute(m), settings)
		}
	}
	for _, v := range m.typeViews() {
		wh.compare(v.name, v.relation, settings)
	}
}

func (wh *warehouse) compare(view string, r relation, settings clickhouse.Settings) {
	wh.Helper()
	got, want := wh.rows(view, r.columns, settings), r.texts()
	if !slices.Equal(got, want) {
		wh.Errorf("%s (%s) has %d rows, the model %d\n%s", view, r.columns, len(got), len(want), difference(got, want))
	}
}

// compareAges computes the ages of before and of after the view's now: where a day of one ended in between, either is right.
func (wh *warehouse) compareAges(w *world, s shape, settings clickhouse.Settings) {
	wh.Helper()
	now := wh.filled
	if now.IsZero() {
		now = time.Now()
	}
	before := newModel(w, s, now).commissionAging()
	got := wh.rows("commission_aging", before.columns, settings)
	after := newModel(w, s, time.Now()).commissionAging()
	if !slices.Equal(got, before.texts()) && !slices.Equal(got, after.texts()) {
		wh.Errorf("commission_aging (%s)\n%s", after.columns, difference(got, after.texts()))
	}
}

// difference shows the first rows that only one side has.
func difference(got, want []string) string {
	var b strings.Builder
	only := func(who string, some, others []string) {
		n := 0
		for _, row := range some {
			if _, ok := slices.BinarySearch(others, row); !ok && n < 4 {
				fmt.Fprintf(&b, "only %s: %s\n", who, row)
				n++
			}
		}
	}
	only("the view", got, want)
	only("the model", want, got)
	if b.Len() == 0 {
		return "the same rows, but not each as often"
	}
	return b.String()
}
