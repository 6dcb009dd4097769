package views_test

import (
	"cmp"
	"math/big"
	"regexp"
	"time"

	"github.com/shopspring/decimal"
)

// opportunity is a row of opportunities, and its stays in stages.
type opportunity struct {
	id                     string
	stage, lead, partner   *string
	status                 string
	value                  *decimal.Decimal
	currency               string
	created, wonAt, lostAt *time.Time
	closed                 *time.Time
	reason                 *string
	updated                time.Time
	events                 int
	stays                  []stay
}

// stay is a row of opportunity_stage_history.
type stay struct {
	stage      string
	entered    time.Time
	exited     *time.Time
	exit, next *string
}

func (o *opportunity) daysToClose() *float64 { return between(o.created, o.closed, day) }

// amount is its value where none counts as 0.
func (o *opportunity) amount() decimal.Decimal {
	if o.value == nil {
		return decimal.Zero
	}
	return *o.value
}

func (m *model) opportunities() map[string]*opportunity {
	return once(m, "opportunities", func() map[string]*opportunity {
		all := map[string]*opportunity{}
		for id, events := range m.byID("opportunity") {
			o := &opportunity{
				id: id, status: "open", lead: lastKnown(events, "lead_id"), partner: lastKnown(events, "partner_id"),
				created: firstAt(of(events, "opportunity.created")), wonAt: lastAt(of(events, "opportunity.won")),
				lostAt: lastAt(of(events, "opportunity.lost")), updated: *lastAt(events), events: len(events),
			}
			in := false // in the last of its stays
			for _, e := range events {
				in = o.step(e, in)
				if v := e.number("value"); v != nil {
					o.value, o.currency = v, orEmpty(e.text("currency"))
				}
			}
			all[id] = o
		}
		return all
	})
}

var closedName = regexp.MustCompile(`(?i)(won|lost|closed)`)

// lastStage tells the stages that a CRM moves a deal into because it has been won or lost.
func lastStage(stage *string) bool { return stage == nil || closedName.MatchString(*stage) }

func (o *opportunity) step(e event, in bool) bool {
	switch e.typ {
	case "opportunity.won", "opportunity.lost":
		o.status, o.closed, o.reason = "won", &e.at, nil
		if e.typ == "opportunity.lost" {
			o.status, o.reason = "lost", e.text("reason")
		}
		if in {
			last := &o.stays[len(o.stays)-1]
			status := o.status
			last.exited, last.exit = &e.at, &status
		}
		return false
	case "opportunity.created":
		o.status, o.closed, o.reason = "open", nil, nil
		return o.enter(e.text("stage"), e.at, in)
	case "opportunity.stage_changed":
		to := e.text("to_stage")
		if o.status != "open" && lastStage(to) {
			return in
		}
		o.status, o.closed, o.reason = "open", nil, nil
		return o.enter(to, e.at, in)
	}
	return in
}

func (o *opportunity) enter(stage *string, at time.Time, in bool) bool {
	if stage == nil {
		return in
	}
	o.stage = stage
	if in {
		last := &o.stays[len(o.stays)-1]
		if last.stage == *stage {
			return true
		}
		moved := "moved"
		last.exited, last.exit, last.next = &at, &moved, stage
	}
	o.stays = append(o.stays, stay{stage: *stage, entered: at})
	return true
}

func (m *model) opportunityRows() relation {
	r := relation{columns: "opportunity_id stage status value currency created_at won_at lost_at closed_at lost_reason days_to_close updated_at lead_id partner_id events"}
	for _, o := range m.opportunities() {
		r.add(o.id, o.stage, o.status, o.value, o.currency, o.created, o.wonAt, o.lostAt, o.closed, o.reason, o.daysToClose(), o.updated, o.lead, o.partner, o.events)
	}
	return r
}

func (m *model) opportunityStageHistory() relation {
	r := relation{columns: "opportunity_id stage entered_at exited_at seconds_in_stage is_current exit next_stage opportunity_created_at currency value"}
	for _, o := range m.opportunities() {
		for _, s := range o.stays {
			r.add(o.id, s.stage, s.entered, s.exited, between(&s.entered, s.exited, time.Second), s.exited == nil, s.exit, s.next, o.created, o.currency, o.value)
		}
	}
	return r
}

func (m *model) opportunityFunnel() relation {
	r := relation{columns: "cohort_month currency step opportunities value opportunities_created rate median_days"}
	type cohort struct {
		month    time.Time
		currency string
	}
	cohorts := map[cohort]map[string]*funnelStep{}
	values := map[*funnelStep]decimal.Decimal{}
	for _, o := range m.opportunities() {
		if o.created == nil {
			continue
		}
		c := cohort{month(*o.created), o.currency}
		if cohorts[c] == nil {
			cohorts[c] = map[string]*funnelStep{}
		}
		add := func(step string, at *time.Time) {
			s := reach(cohorts[c], step, o.created, at)
			values[s] = values[s].Add(o.amount())
		}
		add("created", o.created)
		seen := map[string]bool{"created": true, "won": true, "lost": true}
		for _, s := range o.stays {
			if !seen[s.stage] {
				add(s.stage, &s.entered)
			}
			seen[s.stage] = true
		}
		if o.status != "open" {
			add(o.status, o.closed)
		}
	}
	for c, steps := range cohorts {
		for step, s := range steps {
			r.add(c.month, c.currency, step, s.count, values[s], steps["created"].count, rate(s.count, steps["created"].count), median(s.days))
		}
	}
	return r
}

func (m *model) stageConversion() relation {
	r := relation{columns: "stage visits moved_on won lost still_in moved_on_rate won_rate lost_rate median_days_in_stage"}
	type ends struct {
		by   map[string]int
		days []*float64
	}
	stages := map[string]*ends{}
	for _, o := range m.opportunities() {
		for _, s := range o.stays {
			e := stages[s.stage]
			if e == nil {
				e = &ends{by: map[string]int{}}
				stages[s.stage] = e
			}
			e.by[cmp.Or(orEmpty(s.exit), "still")]++
			e.days = append(e.days, between(&s.entered, s.exited, day))
		}
	}
	for stage, e := range stages {
		all := len(e.days)
		r.add(stage, all, e.by["moved"], e.by["won"], e.by["lost"], e.by["still"],
			rate(e.by["moved"], all), rate(e.by["won"], all), rate(e.by["lost"], all), median(e.days))
	}
	return r
}

// closings are the opportunities of a month that are closed now.
type closings struct {
	won, lost             int
	value                 decimal.Decimal
	daysToWin, daysToLose []*float64
}

func (c *closings) add(o *opportunity) {
	if o.status == "won" {
		c.won++
		c.value = c.value.Add(o.amount())
		c.daysToWin = append(c.daysToWin, o.daysToClose())
		return
	}
	c.lost++
	c.daysToLose = append(c.daysToLose, o.daysToClose())
}

func closedBy[K comparable](m *model, key func(*opportunity) K) map[K]*closings {
	all := map[K]*closings{}
	for _, o := range m.opportunities() {
		if o.status == "open" {
			continue
		}
		k := key(o)
		if all[k] == nil {
			all[k] = &closings{}
		}
		all[k].add(o)
	}
	return all
}

func (m *model) winRateMonthly() relation {
	r := relation{columns: "month closed won lost win_rate median_days_to_win median_days_to_lose"}
	for month, c := range closedBy(m, func(o *opportunity) time.Time { return month(*o.closed) }) {
		r.add(month, c.won+c.lost, c.won, c.lost, rate(c.won, c.won+c.lost), median(c.daysToWin), median(c.daysToLose))
	}
	return r
}

func (m *model) salesVelocityMonthly() relation {
	r := relation{columns: "month currency won lost won_value average_won_value win_rate median_days_to_win velocity_per_day"}
	type key struct {
		month    time.Time
		currency string
	}
	for k, c := range closedBy(m, func(o *opportunity) key { return key{month(*o.closed), o.currency} }) {
		var average *decimal.Decimal
		if c.won > 0 {
			q, _ := c.value.QuoRem(decimal.NewFromInt(int64(c.won)), 9)
			average = &q
		}
		var velocity *float64
		if days := median(c.daysToWin); days != nil && *days > 0 {
			v := asFloat(c.value) / *days
			velocity = &v
		}
		r.add(k.month, k.currency, c.won, c.lost, c.value, average, rate(c.won, c.won+c.lost), median(c.daysToWin), velocity)
	}
	return r
}

// asFloat is toFloat64 of a Decimal(38, 9): the whole number through a long double, and then the division by the scale.
func asFloat(d decimal.Decimal) float64 {
	whole := d.Shift(9).BigInt()
	f, _ := new(big.Float).SetPrec(64).SetInt(whole).Float64()
	return f / 1e9
}
