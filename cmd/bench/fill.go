package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leadhouse/leadhouse/schema"
)

var fillBench = bench{
	name: "fill",
	run:  runFill,
	notes: []string{
		"the whole command, from its start to its end: plan, ALTER of every event table, typing all rows of all tables again from their payloads; the load's merges are over before. The peer is the sink that brought in the same rows just before, into the same tables, from Kafka.",
		fmt.Sprintf("killed: kill -9 when a third of the rows are typed again, then run once more, with merges stopped, so that every row that was written twice can be counted. A chunk is %d rows.", chunkRows),
	},
}

const (
	fillRatio  = 0.5
	fillMemory = 400 // MiB

	// chunkRows is backfill's default.
	chunkRows = 25_000

	// killAt is the share of rows after which the fill is killed.
	killAt = 1.0 / 3
)

func runFill(ctx context.Context, r *rig) (results, error) {
	topic, err := r.journeysTopic(ctx)
	if err != nil {
		return results{}, err
	}
	var fills, loads []pass
	var wrong, repeated float64
	for round := range r.rounds {
		database := r.name("fill")
		if err := r.setUp(ctx, database); err != nil {
			return results{}, err
		}
		loaded, err := r.load(ctx, topic, database, r.rows)
		if err != nil {
			return results{}, err
		}
		filled, err := r.fillOnce(ctx, database)
		if err != nil {
			return results{}, err
		}
		fills, loads = append(fills, filled), append(loads, loaded)
		r.say("fill, round %d of %d: %v; the sink: %s rows/s", round+1, r.rounds, filled, number(loaded.rate))
		if round == r.rounds-1 {
			if repeated, err = r.killFill(ctx, database); err != nil {
				return results{}, err
			}
		}
		n, err := r.wrongFill(ctx, database)
		if err != nil {
			return results{}, err
		}
		wrong += float64(n)
		if err := r.drop(ctx, database); err != nil {
			return results{}, err
		}
	}
	rate := func(p pass) float64 { return p.rate }
	return results{figures: []figure{
		{what: "rows/s; the peer is the sink", ours: median(each(fills, rate)), peer: median(each(loads, rate)), beside: compared, limit: limit{ratio, fillRatio}},
		{what: "CPU s per million rows", ours: median(each(fills, func(p pass) float64 { return p.cpu }))},
		{what: "peak memory MiB, the most of all rounds", ours: most(fills), limit: limit{atMost, fillMemory}},
		{what: "rows written twice by a fill that was killed", ours: repeated, limit: limit{atMost, chunkRows}},
		{what: "rows missing, seen twice or typed with old columns", ours: wrong, limit: limit{atMost, 0}},
	}}, nil
}

// fillOnce gives every table a column, campaign, which the payloads of lead.created have a value for, and measures.
func (r *rig) fillOnce(ctx context.Context, database string) (pass, error) {
	catalog, err := r.grownCatalog("campaign")
	if err != nil {
		return pass{}, err
	}
	if err := r.quiet(ctx); err != nil { // the merges are of the load
		return pass{}, err
	}
	began := time.Now()
	used, err := r.backfill(ctx, r.server.DirectAddr(), database, catalog)
	if err != nil {
		return pass{}, err
	}
	return newPass(r.rows, time.Since(began), used), nil
}

// killFill gives every table another column, kills the fill in the middle and lets another finish. It returns how many
// rows have been written twice. Through the relay, since a killed client could take the embedded server with it.
func (r *rig) killFill(ctx context.Context, database string) (float64, error) {
	catalog, err := r.grownCatalog("campaign", "region")
	if err != nil {
		return 0, err
	}
	if err := r.stopMerges(ctx, database); err != nil {
		return 0, err
	}
	before, err := r.count(ctx, "SELECT toUInt64(max(revision)) FROM "+database+".schema_changes")
	if err != nil {
		return 0, err
	}
	typed := fmt.Sprintf("FROM %s WHERE _schema > %d", allEvents(database), before)
	p, err := r.startBackfill(r.server.Addr(), database, catalog)
	if err != nil {
		return 0, err
	}
	err = await(ctx, "the fill to be half-way", patience(r.rows), lookInterval, func(ctx context.Context) (bool, error) {
		n, err := r.count(ctx, "SELECT count() "+typed)
		return float64(n) >= killAt*float64(r.rows), err
	})
	select {
	case <-p.program.Gone():
		if err == nil && r.rows >= 4*chunkRows { // with less there is nothing between two chunks
			err = errors.New("the fill had ended before it could be killed")
		}
	default:
	}
	p.kill()
	if err != nil {
		return 0, err
	}
	if _, err := r.backfill(ctx, r.server.Addr(), database, catalog); err != nil {
		return 0, err
	}
	repeated, err := r.count(ctx, "SELECT toUInt64(count() - uniqExact(event_id)) "+typed)
	r.say("fill, killed and run again: %d rows written twice", repeated)
	return float64(repeated), err
}

// stopMerges keeps rows that have lost from vanishing.
func (r *rig) stopMerges(ctx context.Context, database string) error {
	var tables []string
	err := r.conn.QueryRow(ctx, "SELECT groupArray(name) FROM system.tables WHERE database = ? AND name LIKE '%\\_events'", database).Scan(&tables)
	if err != nil {
		return fmt.Errorf("list the tables of %s: %w", database, err)
	}
	for _, t := range tables {
		if err := r.conn.Exec(ctx, "SYSTEM STOP MERGES "+database+"."+t); err != nil {
			return fmt.Errorf("stop merges: %w", err)
		}
	}
	return nil
}

// wrongFill counts what is missing, seen twice, still of an older typing, or lacks the value that its payload has.
func (r *rig) wrongFill(ctx context.Context, database string) (uint64, error) {
	wrong, err := r.wrongRows(ctx, database, r.rows, r.rows)
	if err != nil {
		return 0, err
	}
	stale, err := r.count(ctx, fmt.Sprintf("SELECT count() FROM %s FINAL WHERE _schema < (SELECT max(revision) FROM %s.schema_changes)", allEvents(database), database))
	if err != nil {
		return 0, err
	}
	empty, err := r.count(ctx, fmt.Sprintf("SELECT count() FROM %s.lead_events FINAL WHERE campaign IS DISTINCT FROM nullIf(JSONExtractString(payload, 'data', 'campaign'), '')", database))
	return wrong + stale + empty, err
}

// grownCatalog writes the catalog of the binary with more fields, in one event type of each entity, to a file.
func (r *rig) grownCatalog(fields ...string) (path string, err error) {
	var catalog struct {
		Data map[string][]struct {
			Event       string         `json:"event"`
			Description string         `json:"description"`
			Example     map[string]any `json:"examplePayload"`
		} `json:"data"`
	}
	if err := json.Unmarshal(schema.BuiltinCatalog(), &catalog); err != nil {
		return "", fmt.Errorf("read the built-in catalog: %w", err)
	}
	grown := map[string]bool{}
	for _, group := range catalog.Data {
		for _, e := range group {
			entity, _, _ := strings.Cut(e.Event, ".")
			for _, f := range fields {
				if !grown[entity] {
					e.Example[f] = "spring"
				}
			}
			grown[entity] = true
		}
	}
	text, err := json.Marshal(catalog)
	if err != nil {
		return "", fmt.Errorf("write a catalog: %w", err)
	}
	path = filepath.Join(r.dir, "catalog-"+strings.Join(fields, "-")+".json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("write a catalog: %w", err)
	}
	return path, nil
}
