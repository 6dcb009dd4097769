package local

import (
	"iter"
	"math/rand/v2"
	"slices"
	"time"
)

// A Delivery is one webhook as Leadron sends it.
type Delivery struct {
	ID   string    // the event's; "" if the body has none that can be read
	Type string    // e.g. "lead.created"
	Key  string    // the entity's ID, which is the Kafka record's key
	Time time.Time // createdAt
	Body []byte    // the envelope, as it goes over the wire
}

// Journeys is a world of customers in which leads come in, qualify or not, become opportunities that are won or lost, and earn partners their commissions. The same fields give the same deliveries, byte for byte.
type Journeys struct {
	// Seed distinguishes worlds.
	Seed uint64

	// Events is how many deliveries there are.
	Events int

	// Start is the moment at which the world begins. Defaults to 2026-01-05 08:00 UTC, a Monday.
	Start time.Time

	// Span is how long the deliveries' createdAt spread; the last ones lie near its end, none after it. Defaults to 180 days. Everything in the world is slower or faster with it.
	Span time.Duration

	// Documents adds a type that Leadron's catalog does not know, document.signed, to opportunities that are about to be won.
	Documents bool

	// Campaigns adds a field that the catalog does not know, campaign, to lead.created.
	Campaigns bool
}

// eventsPerLead is the mean number of deliveries that one lead brings about before the world ends, itself, its partner's and its tasks' included; measured over 1 M events. It only sets the density: the count is exact in any case.
const eventsPerLead = 5.0

// All yields the deliveries in the order of their createdAt. Each body is the receiver's to keep.
func (j Journeys) All() iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		if j.Events <= 0 {
			return
		}
		w := newWorld(j)
		for range j.Events {
			if !yield(w.next()) {
				return
			}
		}
	}
}

// daysPerSpan: a journey's steps are days apart, in a Span of 180 of them.
const daysPerSpan = 180

// A world is the state of a simulation: what will happen next, and what every actor is up to is in the closures of the steps.
type world struct {
	Journeys
	rng      *rand.Rand
	now      int64 // ms since 1970
	end      int64
	day      float64 // ms
	agenda   agenda
	ready    []Delivery // emitted by the last step, not yet yielded
	buf      []byte
	ids      int        // entities so far
	partners []*partner // the approved ones
}

func newWorld(j Journeys) *world {
	if j.Start.IsZero() {
		j.Start = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	}
	if j.Span <= 0 {
		j.Span = daysPerSpan * 24 * time.Hour
	}
	w := &world{
		Journeys: j,
		rng:      rand.New(rand.NewPCG(j.Seed, 0x6c656164686f7573)), // any constant will do
		now:      j.Start.UnixMilli(),
		end:      j.Start.Add(j.Span).UnixMilli(),
		day:      float64(j.Span.Milliseconds()) / daysPerSpan,
	}
	for range 3 { // somebody has to be there to refer the first leads
		w.after(0, 0.1, w.registerPartner)
	}
	w.after(0, 0, w.arriveLead)
	return w
}

// next runs steps until one has emitted something.
func (w *world) next() Delivery {
	for len(w.ready) == 0 {
		s := w.agenda.pop() // never empty: a lead's arrival arranges the next
		w.now = s.at
		s.do()
	}
	d := w.ready[0]
	w.ready = slices.Delete(w.ready, 0, 1) // of two at most
	return d
}

// after arranges a step between the given days from now.
func (w *world) after(minDays, maxDays float64, do func()) {
	days := minDays + (maxDays-minDays)*w.rng.Float64()
	w.agenda.push(step{at: w.now + int64(days*w.day), do: do})
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func (w *world) pick(from []string) string { return from[w.rng.IntN(len(from))] }

// A step is something that will happen.
type step struct {
	at  int64 // ms since 1970
	seq int   // in order of arrangement among those of one moment
	do  func()
}

// agenda is a binary heap of steps, earliest first. Not container/heap: its interface{} costs an allocation a step, of millions.
type agenda struct {
	steps []step
	seq   int
}

func (a *agenda) push(s step) {
	a.seq++
	s.seq = a.seq
	a.steps = append(a.steps, s)
	for i := len(a.steps) - 1; i > 0; {
		parent := (i - 1) / 2
		if !a.before(i, parent) {
			break
		}
		a.steps[i], a.steps[parent] = a.steps[parent], a.steps[i]
		i = parent
	}
}

func (a *agenda) pop() step {
	first, last := a.steps[0], len(a.steps)-1
	a.steps[0], a.steps[last] = a.steps[last], step{}
	a.steps = a.steps[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if a.before(child, least) {
				least = child
			}
		}
		if least == i {
			return first
		}
		a.steps[i], a.steps[least] = a.steps[least], a.steps[i]
		i = least
	}
}

func (a *agenda) before(i, j int) bool {
	x, y := a.steps[i], a.steps[j]
	return x.at < y.at || x.at == y.at && x.seq < y.seq
}
