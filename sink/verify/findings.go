package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// findings collects what a report will say. What is more than can be listed is counted.
type findings struct {
	list []Finding
	more int64

	rowless map[key][]int64 // first offsets of events without a row, and
	unknown map[key][]int64 // of rows without an entry; in no order yet
}

func (r *findings) add(f Finding) {
	if len(r.list) >= findingsMost {
		r.more++
		return
	}
	f.Fails = kinds[f.Kind].fails
	r.list = append(r.list, f)
}

// unrecorded takes what the holes of a chunk are. A run that goes on from the chunk before is one with it.
func (r *findings) unrecorded(p *part, e explained) {
	p.sheet.LostOpen += uint64(e.open)
	p.sheet.LostAcknowledged += uint64(e.accepted)
	p.sheet.Recordless += uint64(e.recordless)
	for _, m := range e.missing {
		p.sheet.Unrecorded += uint64(m.records)
		p.sheet.Missing += uint64(m.records)
		if last := len(r.list) - 1; last >= 0 {
			if l := &r.list[last]; l.Kind == Unrecorded && l.is(p) && l.InKafka == m.inKafka && l.Last+1 == m.first {
				l.Last, l.Records, l.Events = m.next-1, l.Records+m.records, append(l.Events, m.events...)
				continue
			}
		}
		r.add(Finding{
			Kind: Unrecorded, Epoch: p.epoch, Partition: p.partition, First: m.first, Last: m.next - 1,
			Records: m.records, InKafka: m.inKafka, Events: m.events,
		})
	}
}

func (f *Finding) is(p *part) bool { return f.Epoch == p.epoch && f.Partition == p.partition }

// offsets takes single offsets of one kind.
func (r *findings) offsets(p *part, kind Kind, offsets []int64) {
	rs := together(offsets)
	if kind == NoDeadLetter {
		accepted := rs.within(p.accepted)
		p.sheet.LostAcknowledged += uint64(accepted.offsets())
		rs = rs.without(p.accepted)
		p.sheet.NoDeadLetter += uint64(rs.offsets())
		p.sheet.Missing += uint64(rs.offsets())
	}
	covered := p.inKafka(rs)
	if kind == UnknownEventRow && p.epoch > 0 {
		covered = nil // a row's position may be of an earlier epoch: what Kafka has there is not to be named
	}
	for _, part := range []struct {
		rs      runs
		inKafka bool
	}{{rs.without(covered), false}, {covered, true}} {
		for _, o := range part.rs {
			r.add(Finding{Kind: kind, Epoch: p.epoch, Partition: p.partition, First: o.first, Last: o.next - 1, Records: o.len(), InKafka: part.inKafka})
		}
	}
}

// sliced takes what a slice of the hashes has of one partition.
func (r *findings) sliced(s *scope, f sliced) {
	k := key{f.Epoch, f.Partition}
	if f.Unknown {
		k.epoch = s.epoch
		r.unknown[k] = append(r.unknown[k], f.Offsets...)
		r.more += int64(f.Events) - int64(len(f.Offsets))
		return
	}
	p := s.byKey[k]
	p.events += f.Events
	r.rowless[k] = append(r.rowless[k], f.Offsets...)
	if unlisted := f.Rowless - uint64(len(f.Offsets)); unlisted > 0 {
		r.more += int64(unlisted)
		p.sheet.NoEventRow += unlisted
		p.sheet.Missing += unlisted
	}
}

// rows is about events without a row and rows without an entry, of one partition, once all slices are in.
func (r *findings) rows(p *part) {
	k := key{p.epoch, p.partition}
	rs := together(r.rowless[k])
	accepted := rs.within(p.accepted)
	p.sheet.LostAcknowledged += uint64(accepted.offsets())
	rs = rs.without(p.accepted)
	p.sheet.NoEventRow += uint64(rs.offsets())
	p.sheet.Missing += uint64(rs.offsets())
	r.offsets(p, NoEventRow, flat(rs))
	r.offsets(p, UnknownEventRow, r.unknown[k])
	delete(r.rowless, k)
	delete(r.unknown, k)
}

func flat(rs runs) (offsets []int64) {
	for _, r := range rs {
		for o := r.first; o < r.next; o++ {
			offsets = append(offsets, o)
		}
	}
	return offsets
}

// name adds event IDs to the findings that have none and whose records Kafka has, and says which IDs have a row.
func (v *Verifier) name(ctx context.Context, r *findings, s *scope) error {
	for i := range r.list {
		f := &r.list[i]
		p := s.byKey[key{f.Epoch, f.Partition}]
		if !f.InKafka || f.Events != nil || f.Kind == CommittedPastEnd || v.names <= 0 {
			continue
		}
		kafka := v.reader(p)
		events, err := kafka.name(ctx, runs{{f.First, f.Last + 1}})
		kafka.Close()
		if err != nil {
			return err
		}
		f.Events = events
	}
	return v.markStored(ctx, r)
}

// markStored asks the event tables for the IDs that are named, by their key.
func (v *Verifier) markStored(ctx context.Context, r *findings) error {
	var ids []string
	for _, f := range r.list {
		for _, e := range f.Events {
			if e.ID != "" {
				ids = append(ids, e.ID)
			}
		}
	}
	stored := map[string]bool{}
	for batch := range slices.Chunk(ids, 1000) {
		for _, t := range v.tables {
			var found []string
			err := v.cfg.ClickHouse.QueryRow(ctx, v.sql("SELECT groupUniqArray(event_id) FROM {db}."+t+" WHERE event_id IN (?)"), batch).Scan(&found)
			if err != nil {
				return fmt.Errorf("look for events in %s: %w", t, err)
			}
			for _, id := range found {
				stored[id] = true
			}
		}
	}
	for _, f := range r.list {
		for i := range f.Events {
			f.Events[i].Stored = stored[f.Events[i].ID]
		}
	}
	return nil
}

// sorted is the list in the order of a report.
func (r *findings) sorted() []Finding {
	slices.SortStableFunc(r.list, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(kinds[a.Kind].place, kinds[b.Kind].place),
			cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.First, b.First),
		)
	})
	return r.list
}
