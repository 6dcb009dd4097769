package views_test

import (
	"fmt"
	"slices"
	"testing"
)

// TestTheWorldsAreBad counts what the worlds are for: a view that agrees where nothing happened has proved nothing.
func TestTheWorldsAreBad(t *testing.T) {
	t.Parallel()
	for _, s := range shapes()[:2] {
		seen := map[string]int{}
		w := newWorld(1, theDay(t), size(1))
		m := newModel(w, s, theDay(t).Add(day/2))
		m.countEvents(seen, w)
		m.countOpportunities(seen)
		m.countOthers(seen)
		for view, compute := range models() {
			seen["rows of "+view] = len(compute(m).rows)
		}
		for what, n := range seen {
			if n == 0 && (s.name == "wide" || !slices.Contains(onlyWide, what)) {
				t.Errorf("%s: not once: %s", s.name, what)
			}
		}
	}
}

// onlyWide is what takes columns that Leadron's payloads of today lack.
var onlyWide = []string{"an event with a currency of its own", "a commission in two currencies", "problems of commission_in_several_currencies"}

// count says that something may happen, and that it has.
func count(seen map[string]int, what string, happened bool) {
	seen[what] += 0
	if happened {
		seen[what]++
	}
}

func (m *model) countEvents(seen map[string]int, w *world) {
	count(seen, "a delivery of an event that had come", len(w.deliveries) > len(w.kept()))
	seen["a delivery of an event that had come"] += len(w.deliveries) - len(w.kept())
	for entity, events := range m.events {
		for i, e := range events {
			count(seen, "two events at the same moment", i > 0 && events[i-1].at.Equal(e.at))
			count(seen, "the first moment of a month", e.at.Equal(month(e.at)))
			count(seen, "a time to come", e.at.After(m.now))
			count(seen, "an event of no entity's table", entity == "")
			count(seen, "an event without its entity's ID", entity != "" && e.text(entity+"_id") == nil)
			count(seen, "a field that does not fit", len(e.cells) > 0 && e.cells[len(e.cells)-1].bad)
			amount := e.number("amount")
			count(seen, "a payment of a negative amount", e.typ == "commission.paid" && amount != nil && amount.IsNegative())
			count(seen, "a payment of no amount", e.typ == "commission.paid" && amount == nil)
			count(seen, "an amount with nine decimals", amount != nil && !amount.Truncate(8).Equal(*amount))
			count(seen, "an event with a currency of its own", entity == "commission" && orEmpty(e.text("currency")) != "")
		}
	}
}

func (m *model) countOpportunities(seen map[string]int) {
	events := m.byID("opportunity")
	for id, o := range m.opportunities() {
		ends := 0
		for i, s := range o.stays {
			if s.exit != nil && *s.exit != "moved" {
				ends++
				count(seen, "a stage entered after the end", i < len(o.stays)-1)
			}
			count(seen, "a visit of no time", s.exited != nil && s.exited.Equal(s.entered))
		}
		count(seen, "an opportunity that ended twice", ends > 1)
		count(seen, "an opportunity open again", o.status == "open" && (o.wonAt != nil || o.lostAt != nil))
		count(seen, "an opportunity lost after it was won", o.status == "lost" && o.wonAt != nil)
		count(seen, "an opportunity won after it was lost", o.status == "won" && o.lostAt != nil)
		count(seen, "an opportunity that nobody created", o.created == nil)
		count(seen, "an opportunity created twice", len(of(events[id], "opportunity.created")) > 1)
		last := events[id][len(events[id])-1]
		count(seen, "a move to a closed stage after the end", o.status != "open" && last.typ == "opportunity.stage_changed")
	}
}

func (m *model) countOthers(seen map[string]int) {
	for _, l := range m.leads() {
		count(seen, "a deleted lead", l.deleted != nil)
		count(seen, "a lead updated after it was deleted", l.deleted != nil && l.updated.After(*l.deleted))
		count(seen, "a lead that nobody created", l.created == nil)
		for _, v := range l.visits {
			count(seen, "a status that came back", !v.first)
		}
	}
	ids := map[string]bool{}
	for _, c := range m.commissions() {
		left := c.outstanding()
		count(seen, "a commission settled to the last bit", c.settled() && left.IsZero())
		count(seen, "a commission overpaid", c.earnedAt != nil && left.IsNegative())
		count(seen, "a commission paid in part", c.payments > 0 && left.IsPositive())
		count(seen, "a commission paid that was not earned", c.payments > 0 && c.earnedAt == nil)
		count(seen, "a commission without a partner", c.partner == nil)
		count(seen, "a commission in two currencies", ids[c.id])
		ids[c.id] = true
	}
	for _, row := range m.commissionAging().rows {
		for i := range 4 {
			count(seen, fmt.Sprintf("an age of bucket %d", i), fmt.Sprint(row[4+i]) != "0")
		}
	}
	for _, row := range m.formConversion().rows {
		count(seen, "a form whose leads qualified", row[3].(int) > 0)
	}
	for _, row := range m.salesVelocityMonthly().rows {
		count(seen, "a month with a velocity", row[8].(*float64) != nil)
	}
	for _, row := range m.dataQuality().rows {
		seen["problems of "+row[0].(string)] += row[1].(int)
	}
}
