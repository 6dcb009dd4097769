package local_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// documented are the types of the Events page.
var documented = []string{
	"commission.earned", "commission.paid", "form.submitted", "lead.created", "lead.deleted", "lead.updated",
	"opportunity.created", "opportunity.lost", "opportunity.stage_changed", "opportunity.won",
	"partner.approved", "partner.registered", "task.completed", "task.created",
}

var eventID = regexp.MustCompile(`^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// envelope is a body as encoding/json sees it.
type envelope struct {
	ID, Type  string
	CreatedAt time.Time
	Data      map[string]any
}

func decode(t *testing.T, d local.Delivery) envelope {
	t.Helper()
	var e envelope
	dec := json.NewDecoder(bytes.NewReader(d.Body))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(&e); err != nil {
		t.Fatalf("%s: %v", d.Body, err)
	}
	return e
}

func TestJourneysAreValidEventsInOrder(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	span := 90 * 24 * time.Hour
	types, ids := map[string]int{}, map[string]bool{}
	var dec schema.Decoder
	last, n := start, 0
	for d := range (local.Journeys{Seed: 7, Events: 30_000, Start: start, Span: span}).All() {
		n++
		if e, err := dec.Decode(d.Body); err != nil || e.Key() != d.Key {
			t.Fatalf("leadhouse's own decoder: %v: %s", err, d.Body)
		}
		e := decode(t, d)
		if e.ID != d.ID || e.Type != d.Type || !e.CreatedAt.Equal(d.Time) {
			t.Fatalf("delivery %+v does not agree with its body %s", d, d.Body)
		}
		entity, _, _ := strings.Cut(d.Type, ".")
		if got := e.Data[entity+"Id"]; got != d.Key {
			t.Fatalf("key %q, but the body has %v: %s", d.Key, got, d.Body)
		}
		if !eventID.MatchString(d.ID) || ids[d.ID] {
			t.Fatalf("event ID %q is malformed or used twice", d.ID)
		}
		if d.Time.Before(last) || d.Time.After(start.Add(span)) {
			t.Fatalf("%v after %v, within %v of %v", d.Time, last, span, start)
		}
		ids[d.ID] = true
		types[d.Type]++
		last = d.Time
	}
	if n != 30_000 {
		t.Errorf("deliveries: got %d, want 30000", n)
	}
	if got := slices.Sorted(maps.Keys(types)); !slices.Equal(got, documented) {
		t.Errorf("types: got %v, want the documented %v", got, documented)
	}
	if last.Before(start.Add(span * 9 / 10)) {
		t.Errorf("the last is at %v, early in a span that ends at %v", last, start.Add(span))
	}
}

func TestJourneysAreReproducible(t *testing.T) {
	t.Parallel()
	sum := func(seed uint64) string {
		h := sha256.New()
		for d := range (local.Journeys{Seed: seed, Events: 5000, Documents: true, Campaigns: true}).All() {
			fmt.Fprintf(h, "%s %s %s\n", d.ID, d.Key, d.Body)
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	}
	if first, second := sum(1), sum(1); first != second {
		t.Error("one seed, two worlds")
	}
	if sum(1) == sum(2) {
		t.Error("two seeds, one world")
	}
}

// What happens to each entity is a story that could be true.
func TestJourneysMakeSense(t *testing.T) {
	t.Parallel()
	var (
		leads, partners, tasks, closed = map[any]bool{}, map[any]bool{}, map[any]bool{}, map[any]bool{}
		stage, value                   = map[any]any{}, map[any]any{}
		earned, paid                   = map[any]decimal.Decimal{}, map[any]decimal.Decimal{}
		unicode, escaped, cents        int
	)
	amount := func(e envelope) decimal.Decimal {
		return decimal.RequireFromString(e.Data["amount"].(json.Number).String())
	}
	for d := range (local.Journeys{Seed: 3, Events: 50_000}).All() {
		e := decode(t, d)
		ok := true
		switch d.Type {
		case "lead.created":
			leads[d.Key] = true
		case "lead.updated":
			ok = leads[d.Key]
		case "lead.deleted":
			ok = leads[d.Key]
			delete(leads, d.Key)
		case "form.submitted":
			ok = leads[e.Data["leadId"]]
		case "partner.approved":
			partners[d.Key] = true
		case "task.created":
			tasks[d.Key] = true
		case "task.completed":
			ok = tasks[d.Key]
			delete(tasks, d.Key)
		case "opportunity.created":
			stage[d.Key], value[d.Key] = e.Data["stage"], e.Data["value"]
		case "opportunity.stage_changed":
			ok = stage[d.Key] == e.Data["from"] && !closed[d.Key]
			stage[d.Key] = e.Data["to"]
		case "opportunity.won":
			ok = value[d.Key] == e.Data["value"] && !closed[d.Key]
			closed[d.Key] = true
		case "opportunity.lost":
			ok = value[d.Key] != nil && !closed[d.Key]
			closed[d.Key] = true
		case "commission.earned":
			ok = partners[e.Data["partnerId"]] && amount(e).IsPositive()
			earned[d.Key] = amount(e)
		case "commission.paid":
			paid[d.Key] = paid[d.Key].Add(amount(e))
			ok = earned[d.Key].GreaterThanOrEqual(paid[d.Key])
		}
		if !ok {
			t.Fatalf("cannot have happened: %s", d.Body)
		}
		if bytes.ContainsFunc(d.Body, func(r rune) bool { return r > 0xffff }) {
			unicode++
		}
		if bytes.Contains(d.Body, []byte(`\u`)) {
			escaped++
		}
		if e.Data["value"] != nil && strings.Contains(string(e.Data["value"].(json.Number)), ".") {
			cents++
		}
	}
	if len(paid) == 0 || len(paid) >= len(earned) {
		t.Errorf("commissions paid: got %d of %d, want some of them", len(paid), len(earned))
	}
	if unicode == 0 || escaped == 0 || cents == 0 {
		t.Errorf("bodies with astral characters: %d, escapes: %d, cents: %d; want some of each", unicode, escaped, cents)
	}
}

func TestJourneysBeyondTheCatalog(t *testing.T) {
	t.Parallel()
	grown, err := local.GrowCatalog(schema.BuiltinCatalog())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := schema.DecodeCatalog(grown); err != nil {
		t.Fatal(err)
	}
	var catalog struct {
		Data map[string][]struct {
			Event          string
			ExamplePayload map[string]any
		}
	}
	if err := json.Unmarshal(grown, &catalog); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"lead.created":    slices.Sorted(maps.Keys(catalog.Data["leads"][0].ExamplePayload)),
		"document.signed": slices.Sorted(maps.Keys(catalog.Data["documents"][0].ExamplePayload)),
	}
	seen := map[string]bool{}
	for d := range (local.Journeys{Seed: 1, Events: 5000, Documents: true, Campaigns: true}).All() {
		if fields, ok := want[d.Type]; ok {
			seen[d.Type] = true
			if got := slices.Sorted(maps.Keys(decode(t, d).Data)); !slices.Equal(got, fields) {
				t.Fatalf("%s: got the fields %v, the grown catalog has %v", d.Type, got, fields)
			}
		}
	}
	if len(seen) != len(want) {
		t.Errorf("seen: %v", seen)
	}
}

func TestMalformedAreNoEvents(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	var dec schema.Decoder
	for _, d := range local.Malformed(40) {
		if seen[string(d.Body)] {
			t.Errorf("twice: %s", d.Body)
		}
		seen[string(d.Body)] = true
		if _, err := dec.Decode(d.Body); err == nil {
			t.Errorf("an event after all: %s", d.Body)
		}
	}
}

func BenchmarkJourneys(b *testing.B) {
	b.ReportAllocs()
	for range (local.Journeys{Seed: 1, Events: b.N}).All() {
	}
}
