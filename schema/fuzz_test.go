package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/leadhouse/leadhouse/schema"
)

// envelope is what a body says, by encoding/json: the reference that the decoder must agree with.
type envelope struct {
	id, typ, key string
	occurred     time.Time
}

var (
	name128 = regexp.MustCompile(`^[!-~]{1,128}$`)
	rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
)

// members reads an object's members in order, with their keys as they are and their values whole. encoding/json's own
// decoding into a struct folds case and lets the last of two win, so it is not asked for that.
func members(t *testing.T, object []byte) (keys []string, values []json.RawMessage) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatalf("json.Valid, and its decoder says %v", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatalf("json.Valid, and its decoder says %v", err)
		}
		keys, values = append(keys, key.(string)), append(values, value)
	}
	return keys, values
}

// reference decides as the design says, slowly. ok: it is an envelope.
func reference(t *testing.T, body []byte) (e envelope, ok bool) {
	t.Helper()
	keys, values := members(t, body)
	found := map[string]json.RawMessage{}
	for i, key := range keys {
		if _, twice := found[key]; twice && slices.Contains([]string{"id", "type", "createdAt", "data"}, key) {
			return e, false
		}
		found[key] = values[i]
	}
	text := func(raw json.RawMessage) (s string) {
		if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	e.id, e.typ = text(found["id"]), text(found["type"])
	created := text(found["createdAt"])
	at, err := time.Parse(time.RFC3339, created)
	e.occurred = at.UTC().Truncate(time.Millisecond)
	if !name128.MatchString(e.id) || !name128.MatchString(e.typ) || !rfc3339.MatchString(created) || err != nil ||
		e.occurred.Year() < 1970 || e.occurred.Year() > 2261 || len(found["data"]) == 0 || found["data"][0] != '{' {
		return e, false
	}
	e.key = e.id
	if entity, verb, dotted := strings.Cut(e.typ, "."); dotted && entity != "" && verb != "" {
		keys, values := members(t, found["data"])
		if i := slices.Index(keys, entity+"Id"); i >= 0 && !slices.Contains(keys[i+1:], entity+"Id") && name128.MatchString(text(values[i])) {
			e.key = text(values[i])
		}
	}
	return e, true
}

// FuzzDecode: an envelope is what encoding/json, asked strictly, calls one, and says the same; whatever the decoder has read
// before, and without a change to the body.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		var fresh, used schema.Decoder
		used.Decode([]byte(good))
		e, err := fresh.Decode(body)
		again, errAgain := used.Decode(body)
		if !bytes.Equal(before, body) {
			t.Fatal("Decode changed the body")
		}
		if (err == nil) != (errAgain == nil) || err == nil && (e.ID != again.ID || e.Type != again.Type || e.Key() != again.Key()) {
			t.Fatalf("a used decoder says otherwise: %v %v, %v %v", e, err, again, errAgain)
		}
		var r *schema.Refusal
		if err != nil && !errors.As(err, &r) {
			t.Fatalf("%v is no Refusal", err)
		}
		switch {
		case !utf8.Valid(body):
			if r == nil || r.Reason != schema.InvalidUTF8 {
				t.Fatalf("no UTF-8: got %v", err)
			}
			return
		case tooDeepForStd(body):
			return
		case !json.Valid(body):
			// One JSON text with something behind it is a bad envelope; that text is then JSON.
			if r == nil || r.Reason != schema.InvalidJSON && !startsWithJSON(body) {
				t.Fatalf("no JSON: got %v", err)
			}
			return
		case r != nil && r.Reason == schema.InvalidJSON:
			t.Fatalf("called JSON invalid: %v", err)
		}
		want, ok := reference(t, body)
		if ok != (err == nil) {
			t.Fatalf("got %v, the reference says envelope: %v", err, ok)
		}
		if ok && (e.ID != want.id || e.Type != want.typ || e.Key() != want.key || !e.OccurredAt.Equal(want.occurred)) {
			t.Fatalf("got %q %q %q %v, the reference reads %+v", e.ID, e.Type, e.Key(), e.OccurredAt, want)
		}
	})
}

// tooDeepForStd: encoding/json refuses more than 10,000 levels.
func tooDeepForStd(b []byte) bool {
	return bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) > 10_000
}

func startsWithJSON(body []byte) bool {
	var v json.RawMessage
	err := json.NewDecoder(bytes.NewReader(body)).Decode(&v)
	return err == nil || errors.Is(err, io.EOF)
}

// FuzzCatalog: what is read as a catalog is JSON that names these events once each, and the tables made of it need no
// quoting, are bounded, and are the same every time.
func FuzzCatalog(f *testing.F) {
	f.Add(schema.BuiltinCatalog())
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := schema.DecodeCatalog(body)
		if err != nil {
			return
		}
		if !json.Valid(body) || len(c.Events) == 0 || len(c.Events) > 1000 {
			t.Fatalf("%d events, of valid JSON: %v", len(c.Events), json.Valid(body))
		}
		types := map[string]bool{}
		for _, e := range c.Events {
			var example map[string]json.RawMessage
			if err := json.Unmarshal(e.Example, &example); err != nil || e.Type == "" || types[e.Type] {
				t.Fatalf("event %q, seen before: %v, example: %v", e.Type, types[e.Type], err)
			}
			types[e.Type] = true
		}
		m := schema.Infer(c)
		tables := map[string]bool{}
		for _, table := range m.Tables {
			checkName(t, table.Name)
			if tables[table.Name] || len(table.Columns) > 500 {
				t.Fatalf("table %q, seen before: %v, has %d columns", table.Name, tables[table.Name], len(table.Columns))
			}
			tables[table.Name] = true
			columns := map[string]bool{}
			for _, column := range table.Columns {
				checkName(t, column.Name)
				if columns[column.Name] {
					t.Fatalf("column %q stands there twice", column.Name)
				}
				columns[column.Name] = true
			}
		}
		if again := schema.Infer(c); !slices.Equal(m.Findings, again.Findings) || len(m.Tables) != len(again.Tables) {
			t.Fatalf("inferred twice: %v, then %v", m.Findings, again.Findings)
		}
	})
}

var bareName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

func checkName(t *testing.T, name string) {
	t.Helper()
	if !bareName.MatchString(name) {
		t.Fatalf("name %q needs quoting", name)
	}
}
