package views_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"github.com/leadhouse/leadhouse/schema"
)

// letters are what lies beside the events: dead letters and offset gaps, in some number.
type letters struct {
	open, discarded int
	gaps, noted     []schema.Gap
}

func (w *world) letters() (l letters) {
	l.open, l.discarded = len(w.deliveries)%7, len(w.deliveries)%3
	for i := range min(2, int64(len(w.deliveries))) {
		l.gaps = append(l.gaps, schema.Gap{Partition: 1, First: 100 * i, Next: 100*i + 7, Detail: "lost", NoticedAt: w.today})
		l.noted = append(l.noted, schema.Gap{Partition: 2, First: 100 * i, Next: 100*i + 7, Detail: "lost", NoticedAt: w.today, Acknowledged: true})
	}
	return l
}

// checks collects what data_quality finds: IDs, each once.
type checks map[string]map[string]bool

func (c checks) find(check, id string) {
	if c[check] == nil {
		c[check] = map[string]bool{}
	}
	c[check][id] = true
}

func (m *model) dataQuality() relation {
	c := checks{
		"commission_paid_without_earned": nil, "commission_paid_more_than_earned": nil, "commission_in_several_currencies": nil,
		"stage_change_of_unknown_opportunity": nil, "opportunity_closed_without_created": nil, "lead_without_created": nil,
		"form_of_unknown_lead": nil, "event_without_entity_id": nil, "invalid_fields": nil, "unknown_event_types": nil,
		"event_id_conflicts": nil, "open_dead_letters": nil, "open_offset_gaps": nil, "absurd_amount": nil,
	}
	m.checkEntities(c)
	m.checkEvents(c)
	m.checkDeliveries(c)
	r := relation{columns: "check_name problems examples"}
	for check, ids := range c {
		examples := slices.Sorted(maps.Keys(ids))
		r.add(check, len(ids), examples[:min(5, len(examples))])
	}
	return r
}

func (m *model) checkEntities(c checks) {
	seen := map[string]string{}
	for _, k := range m.commissions() {
		if k.payments > 0 && k.earnedAt == nil {
			c.find("commission_paid_without_earned", k.id)
		}
		if k.earnedAt != nil && k.outstanding().IsNegative() {
			c.find("commission_paid_more_than_earned", k.id)
		}
		if other, ok := seen[k.id]; ok && other != k.currency {
			c.find("commission_in_several_currencies", k.id)
		}
		seen[k.id] = k.currency
	}
	changes := m.byID("opportunity")
	for id, o := range m.opportunities() {
		if o.created == nil && len(of(changes[id], "opportunity.stage_changed")) > 0 {
			c.find("stage_change_of_unknown_opportunity", id)
		}
		if o.created == nil && o.status != "open" {
			c.find("opportunity_closed_without_created", id)
		}
	}
	for id, l := range m.leads() {
		if l.created == nil {
			c.find("lead_without_created", id)
		}
	}
	for _, e := range of(m.events["form"], "form.submitted") {
		if lead := e.text("lead_id"); lead != nil {
			if _, known := m.leads()[*lead]; !known {
				c.find("form_of_unknown_lead", e.id)
			}
		}
	}
}

func (m *model) checkEvents(c checks) {
	absurd := decimal.New(1, 18)
	for entity, events := range m.events {
		for _, e := range events {
			if entity != "" && e.text(entity+"_id") == nil {
				c.find("event_without_entity_id", e.id)
			}
			if _, named := typeColumns[e.typ]; !named || entity == "" {
				c.find("unknown_event_types", e.id)
			}
			for _, k := range e.cells {
				if typed := e.cell(k.column); typed != nil && k.bad {
					c.find("invalid_fields", e.id)
				}
			}
			for _, column := range []string{"value", "amount"} {
				if d := e.number(column); d != nil && d.Abs().GreaterThanOrEqual(absurd) {
					c.find("absurd_amount", e.id)
				}
			}
		}
	}
}

func (m *model) checkDeliveries(c checks) {
	bodies := map[string]string{}
	for _, d := range m.deliveries {
		body := string(d.body())
		if other, ok := bodies[d.id]; ok && other != body {
			c.find("event_id_conflicts", d.id)
		}
		bodies[d.id] = body
	}
	for i := range m.letters.open {
		c.find("open_dead_letters", fmt.Sprintf("0/9/%d", i))
	}
	for _, g := range m.letters.gaps {
		c.find("open_offset_gaps", fmt.Sprintf("%d/%d/%d-%d", g.Epoch, g.Partition, g.First, g.Next-1))
	}
}

func (m *model) deliveryLatency() relation {
	r := relation{columns: "day events median_seconds_to_receive p99_seconds_to_receive median_seconds_to_load p99_seconds_to_load"}
	receive, load := map[time.Time][]*float64{}, map[time.Time][]*float64{}
	for _, events := range m.events {
		for _, e := range events {
			d := e.received.Truncate(day)
			receive[d] = append(receive[d], between(&e.at, &e.received, time.Second))
			load[d] = append(load[d], between(&e.received, &e.loaded, time.Second))
		}
	}
	for d, all := range receive {
		r.add(d, len(all), median(all), quantile(0.99, all), median(load[d]), quantile(0.99, load[d]))
	}
	return r
}

// dataFreshness is of all rows, also those that a merge will drop: the newest delivery is news, whatever it says.
func (m *model) dataFreshness() relation {
	r := relation{columns: "table_name last_occurred_at last_received_at last_loaded_at"}
	tables := map[string]*[3]*time.Time{"deliveries": {}, "dead_letters": {}, "other_events": {}}
	for entity := range m.shape.columns {
		tables[entity+"_events"] = &[3]*time.Time{}
	}
	for _, d := range m.deliveries {
		table := d.entity() + "_events"
		if tables[table] == nil || len(d.typ) == len(d.entity()) || d.typ == d.entity()+"." {
			table = "other_events"
		}
		latest(tables[table], &d.at, &d.received, &d.loaded)
		latest(tables["deliveries"], nil, &d.received, &d.loaded)
	}
	if m.letters.open+m.letters.discarded > 0 {
		at := letterTime
		latest(tables["dead_letters"], nil, &at, &at)
	}
	for table, t := range tables {
		r.add(table, t[0], t[1], t[2])
	}
	return r
}

// letterTime is when all dead letters came.
var letterTime = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func latest(of *[3]*time.Time, times ...*time.Time) {
	for i, t := range times {
		if t != nil && (of[i] == nil || t.After(*of[i])) {
			of[i] = t
		}
	}
}
