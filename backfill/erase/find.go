package erase

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
)

const (
	deadLetters = "dead_letters"

	// needles is up to how many IDs are searched for in one pass. multiSearchAny takes 255.
	needles = 8

	// queryBytes lets a text hold a group's IDs several times, every character escaped.
	queryBytes = 16 << 20

	// findFor bounds one search. It must be given: clickhouse-go's read deadline, 5 minutes by default, is for a whole result.
	findFor = 6 * time.Hour
)

// place is where a row says that its delivery lies.
type place struct {
	partition int32
	offset    int64
}

// row is one version of an event that may be about a lead.
type row struct {
	eventID   string
	version   uint64
	lead      string // as typed; "" where it is not
	payload   []byte
	at        place
	unblanked bool
	live      bool // false: a lightweight DELETE has masked it
}

// found is what a search of one table has come to.
type found struct {
	typed, masked uint64 // rows to blank: by their typed lead; that are masked
	others        []row  // that the payload alone tells of; without it
	blank         uint64 // rows that are blank already
}

// settings of a search: **masked rows are looked at as well**, since their bytes are there until a merge.
func searching(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, findFor)
	return clickhouse.Context(ctx, clickhouse.WithBlockBufferSize(1), clickhouse.WithSettings(clickhouse.Settings{
		"apply_deleted_mask": 0, "max_query_size": queryBytes, "max_block_size": 8192,
	})), cancel
}

// find looks through all versions of all rows of a table: those typed with the lead's ID, and of the others those whose
// payload, decoded as sink does, is about it. Where the typed column has a lead, it is exact, and the payload need not be read.
func (r *run) find(ctx context.Context, t *schema.Table, group []string, unblanked string) (f found, err error) {
	lead, others := t.LeadColumn(), ""
	if lead != "" {
		lead, others = "`"+lead+"`", "PREWHERE isNull(`"+lead+"`) "
		err = r.rows(ctx, t, lead, unblanked, fmt.Sprintf("PREWHERE ifNull(%s IN ?, false)", lead), []any{group}, func(one row) {
			r.note(&f, one, []string{one.lead}, true)
		})
		if err != nil {
			return f, err
		}
	}
	wanted := schema.NewTombstones(group...)
	condition, args := mayName("payload", group)
	err = r.rows(ctx, t, "NULL", unblanked, others+"WHERE notEmpty(payload) AND ("+condition+")", args, func(one row) {
		if wanted.CoversLetter(&r.decoder, nil, one.payload) {
			r.note(&f, one, r.which(group, nil, one.payload), false)
		}
	})
	return f, err
}

// rows runs one search.
func (r *run) rows(ctx context.Context, t *schema.Table, lead, unblanked, condition string, args []any, take func(row)) error {
	ctx, cancel := searching(ctx)
	defer cancel()
	rows, err := r.cfg.ClickHouse.Query(ctx, fmt.Sprintf("SELECT event_id, _version, ifNull(%s, ''), payload, _partition, _offset, toBool(%s), toBool(_row_exists) FROM %s %s",
		lead, unblanked, r.name(t.Name), condition), args...)
	if err != nil {
		return fmt.Errorf("find rows: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var one row
		if err := rows.Scan(&one.eventID, &one.version, &one.lead, &one.payload, &one.at.partition, &one.at.offset, &one.unblanked, &one.live); err != nil {
			return fmt.Errorf("find rows: %w", err)
		}
		take(one)
	}
	return rows.Err()
}

// note takes in a row that is about a lead.
func (r *run) note(f *found, one row, leads []string, typed bool) {
	r.count(one.live && (r.first || one.unblanked), leads)
	r.events[one.eventID] = true
	r.places[one.at] = true
	r.addresses(one.payload)
	switch {
	case !one.unblanked:
		f.blank++
	case !one.live:
		f.masked++
	case typed:
		f.typed++
	default:
		one.payload = nil
		f.others = append(f.others, one)
	}
}

// count is for the report: a row that an earlier sweep has blanked is not a new one.
func (r *run) count(isNew bool, leads []string) {
	for _, lead := range leads {
		if isNew {
			r.leads[lead].Rows++
		}
	}
}

// which says which of the leads a body is about.
func (r *run) which(group []string, key, body []byte) (leads []string) {
	for _, lead := range group {
		if schema.NewTombstones(lead).CoversLetter(&r.decoder, key, body) {
			leads = append(leads, lead)
		}
	}
	return leads
}

// mayName is true of every body that could name one of the leads, in SQL, and of few others: the ID stands there as it is, or
// something is escaped. An ID that holds none of the characters that JSON escapes by other means is escaped by \u alone.
//
// A few IDs are searched for; of many a body's texts are looked up, what stands between two neighbouring quotes: a search for
// hundreds of IDs that all begin with ld_ compares each of them wherever that stands.
func mayName(column string, group []string) (condition string, args []any) {
	var conditions []string
	search := func(ids []string) {
		conditions, args = append(conditions, "multiSearchAny("+column+", ?)"), append(args, ids)
	}
	if len(group) <= needles {
		search(group)
	} else {
		conditions = append(conditions, `arrayExists(x -> x IN ?, splitByChar('"', `+column+`))`)
		args = append(args, group)
		for ids := range slices.Chunk(slices.DeleteFunc(slices.Clone(group), func(id string) bool { return !json.Valid([]byte(id)) }), needles) {
			search(ids) // that may stand there without quotes
		}
	}
	escape := `\u`
	if slices.ContainsFunc(group, func(id string) bool { return strings.ContainsFunc(id, isEscaped) }) {
		escape = `\`
	}
	return strings.Join(append(conditions, "position("+column+", ?) > 0"), " OR "), append(args, escape)
}

func isEscaped(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c == '/' }

// letter is one version of a dead letter.
type letter struct {
	Position
	key, payload []byte
	unblanked    bool
	live         bool
}

// findLetters is find for dead letters, of which few are typed in any way.
func (r *run) findLetters(ctx context.Context, group []string) (letters []Position, masked, blank uint64, err error) {
	wanted := schema.NewTombstones(group...)
	condition, args := mayName("payload", group)
	err = r.lettersWhere(ctx, "record_key IN ? OR "+condition, append([]any{group}, args...), func(l letter) {
		if !wanted.CoversLetter(&r.decoder, l.key, l.payload) && !wanted.Has(string(l.key)) {
			return
		}
		r.count(l.live && (r.first || l.unblanked), r.which(group, l.key, l.payload))
		r.letters[l.Position] = true
		r.addresses(l.payload)
		switch {
		case !l.unblanked:
			blank++
		case !l.live:
			masked++
		default:
			letters = append(letters, l.Position)
		}
	})
	return letters, masked, blank, err
}

func (r *run) lettersWhere(ctx context.Context, condition string, args []any, take func(letter)) error {
	ctx, cancel := searching(ctx)
	defer cancel()
	rows, err := r.cfg.ClickHouse.Query(ctx, fmt.Sprintf("SELECT topic_epoch, kafka_partition, kafka_offset, record_key, payload, toBool(%s), toBool(_row_exists) FROM %s WHERE %s",
		schema.UnblankedLetters(), r.name(deadLetters), condition), args...)
	if err != nil {
		return fmt.Errorf("find letters: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l letter
		if err := rows.Scan(&l.Epoch, &l.Partition, &l.Offset, &l.key, &l.payload, &l.unblanked, &l.live); err != nil {
			return fmt.Errorf("find letters: %w", err)
		}
		take(l)
	}
	return rows.Err()
}

// address is what an e-mail address looks like, inside of a JSON text as well.
var address = regexp.MustCompile(`(?i)[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}`)

// addressesMost: a lead has one or two. What is more is not looked for.
const addressesMost = 10_000

func (r *run) addresses(payload []byte) {
	for _, found := range address.FindAll(payload, -1) {
		if len(r.emails) < addressesMost {
			r.emails[strings.ToLower(string(found))] = true
		}
	}
}
