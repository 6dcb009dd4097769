package views_test

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// The model: what every view has to show, computed from the list of deliveries in plain Go, without SQL. Its rules are
// those of the package's documentation and of the comments at the views' heads, written down a second time.

// event is one of Leadron's, of all its deliveries the one that the warehouse keeps: the one received last.
type event struct {
	*delivery

	typed map[string]bool // the columns that its table has
}

// cell is a field's, nil where the warehouse has no such column or the delivery no such field.
func (e event) cell(column string) *cell {
	if !e.typed[column] || (column == "from_stage" || column == "to_stage") && e.typ != "opportunity.stage_changed" {
		return nil
	}
	for i := range e.cells {
		if e.cells[i].column == column {
			return &e.cells[i]
		}
	}
	return nil
}

func (e event) text(column string) *string {
	if c := e.cell(column); c != nil {
		return c.text
	}
	return nil
}

func (e event) number(column string) *decimal.Decimal {
	if c := e.cell(column); c != nil {
		return c.number
	}
	return nil
}

// amount is a number where none counts as 0.
func (e event) amount() decimal.Decimal {
	if d := e.number("amount"); d != nil {
		return *d
	}
	return decimal.Zero
}

// before is the order of events.
func before(a, b event) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) }

// model is a world as the views have to see it.
type model struct {
	shape      shape
	deliveries []*delivery
	events     map[string][]event // by entity, in order; those of no entity under ""
	now        time.Time
	letters    letters

	cache map[string]any // what several views stand on
}

// kept are the deliveries that win, by event ID.
func (w *world) kept() map[string]*delivery {
	kept := map[string]*delivery{}
	for _, d := range w.deliveries {
		if k := kept[d.id]; k == nil || d.received.After(k.received) {
			kept[d.id] = d
		}
	}
	return kept
}

func newModel(w *world, s shape, now time.Time) *model {
	m := &model{shape: s, deliveries: w.deliveries, events: map[string][]event{}, now: now, letters: w.letters(), cache: map[string]any{}}
	for _, d := range w.kept() {
		entity, verb, _ := strings.Cut(d.typ, ".")
		if verb == "" || s.columns[entity] == nil {
			entity = ""
		}
		m.events[entity] = append(m.events[entity], event{d, s.columns[entity]})
	}
	for _, events := range m.events {
		slices.SortFunc(events, before)
	}
	return m
}

// byID are an entity's events, by its ID, each in order.
func (m *model) byID(entity string) map[string][]event {
	groups := map[string][]event{}
	for _, e := range m.events[entity] {
		if id := e.text(entity + "_id"); id != nil {
			groups[*id] = append(groups[*id], e)
		}
	}
	return groups
}

func of(events []event, typ string) (some []event) {
	for _, e := range events {
		if e.typ == typ {
			some = append(some, e)
		}
	}
	return some
}

// firstAt and lastAt are when, nil of nothing.
func firstAt(events []event) *time.Time {
	if len(events) == 0 {
		return nil
	}
	return &events[0].at
}

func lastAt(events []event) *time.Time {
	if len(events) == 0 {
		return nil
	}
	return &events[len(events)-1].at
}

// lastKnown is the last value of the columns; of one event that of the first column that has one.
func lastKnown(events []event, columns ...string) *string {
	for _, e := range slices.Backward(events) {
		for _, column := range columns {
			if v := e.text(column); v != nil {
				return v
			}
		}
	}
	return nil
}

// between is the time from one moment to another in a unit, nil where either is missing.
func between(from, to *time.Time, unit time.Duration) *float64 {
	if from == nil || to == nil {
		return nil
	}
	f := float64(to.UnixMilli()-from.UnixMilli()) / float64(unit.Milliseconds())
	return &f
}

// median is the upper middle one of those that are there.
func median(all []*float64) *float64 { return quantile(0.5, all) }

func quantile(level float64, all []*float64) *float64 {
	var some []float64
	for _, f := range all {
		if f != nil {
			some = append(some, *f)
		}
	}
	if len(some) == 0 {
		return nil
	}
	slices.Sort(some)
	return &some[int(level*float64(len(some)))]
}

// rate is n/d with 4 digits after the point, rounded half up.
func rate(n, d int) *decimal.Decimal {
	if d == 0 {
		return nil
	}
	r := decimal.New((int64(n)*20000+int64(d))/(2*int64(d)), -4)
	return &r
}

func month(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// null is a text as the key of a map, in which NULL is not ”.
type null struct {
	text  string
	valid bool
}

func nullOf(s *string) null { return null{orEmpty(s), s != nil} }

func (n null) ptr() *string {
	if !n.valid {
		return nil
	}
	return &n.text
}

// relation is a view's rows, in any order.
type relation struct {
	columns string
	rows    [][]any
}

func (r *relation) add(values ...any) { r.rows = append(r.rows, values) }

// once computes what several views of a model stand on.
func once[T any](m *model, name string, compute func() T) T {
	if v, ok := m.cache[name]; ok {
		return v.(T)
	}
	v := compute()
	m.cache[name] = v
	return v
}
