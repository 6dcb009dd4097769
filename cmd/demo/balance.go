package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// books are what a sender knows of its deliveries, to be compared with what the warehouse holds.
type books struct {
	accepted  map[string]int  // deliveries with a receipt, by event ID
	malformed int             // deliveries with a receipt whose bodies are no event
	bodies    [][]byte        // those bodies, and those of
	unsettled int             // deliveries that are no event and have no receipt
	uncertain int             // attempts without a receipt that Kafka may hold all the same
	abandoned map[string]bool // event IDs that may be in Kafka, or not
}

// newBooks reads the journal of what has been sent.
func newBooks(j *local.Journal, sent []local.Delivery) *books {
	b := &books{accepted: map[string]int{}, abandoned: map[string]bool{}}
	for _, d := range sent {
		if d.ID == "" {
			b.bodies = append(b.bodies, d.Body)
		}
	}
	for _, r := range j.Receipts() {
		if r.ID == "" {
			b.malformed++
		} else {
			b.accepted[r.ID]++
		}
	}
	for _, a := range j.Abandoned() {
		if a.ID == "" {
			b.unsettled++
		}
		b.abandoned[a.ID] = true
	}
	for _, n := range j.Refused() {
		b.unsettled += n
	}
	for status, n := range j.Answers() {
		if status == 0 || status >= 500 { // the answer was lost, or came before Kafka's
			b.uncertain += n
		}
	}
	return b
}

// deliveries is how many have a receipt.
func (b *books) deliveries() int {
	n := b.malformed
	for _, times := range b.accepted {
		n += times
	}
	return n
}

// balance compares: **every accepted delivery is one row or one dead letter**, each event is there once, and nothing is
// there that nobody delivered. The error says what is missing, or too much.
func (b *books) balance(ctx context.Context, w warehouse) (ledger, error) {
	rows, err := w.eventIDs(ctx)
	if err != nil {
		return ledger{}, err
	}
	letters, err := w.deadBodies(ctx)
	if err != nil {
		return ledger{}, err
	}
	l, err := w.ledger(ctx)
	if err != nil {
		return ledger{}, err
	}
	return l, errors.Join(b.compareEvents(rows), b.compareLetters(letters), b.compareLedger(l, len(rows), letters))
}

// compareEvents is about event IDs: one row for each that has a receipt.
func (b *books) compareEvents(rows map[string]int) error {
	var missing, twice, strange []string
	for id := range b.accepted {
		if rows[id] == 0 {
			missing = append(missing, id)
		}
	}
	for id, n := range rows {
		if n > 1 {
			twice = append(twice, id)
		}
		if b.accepted[id] == 0 && !b.abandoned[id] {
			strange = append(strange, id)
		}
	}
	return errors.Join(
		some(missing, "accepted events have no row"),
		some(twice, "events have more than one row"),
		some(strange, "rows are of events that nobody delivered"),
	)
}

// compareLetters is about bodies: each malformed one that has a receipt is a dead letter.
func (b *books) compareLetters(letters map[string]int) error {
	var missing, strange []string
	known := map[string]bool{}
	for _, body := range b.bodies {
		known[string(body)] = true
		if letters[string(body)] == 0 {
			missing = append(missing, fmt.Sprintf("%.60q", body))
		}
	}
	for body := range letters {
		if !known[body] {
			strange = append(strange, fmt.Sprintf("%.60q", body))
		}
	}
	if len(missing) <= b.unsettled {
		missing = nil
	}
	return errors.Join(
		some(missing, "accepted deliveries are no event and no dead letter"),
		some(strange, "dead letters are of events, or of nobody's deliveries"),
	)
}

// compareLedger is about sums: the ledger has every delivery once, and agrees with the tables.
func (b *books) compareLedger(l ledger, rows int, letters map[string]int) error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	held, accepted, dead := int(l.Inserted+l.DeadLettered), b.deliveries(), 0
	for n := range maps.Values(letters) {
		dead += n
	}
	wrong(held < accepted, "%s accepted deliveries are not in the ledger: it has %s of %s", thousands(accepted-held), thousands(held), thousands(accepted))
	wrong(held > accepted+b.uncertain, "the ledger has %s deliveries, but only %s were accepted", thousands(held), thousands(accepted))
	wrong(int(l.Events) != rows, "the ledger has %s different events, the tables have %s", thousands(l.Events), thousands(rows))
	wrong(int(l.DeadLettered) < b.malformed, "the ledger has %s dead letters, %s deliveries that are no event were accepted", thousands(l.DeadLettered), thousands(b.malformed))
	wrong(int(l.DeadLettered) != dead, "the ledger has %s dead letters, dead_letters has %s", thousands(l.DeadLettered), thousands(dead))
	return errors.Join(errs...)
}

// someShown is how many are named of those missing.
const someShown = 5

// some is an error that names the first few; nil for none.
func some(ids []string, what string) error {
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	list := strings.Join(ids[:min(len(ids), someShown)], ", ")
	if more := len(ids) - someShown; more > 0 {
		list += fmt.Sprintf(" and %s more", thousands(more))
	}
	return fmt.Errorf("%s %s: %s", thousands(len(ids)), what, list)
}
