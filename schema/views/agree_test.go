package views_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema/views"
)

// More worlds than the few of every run, or the one that a failure named:
//
//	go test ./schema/views -run Agree -worlds 200
//	go test ./schema/views -run Agree/wide/seed=7 -worlds 8 -today 2026-11-24
var (
	worlds = flag.Int("worlds", 4, "how many worlds are compared with the model, of each shape")
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

func TestEveryViewAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	for _, s := range shapes() {
		for seed := range uint64(*worlds) {
			t.Run(fmt.Sprintf("%s/seed=%d", s.name, seed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(seed, theDay(t), []int{0, 900, 12, 2500}[seed%4])
				w.shuffle()
				wh := open(t, s)
				wh.load(w.deliveries)
				wh.loadLetters(w.letters())
				wh.agree(w, s, nil)
				if t.Failed() {
					t.Logf("the same again: -run '%s' -worlds %d -today %s", t.Name(), *worlds, w.today.Format(time.DateOnly))
				}
			})
		}
	}
}

// agree compares every view with the model.
func (wh *warehouse) agree(w *world, s shape, settings clickhouse.Settings) {
	wh.Helper()
	for _, name := range views.Names() {
		if compute := models()[name]; compute != nil {
			wh.compare(name, w, s, settings, compute)
		}
	}
}

// compare takes the time before and after: where a day of somebody's age ended in between, it looks again.
func (wh *warehouse) compare(view string, w *world, s shape, settings clickhouse.Settings, compute func(*model) relation) {
	wh.Helper()
	for {
		before := compute(newModel(w, s, time.Now()))
		got := wh.rows(view, before.columns, settings)
		want := before.texts()
		if view == "commission_aging" && !slices.Equal(want, compute(newModel(w, s, time.Now())).texts()) {
			continue
		}
		if !slices.Equal(got, want) {
			wh.Errorf("%s (%s) has %d rows, the model %d\n%s", view, before.columns, len(got), len(want), difference(got, want))
		}
		return
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
