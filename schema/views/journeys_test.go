package views_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// cell is one field of a delivery's data: what is sent, and what its column has to hold.
type cell struct {
	path   string // "changes.status"
	column string // "changes_status", where the warehouse has it
	raw    string // its JSON; a field that stands there twice has both
	text   *string
	number *decimal.Decimal
	bad    bool // it fits no column: NULL, and named in _invalid_fields
}

// delivery is one webhook, with what is known of it without reading its bytes.
type delivery struct {
	id, typ          string
	at               time.Time
	cells            []cell
	received, loaded time.Time
}

func (d *delivery) entity() string {
	entity, _, _ := strings.Cut(d.typ, ".")
	return entity
}

// body is the envelope. Cells with a parent in common stand one after the other.
func (d *delivery) body() []byte {
	var data strings.Builder
	open := "" // the object that is being written
	for i, c := range d.cells {
		parent, key, nested := strings.Cut(c.path, ".")
		if !nested {
			parent, key = "", c.path
		}
		if open != "" && open != parent {
			data.WriteString("}")
		}
		if i > 0 && (parent == "" || open != parent) {
			data.WriteString(",")
		}
		switch {
		case parent != "" && open != parent:
			fmt.Fprintf(&data, "%q:{", parent)
		case parent != "":
			data.WriteString(",")
		}
		open = parent
		fmt.Fprintf(&data, "%q:%s", key, c.raw)
	}
	if open != "" {
		data.WriteString("}")
	}
	return fmt.Appendf(nil, `{"id":%q,"type":%q,"createdAt":%q,"data":{%s}}`, d.id, d.typ, d.at.Format("2006-01-02T15:04:05.000Z07:00"), data.String())
}

// world makes deliveries far worse than deploy/local's journeys: entities without a beginning, closed and reopened and
// closed again, refunds, ties, clocks gone wrong, fields that do not fit. The same seed and day make the same world.
type world struct {
	rng        *rand.Rand
	today      time.Time
	serial     int
	deliveries []*delivery
}

const day = 24 * time.Hour

// newWorld has about as many events as asked for, in the order they were thought up, each delivered once or more often.
func newWorld(seed uint64, today time.Time, events int) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 5)), today: today}
	makers := []func(){w.lead, w.lead, w.opportunity, w.opportunity, w.commission, w.commission, w.partner, w.task, w.form, w.form, w.stranger}
	for len(w.deliveries) < events {
		pick(w, makers...)()
	}
	w.redeliver()
	return w
}

func pick[T any](w *world, from ...T) T { return from[w.rng.IntN(len(from))] }

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// redeliver repeats some deliveries, a few of them with other bytes under the same ID. No two of one ID are received in
// the same millisecond.
func (w *world) redeliver() {
	for _, d := range slices.Clone(w.deliveries) {
		for n := 1; w.chance(15) && n < 4; n++ {
			again := *d
			again.received = d.received.Add(time.Duration(n)*time.Hour + w.millis(time.Minute))
			again.loaded = again.received.Add(w.millis(time.Minute))
			if w.chance(10) && len(d.cells) > 0 { // the ID stays, and the entity, so that the table does
				again.cells = d.cells[:len(d.cells)-1]
				again.at = d.at.Add(pick(w, -40*time.Hour, 0, 40*time.Hour))
				if later := again.received.Sub(d.received); w.chance(50) { // then it is the first that wins
					again.received = d.received.Add(-later)
				}
			}
			w.deliveries = append(w.deliveries, &again)
		}
	}
}

// shuffle changes the order of arrival.
func (w *world) shuffle() {
	w.rng.Shuffle(len(w.deliveries), func(i, j int) { w.deliveries[i], w.deliveries[j] = w.deliveries[j], w.deliveries[i] })
}

func (w *world) millis(below time.Duration) time.Duration {
	return time.Duration(w.rng.Int64N(below.Milliseconds())) * time.Millisecond
}

// begin is when an entity's story starts: in the last half year, often enough at the edge of a month or of an age.
func (w *world) begin() time.Time {
	switch w.rng.IntN(6) {
	case 0:
		month := time.Date(w.today.Year(), w.today.Month()-time.Month(w.rng.IntN(5)), 1, 0, 0, 0, 0, time.UTC)
		return month.Add(pick(w, -time.Millisecond, 0, 0, time.Millisecond, -time.Hour))
	case 1:
		return w.edge()
	}
	return w.today.Add(-w.millis(150 * day)).Add(2 * day)
}

// edge is about as many days ago as the edges of an age: so many full days at some hour of today, one less at another.
func (w *world) edge() time.Time {
	age := pick(w, 0, 1, 30, 31, 32, 60, 61, 62, 90, 91, 92)
	return w.today.Add(-time.Duration(age) * day).Add(w.millis(day))
}

// later is the next event's time: a while after, at the same moment, or before.
func (w *world) later(t time.Time) time.Time {
	switch w.rng.IntN(8) {
	case 0, 1:
		return t
	case 2:
		return t.Add(pick(w, -time.Millisecond, time.Millisecond))
	case 3:
		return t.Add(-w.millis(10 * day))
	case 4:
		return t.Add(w.millis(time.Hour))
	}
	return t.Add(w.millis(25 * day))
}

func (w *world) emit(typ string, at time.Time, cells ...[]cell) {
	d := &delivery{id: fmt.Sprintf("evt_%08x%04d", w.rng.Uint32(), w.serial), typ: typ, at: at, cells: slices.Concat(cells...)}
	w.serial++
	lag := pick(w, w.millis(5*time.Second), w.millis(5*time.Second), w.millis(3*time.Hour), -w.millis(time.Minute))
	d.received = at.Add(lag)
	d.loaded = d.received.Add(pick(w, w.millis(2*time.Second), w.millis(2*time.Second), w.millis(time.Hour), -w.millis(time.Second)))
	w.deliveries = append(w.deliveries, d)
}

// text is a text field, which may be absent, null, or nothing that fits.
func (w *world) text(path, value string) []cell {
	quoted, err := json.Marshal(value)
	if err != nil {
		panic(err) // of a string: never
	}
	c := cell{path: path, raw: string(quoted), text: &value}
	return w.spoil(c, pick(w, `5`, `{"a":1}`, `["x"]`, `true`))
}

// number is the same with a number.
func (w *world) number(path, value string) []cell {
	d := decimal.RequireFromString(value)
	return w.spoil(cell{path: path, raw: value, number: &d}, pick(w, `"12.5"`, `1e29`, `0.0000000001`, `12345.1234567891`, `[]`, `1e400`))
}

func (w *world) spoil(c cell, misfit string) []cell {
	c.column = map[string]string{
		"leadId": "lead_id", "opportunityId": "opportunity_id", "partnerId": "partner_id", "commissionId": "commission_id",
		"taskId": "task_id", "assigneeId": "assignee_id", "formId": "form_id", "from": "from_stage", "to": "to_stage",
	}[c.path]
	if c.column == "" {
		c.column = strings.ReplaceAll(c.path, ".", "_")
	}
	switch n := w.rng.IntN(100); {
	case n < 4:
		return nil
	case n < 7:
		c.raw, c.text, c.number = "null", nil, nil
	case n < 9:
		c.raw, c.text, c.number, c.bad = misfit, nil, nil, true
	case n < 10 && !strings.Contains(c.path, "."):
		c.raw, c.text, c.number, c.bad = fmt.Sprintf("%s,%q:%s", c.raw, c.path, c.raw), nil, nil, true
	}
	return []cell{c}
}

// sometimes leaves cells away.
func (w *world) sometimes(percent int, cells []cell) []cell {
	if w.chance(percent) {
		return cells
	}
	return nil
}
