package main_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// check asserts every promise that can be seen from outside, on a pipeline that has drained.
func (p *pipeline) check(journals ...*local.Journal) {
	p.t.Helper()
	events := p.eventIDs()

	// 1. A 2xx is a receipt.
	receipts := map[string]bool{}
	for _, j := range journals {
		for _, r := range j.Receipts() {
			receipts[r.ID] = true
			if events[r.ID] == 0 {
				p.t.Errorf("promise 1: %s has a 2xx and no row", r.ID)
			}
		}
	}
	// 2. Nothing unverified gets in.
	for id := range events {
		if strings.HasPrefix(id, local.ForgedIDPrefix) {
			p.t.Errorf("promise 2: the forged %s is in", id)
		}
	}
	// 4. One row per event ID.
	for id, n := range events {
		if n != 1 {
			p.t.Errorf("promise 4: %s is there %d times", id, n)
		}
	}
	p.checkBooks(int64(len(events)))
}

// eventIDs counts each event's rows in the view over all tables.
func (p *pipeline) eventIDs() map[string]int {
	p.t.Helper()
	ids := map[string]int{}
	for line := range strings.Lines(p.query("SELECT event_id FROM DATABASE.events")) {
		ids[strings.TrimSpace(line)]++
	}
	return ids
}

// checkBooks is promise 5: every Kafka record up to the committed offset has one entry, and the sums agree.
func (p *pipeline) checkBooks(events int64) {
	p.t.Helper()
	for partition, end := range p.ends() {
		got := p.query(fmt.Sprintf(
			"SELECT count(), uniqExact(kafka_offset), min(kafka_offset), max(kafka_offset) + 1 FROM DATABASE.deliveries FINAL WHERE kafka_partition = %d FORMAT TSV", partition))
		if want := fmt.Sprintf("%d\t%d\t0\t%d", end, end, end); end > 0 && got != want {
			p.t.Errorf("promise 5: partition %d has entries, offsets, first, end %q, want %q", partition, got, want)
		}
	}
	// fetched = inserted + collapsed + dead-lettered (+ erased, which nothing here is)
	fetched := p.count("SELECT count() FROM DATABASE.deliveries FINAL")
	inserted := p.count("SELECT uniqExact(event_id_hash) FROM DATABASE.deliveries FINAL WHERE outcome = 'inserted'")
	collapsed := p.count("SELECT count() - uniqExact(event_id_hash) FROM DATABASE.deliveries FINAL WHERE outcome = 'inserted'")
	dead := p.count("SELECT count() FROM DATABASE.dead_letters FINAL")
	if fetched != inserted+collapsed+dead {
		p.t.Errorf("promise 5: fetched %d, and inserted %d + collapsed %d + dead-lettered %d", fetched, inserted, collapsed, dead)
	}
	if inserted != events {
		p.t.Errorf("promise 5: the ledger has %d events inserted, and the tables have %d", inserted, events)
	}
	// Each event's row lies where the ledger says.
	astray := p.query(`SELECT event_id FROM DATABASE.events WHERE (_partition, _offset, left(SHA256(event_id), 16)) NOT IN
		(SELECT kafka_partition, kafka_offset, event_id_hash FROM DATABASE.deliveries FINAL)`)
	if astray != "" {
		p.t.Errorf("promise 5: these rows have no entry in the ledger: %s", strings.Join(slices.Collect(strings.Lines(astray)), ", "))
	}
}
