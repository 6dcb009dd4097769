package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cespare/xxhash/v2"
)

// Erasure: a tombstone in the table erasures says that a lead's personal data is gone and stays gone. The rules, in one place:
//
//   - An event is about a lead when data.leadId is the lead's ID, whatever its type. Where leadId stands there twice or is no
//     string, **any value that matches is enough**: what may be about a person is erased.
//   - A body that is no event is about a lead when its record's key is the ID, or the ID stands in it as a JSON string. Spelt
//     with escapes, without quotes, or not at all (a name, an address), it is not found.
//   - Kept is what says that something happened, and to which entity: the envelope, position, times, versions, and of the
//     typed columns those that Column.OutlivesErasure names. **Everything else goes, and so does what a catalog of tomorrow
//     adds.** The payload goes whole.
//   - A blanked row has the event ID and the version of the row that it replaces: whatever comes again collapses.

// erasuresTable holds the tombstones.
var erasuresTable = tableDef{
	name:    "erasures",
	comment: "tombstones: whose personal data leadhouse erase has blanked; whatever comes about them later arrives blanked (FINAL)",
	columns: []columnDef{
		{"entity", "LowCardinality(String)", "", "what was erased: lead"},
		{"entity_id", "String", "", "its ID, as data.leadId has it"},
		{"erased_at", utcMillis, "", "when that was asked for first, UTC"},
		{"requested_by", "LowCardinality(String)", "DEFAULT currentUser()", "the ClickHouse account that asked"},
	},
	engine: "ReplacingMergeTree", order: "(entity, entity_id)",
}

// The one entity that can be erased, and the field of data that has its ID.
const (
	erasedEntity = "lead"
	erasedField  = "leadId"
)

// outlives are the fields that no person can be told by, beside IDs: where a lead came from and how far it got, and the way
// and the money of a deal, so that **no sum and no funnel changes when a person is erased**. A catalog that puts something
// personal behind one of these names has to be met by a change here.
var outlives = map[string]Kind{
	"source": Text, "changes.status": Text, "changes.source": Text,
	"stage": Text, "from": Text, "to": Text, "value": Number, "amount": Number, "currency": Text,
}

// OutlivesErasure says whether a column is kept when its row is erased: IDs, which are texts at the top of data whose name
// ends in Id, and those of outlives.
func (c Column) OutlivesErasure() bool {
	if outlives[c.field()] == c.Kind {
		return true
	}
	name, isID := strings.CutSuffix(c.field(), "Id")
	return c.Kind == Text && isID && name != "" && len(c.Path) == 1 // an object or array may hold anything
}

// holdsLead says whether a column is a table's lead_id: what an event is about, where data.leadId is one text.
func (c Column) holdsLead() bool {
	return c.Kind == Text && c.EventType == "" && c.field() == erasedField
}

// LeadColumn is the column that has an event's lead; "" where the catalog names none. Where it is not NULL it is exact.
func (t *Table) LeadColumn() string {
	for _, c := range t.Columns {
		if c.holdsLead() {
			return c.Name
		}
	}
	return ""
}

// erasedColumns are those of headColumns and tailColumns that are blanked.
var erasedColumns = []string{"payload", "_invalid_fields"}

// Tombstones are the leads that have been erased, as they were at one moment. Immutable; nil is none.
type Tombstones struct {
	leads map[string]struct{}
	mark  mark
}

// mark tells one set of IDs from another, without reading them: of 100,000 that takes a third of a second.
type mark struct{ count, xor, sum uint64 } // of xxHash64 of each

// NewTombstones makes them of leads' IDs.
func NewTombstones(leads ...string) *Tombstones {
	t := &Tombstones{leads: make(map[string]struct{}, len(leads))}
	for _, id := range leads {
		t.add(id)
	}
	return t
}

func (t *Tombstones) add(lead string) {
	if t.Has(lead) {
		return
	}
	t.leads[lead] = struct{}{}
	hash := xxhash.Sum64String(lead)
	t.mark = mark{t.mark.count + 1, t.mark.xor ^ hash, t.mark.sum + hash}
}

// LoadTombstones reads them. Where the table is not there yet, which backfill makes, there are none.
func LoadTombstones(ctx context.Context, conn driver.Conn, database string) (*Tombstones, error) {
	var none *Tombstones
	return none.Reload(ctx, conn, database)
}

// Reload is LoadTombstones for who has read them before: as long as nothing has changed it returns the same ones, which
// costs two small queries.
func (t *Tombstones) Reload(ctx context.Context, conn driver.Conn, database string) (*Tombstones, error) {
	var there uint64
	err := conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = ?", database, erasuresTable.name).Scan(&there)
	if err != nil {
		return nil, fmt.Errorf("read system.tables: %w", err)
	}
	if there == 0 {
		return NewTombstones(), nil
	}
	return t.reload(ctx, conn, database)
}

// reload is Reload where the table is there.
func (t *Tombstones) reload(ctx context.Context, conn driver.Conn, database string) (*Tombstones, error) {
	var now mark
	err := conn.QueryRow(ctx, fmt.Sprintf("SELECT count(), groupBitXor(hash), sum(hash) FROM (SELECT DISTINCT entity_id, xxHash64(entity_id) AS hash FROM %s.%s WHERE entity = ?)",
		quote(database), quote(erasuresTable.name)), erasedEntity).Scan(&now.count, &now.xor, &now.sum)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	if t != nil && t.mark == now { // its mark is of what it holds, and not of what a query said
		return t, nil
	}
	return readTombstones(ctx, conn, database)
}

func readTombstones(ctx context.Context, conn driver.Conn, database string) (*Tombstones, error) {
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT DISTINCT entity_id FROM %s.%s WHERE entity = ?", quote(database), quote(erasuresTable.name)), erasedEntity)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	defer rows.Close()
	t := NewTombstones()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read erasures: %w", err)
		}
		t.add(id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	return t, nil
}

// Len is how many there are.
func (t *Tombstones) Len() int {
	if t == nil {
		return 0
	}
	return len(t.leads)
}

// Has says whether a lead has been erased.
func (t *Tombstones) Has(lead string) bool {
	if t == nil {
		return false
	}
	_, erased := t.leads[lead]
	return erased
}

// Covers says whether an event is about an erased lead. Without tombstones it costs nothing, with any number of them a
// comparison for each field and one look-up.
func (t *Tombstones) Covers(e *Event) bool {
	_, covered := t.Lead(e)
	return covered
}

// Lead is the erased lead that an event is about, if it is about one. It aliases the body.
func (t *Tombstones) Lead(e *Event) (lead string, covered bool) {
	if t.Len() == 0 {
		return "", false
	}
	for _, f := range e.fields {
		if f.key == erasedField && f.keyOK {
			if lead, covered = t.inValue(f.value); covered {
				return lead, true
			}
		}
	}
	return "", false
}

// inValue looks at one leadId. What is no string was nobody's ID yet, but may hold one.
func (t *Tombstones) inValue(v span) (lead string, covered bool) {
	if v.kind() == '"' {
		id, ok := unquote(v)
		return id, ok && t.Has(id)
	}
	if id := alias(v.raw); t.Has(id) {
		return id, true
	}
	return t.quotedIn(v.raw)
}

// LetterLead is the erased lead that a dead letter is about: one that is an event after all, refused by ClickHouse, or one
// that is none. It aliases key or body.
func (t *Tombstones) LetterLead(d *Decoder, key, body []byte) (lead string, covered bool) {
	if t.Len() == 0 {
		return "", false
	}
	if e, err := d.Decode(body); err == nil {
		return t.Lead(e)
	}
	if id := alias(key); t.Has(id) {
		return id, true
	}
	return t.quotedIn(body)
}

// CoversLetter says whether a dead letter is about an erased lead.
func (t *Tombstones) CoversLetter(d *Decoder, key, body []byte) bool {
	_, covered := t.LetterLead(d, key, body)
	return covered
}

// quotedIn looks for any of the IDs between two neighbouring quotes: with an ID that needs no escape that is the search
// for the ID as a JSON string, in one pass, however many tombstones there are.
func (t *Tombstones) quotedIn(body []byte) (lead string, covered bool) {
	for {
		start := bytes.IndexByte(body, '"')
		if start < 0 {
			return "", false
		}
		body = body[start+1:]
		end := bytes.IndexByte(body, '"')
		if end < 0 {
			return "", false
		}
		if id := alias(body[:end]); t.Has(id) {
			return id, true
		}
		body = body[end:] // the quote that ended one text may begin the next: the body is broken
	}
}

// Tombstone is what Erase has written, or found.
type Tombstone struct {
	ErasedAt time.Time // when it was asked for first
	New      bool      // by this call
}

// maxLeadID bounds an ID that is given by hand. Leadron's have 30 characters.
const maxLeadID = 1024

// Erase records a lead's tombstone. **It comes before anything is blanked**: once every sink has read it, which takes two of
// their reload intervals, no more of the lead's data comes in. A second call changes nothing.
func Erase(ctx context.Context, conn driver.Conn, database, lead string, at time.Time) (Tombstone, error) {
	all, err := EraseAll(ctx, conn, database, []string{lead}, at)
	return all[lead], err
}

// EraseAll is Erase for many leads: one INSERT for those that are new, and all of them read back.
func EraseAll(ctx context.Context, conn driver.Conn, database string, leads []string, at time.Time) (map[string]Tombstone, error) {
	for _, lead := range leads {
		if err := CheckLead(lead); err != nil {
			return nil, err
		}
	}
	if err := CheckDatabase(database); err != nil {
		return nil, err
	}
	var there uint64
	err := conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = ? AND name = ?", database, erasuresTable.name).Scan(&there)
	if err != nil {
		return nil, fmt.Errorf("read system.tables: %w", err)
	}
	if there == 0 {
		return nil, fmt.Errorf("database %s has no table %s: %w", database, erasuresTable.name, ErrNotSetUp)
	}
	was, err := ErasedOf(ctx, conn, database, leads)
	if err != nil {
		return nil, err
	}
	var entities, ids []string
	var times []time.Time
	for _, lead := range leads {
		if _, found := was[lead]; !found {
			entities, ids, times = append(entities, erasedEntity), append(ids, lead), append(times, at.UTC().Truncate(time.Millisecond))
		}
	}
	if len(ids) == 0 {
		return was, nil
	}
	err = insert(ctx, conn, database, erasuresTable.name, []insertColumn{{"entity", entities}, {"entity_id", ids}, {"erased_at", times}}, len(ids), "")
	if err != nil {
		return nil, err
	}
	all, err := ErasedOf(ctx, conn, database, leads)
	if err != nil {
		return nil, err
	}
	for _, lead := range ids {
		t, found := all[lead]
		if !found {
			return nil, errors.New("a tombstone was written and is not to be seen: does another replica answer? Run it again")
		}
		t.New = true
		all[lead] = t
	}
	return all, nil
}

// CheckLead says what is wrong with a lead's ID that is given by hand.
func CheckLead(lead string) error {
	if lead == "" || len(lead) > maxLeadID || !utf8.ValidString(lead) {
		return fmt.Errorf("a lead's ID is a text of 1 to %d bytes", maxLeadID)
	}
	return nil
}

// ErasedOf reads the tombstones of leads that have one: the earliest where two were written at once.
func ErasedOf(ctx context.Context, conn driver.Conn, database string, leads []string) (map[string]Tombstone, error) {
	settings := clickhouse.Settings{"max_query_size": tombstonesQueryBytes}
	rows, err := conn.Query(clickhouse.Context(ctx, clickhouse.WithSettings(settings)),
		fmt.Sprintf("SELECT entity_id, min(erased_at) FROM %s.%s WHERE entity = ? AND entity_id IN (SELECT arrayJoin(?)) GROUP BY entity_id",
			quote(database), quote(erasuresTable.name)), erasedEntity, leads)
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	defer rows.Close()
	all := map[string]Tombstone{}
	for rows.Next() {
		var id string
		var t Tombstone
		if err := rows.Scan(&id, &t.ErasedAt); err != nil {
			return nil, fmt.Errorf("read erasures: %w", err)
		}
		all[id] = t
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	return all, nil
}

// tombstonesQueryBytes bounds the text that names leads: a thousand IDs of 1,024 bytes, every one escaped.
const tombstonesQueryBytes = 4 << 20
