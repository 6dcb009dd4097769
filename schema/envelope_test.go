package schema_test

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

const good = `{"id":"evt_1","type":"lead.created","createdAt":"2026-05-27T23:34:12.000Z","data":{"leadId":"ld_123"}}`

// edit is good with one piece replaced.
func edit(old, replacement string) string {
	if !strings.Contains(good, old) {
		panic("not in the good envelope: " + old)
	}
	return strings.Replace(good, old, replacement, 1)
}

func TestDecodeReadsTheEnvelope(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"as printed":    good,
		"odd spacing":   " \r\n{ \"data\" :\t{\"leadId\" : \"ld_123\" } , \"createdAt\":\"2026-05-28T01:34:12+02:00\",\"type\":\"lead.created\",\"id\":\"evt_1\" }\n",
		"escaped keys":  `{"\u0069d":"evt\u005f1","type":"lead.created","createdAt":"2026-05-27T23:34:12.0009Z","data":{"lead\u0049d":"ld_123"}}`,
		"unknown keys":  `{"ID":"evil","Id":"x","x":[{}],"id":"evt_1","type":"lead.created","createdAt":"2026-05-27T23:34:12Z","data":{"leadId":"ld_123"},"x":1}`,
		"escaped clock": `{"id":"evt_1","type":"lead.created","createdAt":"2026\u002d05-27T23:34:12Z","data":{"leadId":"ld_123"}}`,
	} {
		var d schema.Decoder
		e, err := d.Decode([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := time.Date(2026, 5, 27, 23, 34, 12, 0, time.UTC)
		if e.ID != "evt_1" || e.Type != "lead.created" || !e.OccurredAt.Equal(want) || e.OccurredAt.Location() != time.UTC {
			t.Errorf("%s: got %q %q %v", name, e.ID, e.Type, e.OccurredAt)
		}
		if got := e.Key(); got != "ld_123" {
			t.Errorf("%s: key: got %q, want ld_123", name, got)
		}
	}
}

func TestDecodeRefusesWithAReason(t *testing.T) {
	t.Parallel()
	longID := strings.Repeat("e", 129)
	for name, c := range map[string]struct {
		body string
		want schema.Reason
	}{
		"empty":                      {``, schema.InvalidJSON},
		"spaces":                     {` `, schema.InvalidJSON},
		"byte order mark":            {"\ufeff" + good, schema.InvalidJSON},
		"cut off":                    {good[:len(good)-2], schema.InvalidJSON},
		"not JSON":                   {`id=evt_1`, schema.InvalidJSON},
		"trailing comma":             {edit(`"ld_123"}`, `"ld_123",}`), schema.InvalidJSON},
		"bare control character":     {edit(`ld_123`, "ld\n123"), schema.InvalidJSON},
		"bad escape":                 {edit(`ld_123`, `ld\x123`), schema.InvalidJSON},
		"leading zero":               {edit(`"ld_123"`, `01`), schema.InvalidJSON},
		"broken JSON after a bad id": {`{"id":null,"type":"lead.created",}`, schema.InvalidJSON},
		"invalid UTF-8 in id":        {edit(`evt_1`, "evt_\xff"), schema.InvalidUTF8},
		"invalid UTF-8 in data":      {edit(`ld_123`, "\xc3("), schema.InvalidUTF8},
		"UTF-8 surrogate":            {edit(`ld_123`, "\xed\xa0\x80"), schema.InvalidUTF8},
		"id twice":                   {edit(`"id":"evt_1"`, `"id":"evt_1","id":"evt_2"`), schema.DuplicateKey},
		"id twice, once escaped":     {edit(`"id":"evt_1"`, `"id":"evt_1","\u0069d":"evt_2"`), schema.DuplicateKey},
		"data twice":                 {edit(`"data":{`, `"data":{},"data":{`), schema.DuplicateKey},
		"array":                      {`[` + good + `]`, schema.BadEnvelope},
		"string":                     {`"x"`, schema.BadEnvelope},
		"something after the end":    {good + `{}`, schema.BadEnvelope},
		"no id":                      {edit(`"id":"evt_1",`, ``), schema.BadEnvelope},
		"upper-case id only":         {edit(`"id"`, `"ID"`), schema.BadEnvelope},
		"id null":                    {edit(`"evt_1"`, `null`), schema.BadEnvelope},
		"id a number":                {edit(`"evt_1"`, `1`), schema.BadEnvelope},
		"id empty":                   {edit(`evt_1`, ``), schema.BadEnvelope},
		"id with a space":            {edit(`evt_1`, `evt 1`), schema.BadEnvelope},
		"id not ASCII":               {edit(`evt_1`, `evté`), schema.BadEnvelope},
		"id a lone surrogate":        {edit(`evt_1`, `evt\ud800`), schema.BadEnvelope},
		"id of 129":                  {edit(`evt_1`, longID), schema.BadEnvelope},
		"no type":                    {edit(`"type":"lead.created",`, ``), schema.BadEnvelope},
		"type null":                  {edit(`"lead.created"`, `null`), schema.BadEnvelope},
		"no createdAt":               {edit(`"createdAt":"2026-05-27T23:34:12.000Z",`, ``), schema.BadEnvelope},
		"createdAt a number":         {edit(`"2026-05-27T23:34:12.000Z"`, `1780000000`), schema.BadEnvelope},
		"createdAt without zone":     {edit(`12.000Z`, `12.000`), schema.BadEnvelope},
		"createdAt with a comma":     {edit(`12.000Z`, `12,000Z`), schema.BadEnvelope},
		"createdAt, hour of a digit": {edit(`T23:`, `T3:`), schema.BadEnvelope},
		"createdAt, offset of 24 h":  {edit(`12.000Z`, `12+24:00`), schema.BadEnvelope},
		"createdAt, offset of 60 m":  {edit(`12.000Z`, `12+23:60`), schema.BadEnvelope},
		"createdAt in 1969":          {edit(`2026-`, `1969-`), schema.BadEnvelope},
		"createdAt in 2262":          {edit(`2026-`, `2262-`), schema.BadEnvelope},
		"createdAt in 58356":         {edit(`2026-`, `58356-`), schema.BadEnvelope},
		"no data":                    {edit(`,"data":{"leadId":"ld_123"}`, ``), schema.BadEnvelope},
		"data null":                  {edit(`{"leadId":"ld_123"}`, `null`), schema.BadEnvelope},
		"data an array":              {edit(`{"leadId":"ld_123"}`, `[]`), schema.BadEnvelope},
	} {
		var d schema.Decoder
		e, err := d.Decode([]byte(c.body))
		var r *schema.Refusal
		if !errors.As(err, &r) {
			t.Errorf("%s: got %+v, %v, want a refusal", name, e, err)
		} else if r.Reason != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestDecodeLeavesOddDataAlone(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, data := range map[string]string{
		"duplicate key":     `{"leadId":"a","leadId":"b"}`,
		"lone surrogate":    `{"leadId":"\ud800"}`,
		"surrogate key":     `{"\udc00":1}`,
		"absurd depth":      `{"x":` + deep + `}`,
		"huge numbers":      `{"x":1e400,"y":-123456789012345678901234567890}`,
		"empty":             `{}`,
		"nested containers": `{"a":{"b":[[],{},[1,{"c":{}}]]},"d":[{"e":null},true]}`,
	} {
		var d schema.Decoder
		if _, err := d.Decode([]byte(edit(`{"leadId":"ld_123"}`, data))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyFallsBackToTheEventID(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ typ, data, want string }{
		"entity":            {"commission.earned", `{"amount":1,"partnerId":"p","commissionId":"com_1"}`, "com_1"},
		"absent":            {"lead.created", `{"partnerId":"p"}`, "evt_1"},
		"other case":        {"lead.created", `{"leadID":"x"}`, "evt_1"},
		"null":              {"lead.created", `{"leadId":null}`, "evt_1"},
		"number":            {"lead.created", `{"leadId":7}`, "evt_1"},
		"empty":             {"lead.created", `{"leadId":""}`, "evt_1"},
		"twice":             {"lead.created", `{"leadId":"a","leadId":"b"}`, "evt_1"},
		"surrogate":         {"lead.created", `{"leadId":"\ud800"}`, "evt_1"},
		"too long":          {"lead.created", `{"leadId":"` + strings.Repeat("x", 129) + `"}`, "evt_1"},
		"no verb":           {"lead", `{"leadId":"a"}`, "evt_1"},
		"empty verb":        {"lead.", `{"leadId":"a"}`, "evt_1"},
		"three parts":       {"lead.status.changed", `{"leadId":"a"}`, "a"},
		"a type nobody has": {"document.signed", `{"documentId":"d"}`, "d"},
	} {
		var d schema.Decoder
		e, err := d.Decode([]byte(`{"id":"evt_1","type":"` + c.typ + `","createdAt":"2026-05-27T23:34:12Z","data":` + c.data + `}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := e.Key(); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// The Events page prints one delivery per event type: the source of truth.
func TestDecodeReadsTheEventsPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("testdata/events-page.txt")
	if err != nil {
		t.Fatal(err)
	}
	bodies := regexp.MustCompile(`(?s)\n(\{\n  "id": .*?\n\})\n`).FindAllSubmatch(page, -1)
	if got, want := len(bodies), 15; got != want { // the envelope's own example and 14 events
		t.Fatalf("examples on the page: got %d, want %d", got, want)
	}
	for _, m := range bodies {
		var want struct {
			ID, Type, CreatedAt string
			Data                map[string]any
		}
		if err := json.Unmarshal(m[1], &want); err != nil {
			t.Fatal(err)
		}
		var d schema.Decoder
		e, err := d.Decode(m[1])
		if err != nil {
			t.Fatalf("%s: %v", want.Type, err)
		}
		entity, _, _ := strings.Cut(want.Type, ".")
		if e.ID != want.ID || e.Type != want.Type || e.Key() != want.Data[entity+"Id"] {
			t.Errorf("%s: got %q %q key %q", want.Type, e.ID, e.Type, e.Key())
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(`{"id":"evt_01HZXN8Y9K0M7R6Q5P4N3T2S1A","type":"form.submitted","createdAt":"2026-05-27T23:34:12.000Z","data":{"formId":"frm_404","leadId":"ld_123","fields":{"name":"Jane","email":"jane@acme.com"}}}`)
	b.SetBytes(int64(len(body)))
	var d schema.Decoder
	for b.Loop() {
		if _, err := d.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}
