package local

import (
	"context"
	"iter"
	"time"
)

// A parcel is a delivery on its way.
type parcel struct {
	Delivery
	signature []string // the header's values; nil for a missing header
	due       time.Time
	again     bool // send it once more after its receipt
	impatient bool
	forged    bool
}

// parcels are the deliveries as they go out: doubled, with forgeries among them, and out of order.
func (s *Sender) parcels(deliveries iter.Seq[Delivery]) iter.Seq[parcel] {
	return func(yield func(parcel) bool) {
		var shelf shelf
		for d := range deliveries {
			for _, p := range s.pack(d) {
				if s.rng.Float64() < s.cfg.Reordered {
					shelf.put(p, 1+s.rng.IntN(200))
					continue
				}
				if !yield(p) {
					return
				}
				for _, late := range shelf.pass() {
					if !yield(late) {
						return
					}
				}
			}
		}
		for _, p := range shelf.parcels {
			if !yield(p) {
				return
			}
		}
	}
}

// pack decides what becomes of a delivery.
func (s *Sender) pack(d Delivery) []parcel {
	p := parcel{Delivery: d, signature: []string{s.sign(d.Body)}}
	p.impatient = s.rng.Float64() < s.cfg.Impatient
	parcels := []parcel{p}
	if s.rng.Float64() < s.cfg.Duplicates {
		if s.rng.IntN(2) == 0 {
			parcels[0].again = true
		} else {
			parcels = append(parcels, p)
		}
	}
	if s.rng.Float64() < s.cfg.Forged {
		parcels = append(parcels, s.forge())
	}
	return parcels
}

// A shelf holds parcels until others have overtaken them.
type shelf struct {
	parcels []parcel
	passes  []int // how many others may still pass each
}

func (s *shelf) put(p parcel, passes int) {
	s.parcels = append(s.parcels, p)
	s.passes = append(s.passes, passes)
}

// pass notes that one parcel has passed, and returns those that have been passed often enough.
func (s *shelf) pass() (out []parcel) {
	kept := 0
	for i, p := range s.parcels {
		if s.passes[i]--; s.passes[i] <= 0 {
			out = append(out, p)
			continue
		}
		s.parcels[kept], s.passes[kept] = p, s.passes[i]
		kept++
	}
	s.parcels, s.passes = s.parcels[:kept], s.passes[:kept]
	return out
}

// pace gives parcels their moments.
type pace struct {
	next time.Time
	gap  time.Duration // 0: no pace
}

func newPace(rate float64) *pace {
	p := &pace{next: time.Now()}
	if rate > 0 {
		p.gap = time.Duration(float64(time.Second) / rate)
	}
	return p
}

// await returns at the next moment, which stays what it was for one who comes late: the lateness counts as latency then.
func (p *pace) await(ctx context.Context) (due time.Time, err error) {
	if p.gap == 0 {
		return time.Now(), ctx.Err()
	}
	due = p.next
	p.next = due.Add(p.gap)
	if d := time.Until(due); d > 0 {
		return due, wait(ctx, d)
	}
	return due, ctx.Err()
}
