package backfill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/leadhouse/leadhouse/schema"
)

// Result is what a run found and did.
type Result struct {
	// Pending says that there is something to do: with Config.PlanOnly, for the exit code. After a whole run it is false.
	Pending bool

	Revision uint32 // the warehouse's, after the run; 0 for one that is not set up
	Steps    int    // of the plan: all applied, or with PlanOnly none
	Retyped  uint64 // rows written again with newer columns
	Moved    uint64 // rows that left other_events for their table
	Carried  uint64 // of both, those whose payload could not be read or was erased, and which stay as they are
	Erased   uint64 // of both, those about leads that were erased, and which were written blank
}

// Run does everything: it returns when the warehouse is as the catalog says and no row is typed with older columns, or
// with an error after which it may simply be run again.
func (b *Backfill) Run(ctx context.Context) (Result, error) {
	c, source, err := b.pull(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("pull the catalog: %w", err)
	}
	state, err := schema.Inspect(ctx, b.cfg.ClickHouse, b.cfg.Database)
	if err != nil {
		return Result{}, fmt.Errorf("inspect database %s: %w", b.cfg.Database, err)
	}
	plan, err := schema.DiffViews(schema.Infer(c), state, schema.Materialize{On: b.cfg.MaterializeViews, Every: b.cfg.MaterializeEvery})
	if err != nil {
		return Result{}, err
	}
	if b.cfg.DeadLettersTTL > 0 {
		if err := plan.ExpireDeadLetters(ctx, b.cfg.ClickHouse, b.cfg.DeadLettersTTL); err != nil {
			return Result{}, err
		}
	}
	w, work, err := b.load(ctx)
	if err != nil {
		return Result{}, err
	}
	b.printPlan(c, source, plan, w, work)
	result := Result{Steps: len(plan.Steps)}
	if w != nil {
		result.Revision = w.Revision
	}
	if b.cfg.PlanOnly {
		result.Pending = !plan.Empty() || !work.empty()
		return result, nil
	}
	if err := b.apply(ctx, plan, c, source); err != nil {
		return result, err
	}
	if err := b.settle(ctx, &result); err != nil {
		return result, err
	}
	if err := b.refresh(ctx, result); err != nil {
		return result, err
	}
	b.printResult(result)
	return result, nil
}

// load reads the warehouse and what its rows wait for; nil where there is none yet.
func (b *Backfill) load(ctx context.Context) (*schema.Warehouse, work, error) {
	w, err := schema.Load(ctx, b.cfg.ClickHouse, b.cfg.Database)
	if errors.Is(err, schema.ErrNotSetUp) {
		return nil, work{}, nil
	}
	if err != nil {
		return nil, work{}, err
	}
	todo, err := b.look(ctx, w)
	return w, todo, err
}

func (b *Backfill) apply(ctx context.Context, plan *schema.Plan, c *schema.Catalog, source string) error {
	began := time.Now()
	fills := fills{b: b}
	revision, err := schema.Apply(fills.watch(ctx), b.cfg.ClickHouse, plan, b.cfg.Version, func(s schema.Step) {
		b.cfg.Logger.Debug().Str("step", printable(s.Summary)).Msg("applying")
		fills.step(ctx, s)
	})
	fills.end()
	if err != nil {
		return fmt.Errorf("apply the plan (run it again: what is done stays): %w", err)
	}
	if !plan.Empty() {
		b.cfg.Logger.Info().Uint32("revision", revision).Int("steps", len(plan.Steps)).Dur("took", time.Since(began)).Msg("plan applied")
	}
	if err := schema.RecordPull(ctx, b.cfg.ClickHouse, b.cfg.Database, c, source, began); err != nil {
		return fmt.Errorf("record the pull: %w", err)
	}
	return nil
}

// printPlan is for a reader. Everything that comes from a catalog goes through printable.
func (b *Backfill) printPlan(c *schema.Catalog, source string, plan *schema.Plan, w *schema.Warehouse, todo work) {
	var text strings.Builder
	line := func(format string, args ...any) { text.WriteString(printable(fmt.Sprintf(format, args...)) + "\n") }
	line("Catalog: %d event types, from %s", len(c.Events), source)
	if plan.Empty() && todo.empty() {
		line("Nothing to do: the database %s is as the catalog has it.", b.cfg.Database)
	} else {
		line("Plan for the database %s:", b.cfg.Database)
	}
	for _, s := range plan.Steps {
		switch {
		case b.cfg.PlanOnly:
			line("  %s", s.Summary)
			for sql := range strings.SplitSeq(strings.Join(append([]string{s.Statement}, s.Then...), ";\n"), "\n") {
				line("      %s", sql)
			}
		case s.View == "":
			line("  %s", s.Summary)
		}
	}
	if !b.cfg.PlanOnly {
		for _, s := range viewLines(plan.Steps) {
			line("  %s", s)
		}
	}
	for _, t := range todo.stale {
		line("  * %s: type %d rows again, they were typed with columns older than revision %d", t.table.Name, t.rows, t.table.Revision)
	}
	for _, t := range todo.moves {
		line("  * %s: move %d rows of %s into it", t.table.Name, t.rows, schema.OtherEvents)
	}
	findings := plan.Findings
	for _, f := range warnings(w) {
		if !slices.Contains(findings, f) { // a plan may have found the same
			findings = append(findings, f)
		}
	}
	if len(findings) > 0 {
		line("Left as it is:")
	}
	for _, f := range findings[:min(len(findings), maxFindings)] {
		line("  ! %s", f)
	}
	if more := len(findings) - maxFindings; more > 0 {
		line("  ! and %d more like these", more)
	}
	b.print(text.String())
}

// viewLines says of all views that share a fate in one line what becomes of them: they are dozens.
func viewLines(steps []schema.Step) (lines []string) {
	views := map[string][]string{} // what is said of one, without its name → those it is said of
	var order []string
	for _, s := range steps {
		if s.View == "" {
			continue
		}
		mark, fate, ok := strings.Cut(s.Summary, " view "+s.View)
		if !ok { // about one thing of a kind
			lines = append(lines, s.Summary)
			continue
		}
		fate = mark + " %d views" + fate + ": "
		if views[fate] == nil {
			order = append(order, fate)
		}
		views[fate] = append(views[fate], s.View)
	}
	for _, fate := range order {
		line := fmt.Sprintf(fate, len(views[fate])) + strings.Join(views[fate], ", ")
		lines = append(lines, strings.Replace(line, " 1 views", " 1 view", 1))
	}
	return lines
}

// maxFindings are printed: a warehouse's are a handful, a hostile catalog's tens of thousands.
const maxFindings = 100

func warnings(w *schema.Warehouse) []string {
	if w == nil {
		return nil
	}
	return w.Warnings
}

func (b *Backfill) printResult(r Result) {
	text := fmt.Sprintf("Done: %s is at revision %d; %d rows typed again, %d moved out of %s.\n", b.cfg.Database, r.Revision, r.Retyped, r.Moved, schema.OtherEvents)
	if r.Carried > 0 {
		text += fmt.Sprintf("Of these, %d rows hold a payload that is no envelope, or another event's, or was erased: their columns stay as they are.\n", r.Carried)
	}
	if r.Erased > 0 {
		text += fmt.Sprintf("Of these, %d rows are about leads that were erased: they were written blank.\n", r.Erased)
	}
	b.print(text)
}

// print writes to Out. A reader that has gone away does not stop the work.
func (b *Backfill) print(text string) { _, _ = b.cfg.Out.Write([]byte(text)) }

// printable replaces what would move a terminal's cursor: a catalog may hold escape sequences.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
