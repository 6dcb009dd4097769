package main

import (
	"iter"
	"strconv"
	"time"
)

// leads are the events of the layouts: those of one entity, so that all are rows of one table, spread over a year, and
// cheap to make. Event k is the same whenever it is asked for, so that an old one can be delivered again.
type leads struct {
	random bool // event IDs of chance alone, and not of time and chance as Leadron's
	step   time.Duration
}

var (
	// leadsStart and leadsSpan leave the last days of the year to the fresh events: they go into its last month.
	leadsStart = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	leadsSpan  = 354 * 24 * time.Hour
)

const (
	// repeats is the share of deliveries, in percent, that repeat an event,
	repeats = 5

	// repeatsWithin so many events before: of 20 million in a year, nine days. What is repeated lies in another part.
	repeatsWithin = 500_000
)

// newLeads spreads a number of deliveries over the year.
func newLeads(rows int, random bool) leads { return leads{random, leadsSpan / time.Duration(rows)} }

// deliveries are n of them, with repetitions, and begin with the event of a number. next says, at the end, which is the
// next: how many different ones there have been.
func (l leads) deliveries(from, n int, next *int) iter.Seq[event] {
	return func(yield func(event) bool) {
		k := from
		defer func() { *next = k }()
		for i := range n {
			chance := mix(uint64(from+i), 1)
			which := k
			if k > 0 && chance%100 < repeats {
				which = k - 1 - int(chance>>32)%min(k, repeatsWithin)
			} else {
				k++
			}
			if !yield(l.event(which)) {
				return
			}
		}
	}
}

var leadStatuses = []string{"contacted", "contacted", "qualified", "unqualified", "contacted", "lost"}

// event makes the k-th.
func (l leads) event(k int) event {
	at := leadsStart.Add(time.Duration(k) * l.step)
	chance := mix(uint64(k), 2)
	e := event{typ: "lead.updated"}
	// A lead's events lie near each other.
	b := append(make([]byte, 0, 24), "ld_"...)
	e.key = string(appendBase32(b, mix(uint64(k/4), 3), 13))

	b = append(make([]byte, 0, 192), `{"id":"`...)
	begin := len(b)
	b = append(b, "evt_"...)
	if l.random {
		b = appendBase32(b, mix(uint64(k), 4), 10)
	} else {
		b = appendBase32(b, uint64(at.UnixMilli()), 10)
	}
	b = appendBase32(b, mix(uint64(k), 5), 8)
	b = appendBase32(b, mix(uint64(k), 6), 8)
	e.id = string(b[begin:])
	if k%4 == 0 {
		e.typ = "lead.created"
	}
	b = append(append(b, `","type":"`...), e.typ...)
	b = at.AppendFormat(append(b, `","createdAt":"`...), "2006-01-02T15:04:05.000Z")
	b = append(append(b, `","data":{"leadId":"`...), e.key...)
	if k%4 == 0 {
		b = strconv.AppendUint(append(b, `","email":"lead.`...), chance%1_000_000, 10)
		b = append(b, `@acme.com","source":"web_form"}}`...)
	} else {
		b = append(append(b, `","changes":{"status":"`...), leadStatuses[chance%uint64(len(leadStatuses))]...)
		b = append(b, `"}}}`...)
	}
	e.body = b
	return e
}

// appendBase32 writes the lowest digits of a number in the alphabet of ULIDs.
func appendBase32(b []byte, x uint64, digits int) []byte {
	for shift := 5 * (digits - 1); shift >= 0; shift -= 5 {
		b = append(b, "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[x>>shift&31])
	}
	return b
}

// mix is splitmix64: a number that looks like chance, and is the same for the same number and purpose.
func mix(n, purpose uint64) uint64 {
	x := n*0x9e3779b97f4a7c15 + purpose<<56
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
