package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// Apply runs a plan's statements and records them under a new revision, which it returns. onStep, when not nil, is told
// of every step before it runs. A crash anywhere leaves a state from which the next plan goes on: every statement may run
// twice, and what was done but not recorded is found standing there.
//
// Views come last, and after the record of all else: one that cannot be made keeps no sink from its columns.
func Apply(ctx context.Context, conn driver.Conn, p *Plan, version string, onStep func(Step)) (revision uint32, err error) {
	isView := func(s Step) bool { return s.View != "" }
	tables := slices.DeleteFunc(slices.Clone(p.Steps), isView)
	if err := run(ctx, conn, tables, onStep); err != nil {
		return 0, err
	}
	r, err := p.record(ctx, conn, version, tables, recording{revision: p.revision})
	if err != nil {
		return 0, err
	}
	views := slices.DeleteFunc(slices.Clone(p.Steps), func(s Step) bool { return !isView(s) })
	if err := run(ctx, conn, views, onStep); err != nil {
		return 0, err
	}
	r, err = p.record(ctx, conn, version, views, r)
	return r.revision, err
}

// recording is a revision; run is the one that has written it, "" when it was there before.
type recording struct {
	revision uint32
	run      string
}

func run(ctx context.Context, conn driver.Conn, steps []Step, onStep func(Step)) error {
	for _, step := range steps {
		if onStep != nil {
			onStep(step)
		}
		if step.Statement == "" {
			continue
		}
		for _, sql := range append([]string{step.Statement}, step.Then...) {
			if err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", step.Summary, err)
			}
		}
	}
	return nil
}

// recordTries bounds how often two runs may step out of each other's way. Each try is one insert and one query.
const recordTries = 20

// record writes the revision **after its columns and in one block**: who reads a revision sees all that it made.
//
// ClickHouse has no lock, so two runs can write the same revision. A sink that read it between the two would type rows
// without the second run's columns and mark them as complete. So a run that sees another's rows under its revision
// writes its own again under the next one, which makes those rows stale, and the fill types them again.
//
// What a run adds later goes under the revision that it has, if it has one.
func (p *Plan) record(ctx context.Context, conn driver.Conn, version string, steps []Step, r recording) (recording, error) {
	if !slices.ContainsFunc(steps, func(s Step) bool { return len(s.changes) > 0 }) {
		return r, nil
	}
	if r.run != "" {
		return r, p.insertChanges(ctx, conn, version, steps, r, " views")
	}
	table := quote(p.Database) + "." + quote(changesTable.name)
	for range recordTries {
		var last uint32
		if err := conn.QueryRow(ctx, "SELECT max(revision) FROM "+table).Scan(&last); err != nil {
			return r, fmt.Errorf("read the last revision: %w", err)
		}
		if last >= maxRevision {
			return r, fmt.Errorf("schema_changes holds revision %d, the highest there can be", last)
		}
		r = recording{last + 1, uuid.NewString()}
		if err := p.insertChanges(ctx, conn, version, steps, r, ""); err != nil {
			return r, err
		}
		var others uint64
		err := conn.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE revision = ? AND run_id != ?", r.revision, r.run).Scan(&others)
		if err != nil {
			return r, fmt.Errorf("read revision %d back: %w", r.revision, err)
		}
		if others == 0 {
			return r, nil
		}
	}
	return r, errors.New("other runs of backfill took every revision: let them finish, then run it again")
}

// insertChanges: part tells one block of a revision from another, which would else be taken for the same sent twice.
func (p *Plan) insertChanges(ctx context.Context, conn driver.Conn, version string, steps []Step, r recording, part string) error {
	var (
		revisions                                                                          []uint32
		changedAt                                                                          []time.Time
		versions, runs, tables, columns, kinds, entities, eventTypes, comments, statements []string
		paths                                                                              [][]string
	)
	now := time.Now().UTC()
	for _, step := range steps {
		for _, c := range step.changes {
			revisions = append(revisions, r.revision)
			changedAt = append(changedAt, now)
			versions = append(versions, version)
			runs = append(runs, r.run)
			tables = append(tables, c.table)
			columns = append(columns, c.column)
			kinds = append(kinds, c.kind)
			entities = append(entities, c.entity)
			paths = append(paths, c.path)
			eventTypes = append(eventTypes, c.eventType)
			comments = append(comments, c.comment)
			statements = append(statements, c.statement)
		}
	}
	return insert(ctx, conn, p.Database, changesTable.name, []insertColumn{
		{"revision", revisions},
		{"changed_at", changedAt},
		{"leadhouse_version", versions},
		{"run_id", runs},
		{"table_name", tables},
		{"column_name", columns},
		{"kind", kinds},
		{"entity", entities},
		{"json_path", paths},
		{"event_type", eventTypes},
		{"comment", comments},
		{"statement", statements},
	}, len(revisions), r.run+part)
}

// RecordPull writes to the table catalog what a pull said. source is where from: the API's address, a file, or builtin.
func RecordPull(ctx context.Context, conn driver.Conn, database string, c *Catalog, source string, at time.Time) error {
	var (
		times                                         []time.Time
		sources, groups, types, descriptions, samples []string
	)
	for _, e := range c.Events {
		times = append(times, at.UTC())
		sources = append(sources, source)
		groups = append(groups, e.Group)
		types = append(types, e.Type)
		descriptions = append(descriptions, e.Description)
		samples = append(samples, string(e.Example))
	}
	return insert(ctx, conn, database, "catalog", []insertColumn{
		{"pulled_at", times},
		{"source", sources},
		{"event_group", groups},
		{"event_type", types},
		{"description", descriptions},
		{"example_payload", samples},
	}, len(times), "")
}
