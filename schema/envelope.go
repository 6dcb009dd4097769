package schema

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Reason names why a record is a dead letter. The set is closed: it is a column of dead_letters and a metric label.
type Reason string

// The reasons Decode gives.
const (
	InvalidUTF8  Reason = "invalid_utf8"  // the body is not UTF-8: decoded leniently, two IDs could become one
	InvalidJSON  Reason = "invalid_json"  // the body is not one JSON text
	DuplicateKey Reason = "duplicate_key" // id, type, createdAt or data stands there twice: which one was meant?
	BadEnvelope  Reason = "bad_envelope"  // an envelope field is absent, of another type or out of range, or something follows
)

// Rejected is sink's: the body is an event, and ClickHouse refuses its row. detail has ClickHouse's code and message.
const Rejected Reason = "rejected"

// Refusal says why a body is not an envelope. It is the only error Decode returns.
type Refusal struct { //nolint:errname // what it is: the envelope is refused
	Reason Reason
	Detail string // what was expected and where; never what the body holds
}

func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Detail }

// maxNameLen bounds id, type and record keys. Leadron's IDs have 30 characters; nobody states a limit.
const maxNameLen = 128

// The years an envelope's createdAt may lie in. DateTime64(3) holds years to 2299, but clickhouse-go counts nanoseconds in
// 64 bits on the way, which end in April 2262: a 2290 was stored as 1705 (seen).
const minYear, maxYear = 1970, 2261

// field is one member of data.
type field struct {
	key   string
	keyOK bool // false: the key holds a lone surrogate and matches no column
	value span
}

// Event is one decoded delivery. It aliases the body given to Decode and is valid until that Decoder's next Decode.
type Event struct {
	ID         string    // 1–128 printable ASCII characters, as sent
	Type       string    // likewise; "lead.created"
	OccurredAt time.Time // createdAt in UTC, truncated to milliseconds, 1970–2261

	fields []field // of data, in order
}

// Decoder reads envelopes (Events page, "Webhook Payload Shape"). Reuse it between calls; it is not for concurrent use.
type Decoder struct {
	scan  scanner
	event Event
}

// Decode checks and splits one body in one pass. An error is always a *Refusal: the record is a dead letter.
// What is odd inside data refuses nothing: it makes that field invalid when a block types it.
func (d *Decoder) Decode(body []byte) (*Event, error) {
	if !utf8.Valid(body) {
		return nil, &Refusal{InvalidUTF8, "the body is not valid UTF-8"}
	}
	d.scan.b, d.scan.i = body, 0
	d.event = Event{fields: d.event.fields[:0]}
	if c := d.scan.peek(); c != '{' {
		if _, err := d.scan.value(); err != nil {
			return nil, &Refusal{InvalidJSON, err.Error()}
		}
		return nil, &Refusal{BadEnvelope, "the body is JSON, but not an object"}
	}
	if refusal := d.envelope(); refusal != nil {
		return nil, refusal
	}
	if d.scan.peek(); d.scan.i < len(body) {
		return nil, &Refusal{BadEnvelope, "something follows the envelope's end"}
	}
	return &d.event, nil
}

// envelope reads the four members; others are left alone, they stay in the payload.
func (d *Decoder) envelope() *Refusal {
	var seen [4]bool
	once := func(i int, key string) *Refusal {
		if seen[i] {
			return &Refusal{DuplicateKey, key + " stands there twice"}
		}
		seen[i] = true
		return nil
	}
	var refusal *Refusal
	note := func(r *Refusal) { // the first complaint stands, but broken JSON further on is said instead
		if refusal == nil {
			refusal = r
		}
	}
	err := d.scan.object(func(key span) error {
		name, _ := unquote(key)
		switch name {
		case "id":
			note(once(0, name))
			return d.name(&d.event.ID, name, note)
		case "type":
			note(once(1, name))
			return d.name(&d.event.Type, name, note)
		case "createdAt":
			note(once(2, name))
			return d.createdAt(note)
		case "data":
			note(once(3, name))
			return d.data(note)
		}
		_, err := d.scan.value()
		return err
	})
	if err != nil {
		return &Refusal{InvalidJSON, err.Error()}
	}
	for i, key := range []string{"id", "type", "createdAt", "data"} {
		if !seen[i] {
			note(&Refusal{BadEnvelope, key + " is absent"})
		}
	}
	return refusal
}

func (d *Decoder) name(to *string, key string, note func(*Refusal)) error {
	v, err := d.scan.value()
	if err != nil {
		return err
	}
	text, ok := "", false
	if v.kind() == '"' {
		text, ok = unquote(v)
	}
	if !ok || !isName(text) {
		note(&Refusal{BadEnvelope, key + " is not a string of 1 to 128 printable ASCII characters"})
	}
	*to = text
	return nil
}

// isName: printable ASCII without space, short enough for a key.
func isName(s string) bool {
	if len(s) == 0 || len(s) > maxNameLen {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func (d *Decoder) createdAt(note func(*Refusal)) error {
	v, err := d.scan.value()
	if err != nil {
		return err
	}
	t, ok := parseTime(v)
	if !ok || t.Year() < minYear || t.Year() > maxYear {
		note(&Refusal{BadEnvelope, "createdAt is not an RFC 3339 time between 1970 and 2261"})
	}
	d.event.OccurredAt = t
	return nil
}

func (d *Decoder) data(note func(*Refusal)) error {
	if d.scan.peek() != '{' {
		note(&Refusal{BadEnvelope, "data is not an object"})
		_, err := d.scan.value()
		return err
	}
	d.event.fields = d.event.fields[:0]
	return d.scan.object(func(key span) error {
		v, err := d.scan.value()
		if err == nil {
			name, ok := unquote(key)
			d.event.fields = append(d.event.fields, field{name, ok, v})
		}
		return err
	})
}

// splitType splits "<entity>.<verb>" at its first dot. ok is false when there is no dot or either side is empty.
func splitType(eventType string) (entity, verb string, ok bool) {
	entity, verb, ok = strings.Cut(eventType, ".")
	return entity, verb, ok && entity != "" && verb != ""
}

// Key is the event's Kafka record key, by which all events of an entity keep their order: the value of `<entity>Id` in
// data ("lead.created": leadId) when it is one string of 1 to 128 printable ASCII characters, else the event ID.
func (e *Event) Key() string {
	entity, _, ok := splitType(e.Type)
	if !ok {
		return e.ID
	}
	key := ""
	for _, f := range e.fields {
		if len(f.key) != len(entity)+2 || f.key[:len(entity)] != entity || f.key[len(entity):] != "Id" {
			continue
		}
		if key != "" || f.value.kind() != '"' {
			return e.ID // twice, or no string: which entity it is nobody can tell
		}
		if key, ok = unquote(f.value); !ok || !isName(key) {
			return e.ID
		}
	}
	if key == "" {
		return e.ID
	}
	return key
}
