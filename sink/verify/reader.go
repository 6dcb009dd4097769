package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/sink"
)

// reader reads one partition for what the books lack.
type reader struct {
	*sink.Reader
	decoder schema.Decoder
	names   *int // how many events may still be named, in the whole report
}

func (v *Verifier) reader(p *part) *reader {
	return &reader{Reader: sink.NewReader(v.cfg.Dialer, v.cfg.Brokers, v.cfg.Topic, p.partition), names: &v.names}
}

// id is a body's event ID, "" if it is no event.
func (r *reader) id(body []byte) string {
	e, err := r.decoder.Decode(body)
	if err != nil {
		return ""
	}
	return e.ID
}

// look says which records Kafka has in a run: of those an entry is missing. Where it has none, none is; a run of missing ones
// goes on over offsets without a record.
func (r *reader) look(ctx context.Context, of run) (found []missing, err error) {
	m := missing{inKafka: true}
	err = r.Read(ctx, of.first, of.next, func(record sink.Message) error {
		if m.records == 0 {
			m.first = record.Offset
		}
		m.next = record.Offset + 1
		m.records++
		if *r.names > 0 {
			*r.names--
			m.events = append(m.events, Event{Offset: record.Offset, ID: r.id(record.Value)})
		}
		return nil
	})
	if m.records > 0 {
		found = append(found, m)
	}
	if errors.Is(err, sink.ErrOutsideLog) { // retention has been here since the log's bounds were read
		gone := run{max(of.first, m.next), of.next}
		return append(found, missing{run: gone, records: gone.len()}), nil
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}

// name adds the event IDs of single offsets to a finding, as far as Kafka has them.
func (r *reader) name(ctx context.Context, of runs) (events []Event, err error) {
	for _, run := range of {
		if *r.names <= 0 {
			break
		}
		err := r.Read(ctx, run.first, run.next, func(record sink.Message) error {
			if *r.names > 0 {
				*r.names--
				events = append(events, Event{Offset: record.Offset, ID: r.id(record.Value)})
			}
			return nil
		})
		if err != nil && !errors.Is(err, sink.ErrOutsideLog) {
			return nil, err
		}
	}
	return events, nil
}

// sampleRecords is how many of a partition's last records are compared with the ledger, byte for byte by their hashes. A topic
// that was recreated shows in the first of them.
const sampleRecords = 1000

// entry is what the ledger knows of a record.
type entry struct {
	Offset  int64  `ch:"kafka_offset"`
	EventID string `ch:"event_id"`
	Body    uint64 `ch:"body_hash"`
	Outcome string `ch:"outcome"`
}

// sample compares the last records below the committed offset with what the ledger knows of them.
func (v *Verifier) sample(ctx context.Context, r *findings, p *part) error {
	of := run{max(p.all.next-sampleRecords, p.all.first, p.log.start), min(p.all.next, p.log.end)}
	if of.len() == 0 {
		return nil
	}
	var entries []entry
	err := v.cfg.ClickHouse.Select(ctx, &entries, v.sql(`SELECT kafka_offset, lower(hex(event_id_hash)) AS event_id, body_hash, toString(outcome) AS outcome
FROM {db}.deliveries FINAL WHERE `+p.where(of)))
	if err != nil {
		return fmt.Errorf("read the last entries of partition %d: %w", p.partition, err)
	}
	known := make(map[int64]entry, len(entries))
	for _, e := range entries {
		known[e.Offset] = e
	}
	kafka := v.reader(p)
	defer kafka.Close()
	var other []int64
	err = kafka.Read(ctx, of.first, of.next, func(record sink.Message) error {
		if e, found := known[record.Offset]; found && !kafka.matches(record, e) {
			other = append(other, record.Offset)
		}
		return nil
	})
	if err != nil && !errors.Is(err, sink.ErrOutsideLog) { // else: retention has taken what was to be compared
		return err
	}
	r.offsets(p, Differs, other)
	return nil
}

// matches tells whether an entry is about this record.
func (r *reader) matches(record sink.Message, e entry) bool {
	if xxhash.Sum64(record.Value) != e.Body {
		return false
	}
	if e.Outcome != string(schema.Inserted) {
		return true
	}
	id := r.id(record.Value)
	hash := sha256.Sum256([]byte(id))
	return e.EventID == hex.EncodeToString(hash[:16])
}
