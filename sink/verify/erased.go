package verify

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

// eraseGrace is how old a tombstone must be before what it covers has to be blanked: `leadhouse erase` waits for two of the
// sinks' reload intervals, 10 s, and then for ClickHouse to rewrite the parts that hold the lead's rows.
const eraseGrace = time.Hour

// leftMost bounds the rows that are looked at in one table.
const leftMost = 100_000

// left is a row, or a dead letter, that has bytes although a tombstone covers it.
type left struct {
	epoch     uint32
	partition int32
	offset    int64
	eventID   string // "" of a dead letter
	lead      string
}

// erased looks for what erasures have left. SQL finds what may be it, and **schema's rule, which sinks and the erasure go by,
// decides**: nothing is named that they would not blank. In a table without lead_id, a leadId that is no plain string is not
// found.
func (v *Verifier) erased(ctx context.Context, r *findings, s *scope) error {
	if v.stones == 0 {
		return nil
	}
	leads, err := v.oldTombstones(ctx)
	if err != nil || len(leads) == 0 {
		return err
	}
	v.cfg.Progress.Start("look for what erasures have left", uint64(len(v.tables)+1))
	defer v.cfg.Progress.Done()
	stones := schema.NewTombstones(leads...)
	var all []left
	for _, t := range v.tables {
		found, err := v.leftRows(ctx, s, t, stones)
		if err != nil {
			return err
		}
		all = append(all, found...)
		v.cfg.Progress.Add(1)
	}
	letters, err := v.leftLetters(ctx, stones)
	if err != nil {
		return err
	}
	v.cfg.Progress.Add(1)
	r.left(append(all, letters...))
	return nil
}

// oldTombstones are the leads whose erasure has had its time, by ClickHouse's clock.
func (v *Verifier) oldTombstones(ctx context.Context) (leads []string, err error) {
	rows, err := v.cfg.ClickHouse.Query(ctx, v.sql("SELECT DISTINCT entity_id FROM {db}.erasures WHERE "+oldOnes))
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read erasures: %w", err)
		}
		leads = append(leads, id)
	}
	return leads, rows.Err()
}

var oldOnes = fmt.Sprintf("entity = 'lead' AND erased_at < now64() - INTERVAL %d SECOND", int(eraseGrace.Seconds()))

// leftRows are those of one event table. lead_id is read before payload, of which there is much more.
func (v *Verifier) leftRows(ctx context.Context, s *scope, table string, stones *schema.Tombstones) (found []left, err error) {
	leads := "(SELECT entity_id FROM {db}.erasures WHERE " + oldOnes + ")"
	where := "position(payload, 'leadId') > 0 AND JSONExtractString(payload, 'data', 'leadId') IN " + leads
	if slices.Contains(v.leadID, table) {
		where = "(lead_id IN " + leads + " OR lead_id IS NULL AND position(payload, 'leadId') > 0) AND payload != ''"
	}
	rows, err := v.cfg.ClickHouse.Query(ctx, v.sql(fmt.Sprintf("SELECT event_id, _partition, _offset, payload FROM {db}.%s FINAL WHERE %s AND _received_at >= {since} LIMIT %d", table, where, leftMost)))
	if err != nil {
		return nil, fmt.Errorf("look for erased leads in %s: %w", table, err)
	}
	defer rows.Close()
	var decoder schema.Decoder
	for rows.Next() {
		l := left{epoch: s.epoch}
		var payload string
		if err := rows.Scan(&l.eventID, &l.partition, &l.offset, &payload); err != nil {
			return nil, fmt.Errorf("look for erased leads in %s: %w", table, err)
		}
		if e, err := decoder.Decode([]byte(payload)); err == nil {
			if lead, covered := stones.Lead(e); covered {
				l.lead = strings.Clone(lead)
				found = append(found, l)
			}
		}
	}
	return found, rows.Err()
}

// leftLetters are those of dead_letters, which are few.
func (v *Verifier) leftLetters(ctx context.Context, stones *schema.Tombstones) (found []left, err error) {
	rows, err := v.cfg.ClickHouse.Query(ctx, v.sql("SELECT topic_epoch, kafka_partition, kafka_offset, record_key, payload FROM {db}.dead_letters FINAL WHERE payload != '' AND received_at >= {since}"))
	if err != nil {
		return nil, fmt.Errorf("look for erased leads in dead_letters: %w", err)
	}
	defer rows.Close()
	var decoder schema.Decoder
	for rows.Next() {
		var l left
		var key, payload string
		if err := rows.Scan(&l.epoch, &l.partition, &l.offset, &key, &payload); err != nil {
			return nil, fmt.Errorf("look for erased leads in dead_letters: %w", err)
		}
		if lead, covered := stones.LetterLead(&decoder, []byte(key), []byte(payload)); covered && len(found) < leftMost {
			l.lead = strings.Clone(lead)
			found = append(found, l)
		}
	}
	return found, rows.Err()
}

// left makes findings of them, one for each run of a lead's in a partition.
func (r *findings) left(all []left) {
	slices.SortFunc(all, func(a, b left) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.partition, b.partition), cmp.Compare(a.lead, b.lead), cmp.Compare(a.offset, b.offset))
	})
	for i := 0; i < len(all); {
		first := all[i]
		f := Finding{
			Kind: NotErased, Epoch: first.epoch, Partition: first.partition, First: first.offset, Last: first.offset,
			Detail: fmt.Sprintf("run again: leadhouse erase --lead %s", shown(first.lead)),
		}
		for ; i < len(all) && all[i].lead == first.lead && all[i].partition == first.partition && all[i].epoch == first.epoch && all[i].offset <= f.Last+1; i++ {
			f.Last = all[i].offset
			f.Records++
			if all[i].eventID != "" {
				f.Events = append(f.Events, Event{Offset: all[i].offset, ID: all[i].eventID, Stored: true})
			}
		}
		r.add(f)
	}
}

// plainID needs no quotes.
var plainID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// shown is an ID that a terminal is safe from.
func shown(id string) string {
	if plainID.MatchString(id) {
		return id
	}
	return fmt.Sprintf("%+q", id)
}
