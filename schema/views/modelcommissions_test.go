package views_test

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// commission is a row of commissions: what was earned and paid for one ID in one currency.
type commission struct {
	id, currency           string
	partner                *string
	earned, paid           decimal.Decimal
	earnedAt               *time.Time
	firstPaidAt, settledAt *time.Time
	lastPaidAt             *time.Time
	payments               int
	firstAt                time.Time
}

func (c *commission) outstanding() decimal.Decimal { return c.earned.Sub(c.paid) }
func (c *commission) settled() bool                { return c.payments > 0 && !c.outstanding().IsPositive() }
func (c *commission) daysToPay() *float64          { return between(c.earnedAt, c.settledAt, day) }

// currencies are those of a commission's events: an event without one has that of the first event that has one.
func currencies(events []event) (all []string) {
	first := ""
	for _, e := range slices.Backward(events) {
		if c := orEmpty(e.text("currency")); c != "" {
			first = c
		}
	}
	for _, e := range events {
		if c := orEmpty(e.text("currency")); c != "" {
			all = append(all, c)
		} else {
			all = append(all, first)
		}
	}
	return all
}

func (m *model) commissions() []*commission {
	return once(m, "commissions", func() (all []*commission) {
		for id, events := range m.byID("commission") {
			by := map[string]*commission{}
			for i, currency := range currencies(events) {
				c := by[currency]
				if c == nil {
					c = &commission{id: id, currency: currency, partner: lastKnown(events, "partner_id"), firstAt: events[i].at}
					by[currency] = c
					all = append(all, c)
				}
				c.add(events[i])
			}
			for _, c := range by {
				if c.settled() {
					c.settledAt = c.lastPaidAt
				}
			}
		}
		return all
	})
}

func (c *commission) add(e event) {
	switch e.typ {
	case "commission.earned":
		c.earned = c.earned.Add(e.amount())
		if c.earnedAt == nil {
			c.earnedAt = &e.at
		}
	case "commission.paid":
		c.paid = c.paid.Add(e.amount())
		c.payments++
		if c.firstPaidAt == nil {
			c.firstPaidAt = &e.at
		}
		c.lastPaidAt = &e.at
	}
}

func (m *model) commissionRows() relation {
	r := relation{columns: "commission_id currency partner_id earned paid outstanding earned_at first_paid_at last_paid_at payments is_settled settled_at days_to_pay first_event_at"}
	for _, c := range m.commissions() {
		r.add(c.id, c.currency, c.partner, c.earned, c.paid, c.outstanding(), c.earnedAt, c.firstPaidAt, c.lastPaidAt, c.payments,
			c.settled(), c.settledAt, c.daysToPay(), c.firstAt)
	}
	return r
}

// totals sum commissions of one currency.
type totals struct {
	commissions, settled                      int
	earned, paid, outstanding, owed, overpaid decimal.Decimal
	daysToPay                                 []*float64
}

func (t *totals) add(c *commission) {
	t.commissions++
	t.earned, t.paid, t.outstanding = t.earned.Add(c.earned), t.paid.Add(c.paid), t.outstanding.Add(c.outstanding())
	if left := c.outstanding(); left.IsPositive() {
		t.owed = t.owed.Add(left)
	} else {
		t.overpaid = t.overpaid.Add(left.Neg())
	}
	if c.settled() {
		t.settled++
	}
	t.daysToPay = append(t.daysToPay, c.daysToPay())
}

type partnerCurrency struct {
	partner  null
	currency string
}

// commissionsBy sums by a key.
func commissionsBy[K comparable](m *model, key func(*commission) K) map[K]*totals {
	all := map[K]*totals{}
	for _, c := range m.commissions() {
		k := key(c)
		if all[k] == nil {
			all[k] = &totals{}
		}
		all[k].add(c)
	}
	return all
}

func byPartner(c *commission) partnerCurrency { return partnerCurrency{nullOf(c.partner), c.currency} }

func (m *model) commissionTotals() relation {
	r := relation{columns: "currency commissions earned paid outstanding owed overpaid settled"}
	for currency, t := range commissionsBy(m, func(c *commission) string { return c.currency }) {
		r.add(currency, t.commissions, t.earned, t.paid, t.outstanding, t.owed, t.overpaid, t.settled)
	}
	return r
}

// company is a partner's, NULL of one that is not known.
func (m *model) company(partner null) *string {
	if p, ok := m.partners()[partner.text]; ok && partner.valid {
		return p.company
	}
	return nil
}

func (m *model) commissionByPartner() relation {
	r := relation{columns: "partner_id company currency commissions earned paid outstanding owed overpaid settled median_days_to_pay"}
	for k, t := range commissionsBy(m, byPartner) {
		r.add(k.partner.ptr(), m.company(k.partner), k.currency, t.commissions, t.earned, t.paid, t.outstanding, t.owed, t.overpaid, t.settled, median(t.daysToPay))
	}
	return r
}

func (m *model) commissionAging() relation {
	r := relation{columns: "partner_id company currency owed days_0_30 days_31_60 days_61_90 days_over_90 oldest_at"}
	type ages struct {
		owed   decimal.Decimal
		by     [4]decimal.Decimal
		oldest time.Time
	}
	all := map[partnerCurrency]*ages{}
	for _, c := range m.commissions() {
		if !c.outstanding().IsPositive() {
			continue
		}
		since := c.firstAt
		if c.earnedAt != nil {
			since = *c.earnedAt
		}
		a := all[byPartner(c)]
		if a == nil {
			a = &ages{oldest: since}
			all[byPartner(c)] = a
		}
		if since.Before(a.oldest) {
			a.oldest = since
		}
		age := 0 // of the four
		switch days := (m.now.UnixMilli() - since.UnixMilli()) / day.Milliseconds(); {
		case days > 90:
			age = 3
		case days > 60:
			age = 2
		case days > 30:
			age = 1
		}
		a.owed, a.by[age] = a.owed.Add(c.outstanding()), a.by[age].Add(c.outstanding())
	}
	for k, a := range all {
		r.add(k.partner.ptr(), m.company(k.partner), k.currency, a.owed, a.by[0], a.by[1], a.by[2], a.by[3], a.oldest)
	}
	return r
}

func (m *model) commissionMonthly() relation {
	r := relation{columns: "month currency earned paid commissions_earned payments outstanding_at_month_end"}
	type key struct {
		currency string
		month    time.Time
	}
	all := map[key]*commission{} // only its sums
	earnings := map[key]int{}
	for _, events := range m.byID("commission") {
		for i, currency := range currencies(events) {
			e, k := events[i], key{currency, month(events[i].at)}
			if e.typ != "commission.earned" && e.typ != "commission.paid" {
				continue
			}
			if all[k] == nil {
				all[k] = &commission{}
			}
			all[k].add(e)
			if e.typ == "commission.earned" {
				earnings[k]++
			}
		}
	}
	for k, c := range all {
		running := decimal.Zero
		for k2, c2 := range all {
			if k2.currency == k.currency && !k2.month.After(k.month) {
				running = running.Add(c2.outstanding())
			}
		}
		r.add(k.month, k.currency, c.earned, c.paid, earnings[k], c.payments, running)
	}
	return r
}

func (m *model) partnerLeaderboard() relation {
	r := relation{columns: "partner_id company currency rank is_approved commissions earned paid outstanding"}
	all := commissionsBy(m, byPartner)
	for k, t := range all {
		if !k.partner.valid {
			continue
		}
		rank := 1
		for other, t2 := range all {
			if other.partner.valid && other.currency == k.currency && t2.earned.GreaterThan(t.earned) {
				rank++
			}
		}
		p, ok := m.partners()[k.partner.text]
		r.add(k.partner.text, m.company(k.partner), k.currency, rank, ok && p.approved != nil, t.commissions, t.earned, t.paid, t.outstanding)
	}
	return r
}
