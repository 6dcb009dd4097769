package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/shopspring/decimal"
)

// printTables shows what the sender's journal counted and what ClickHouse holds.
func (s *story) printTables(ctx context.Context) error {
	for _, table := range []func(context.Context) error{
		s.tableOfDeliveries, s.tableOfRefusals, s.tableOfDeadLetters, s.tableOfTables, s.tableOfFunnel, s.tableOfCommissions,
		s.tableOfQuality,
	} {
		if err := table(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tableOfDeliveries is the way from what was sent to what is there.
func (s *story) tableOfDeliveries(ctx context.Context) error {
	l, err := s.warehouse.ledger(ctx)
	if err != nil {
		return err
	}
	waits, err := s.visibility.quantiles(ctx, 0.5, 0.99)
	if err != nil {
		return err
	}
	accepted, refused := s.answered()
	g := s.screen.grid("Deliveries", "", "", "counted by ")
	g.row("sent", accepted+refused, "sender")
	g.row("  refused", refused, "sender")
	g.row("  accepted: 202, Kafka has it", accepted, "sender")
	g.row("     rows, one for each event", l.Events, "ClickHouse")
	g.row("     duplicates, collapsed into them", l.collapsed(), "ClickHouse")
	g.row("     dead letters", l.DeadLettered, "ClickHouse")
	g.AppendSeparator()
	g.row("receipt to visible, p50", milliseconds(waits[0]), "a query every 100 ms")
	g.row("receipt to visible, p99", milliseconds(waits[1]), "a query every 100 ms")
	g.print()
	return nil
}

// answered is how many deliveries the sender has a final answer for: a receipt, or a refusal.
func (s *story) answered() (accepted, refused int) {
	j := s.sender.Journal()
	for _, n := range j.Refused() {
		refused += n
	}
	for _, n := range j.Forged() {
		refused += n
	}
	return j.Accepted(), refused
}

func milliseconds(d time.Duration) string { return thousands(d.Milliseconds()) + " ms" }

// tableOfRefusals is why ingest refused. The sender is told only that it was: the reasons are in ingest's metrics.
func (s *story) tableOfRefusals(ctx context.Context) error {
	reasons, err := s.refusals(ctx)
	if err != nil {
		return err
	}
	g := s.screen.grid("Refused: nothing of it is anywhere", "reason, from ingest's metrics", "status", "")
	for _, r := range reasons {
		g.row(r.reason, r.status, r.n)
	}
	g.print()
	return nil
}

// A refusal is a reason, and how often it was ingest's.
type refusal struct {
	reason, status string
	n              int
}

func (s *story) refusals(ctx context.Context) ([]refusal, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.ingestAdmin+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, wrap("read ingest's metrics", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, wrap("read ingest's metrics", err)
	}
	var out []refusal
	for _, m := range families["leadhouse_ingest_requests_total"].GetMetric() {
		r := refusal{n: int(m.GetCounter().GetValue())}
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "reason":
				r.reason = l.GetValue()
			case "code":
				r.status = l.GetValue()
			}
		}
		if r.n > 0 && !strings.HasPrefix(r.status, "2") {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b refusal) int { return b.n - a.n })
	return out, nil
}

func (s *story) tableOfDeadLetters(ctx context.Context) error {
	letters, err := s.warehouse.deadLetters(ctx)
	if err != nil {
		return err
	}
	g := s.screen.grid("Dead letters: signed, but no event; kept byte for byte", "reason", "for example ", "")
	for _, l := range letters {
		g.row(l.Reason, l.Detail, l.N)
	}
	g.print()
	return nil
}

func (s *story) tableOfTables(ctx context.Context) error {
	tables, err := s.warehouse.tables(ctx)
	if err != nil {
		return err
	}
	var rows, columns uint64
	g := s.screen.grid("Tables", "table", "typed columns", "rows", "on disk")
	for _, t := range tables {
		rows, columns = rows+t.Rows, columns+t.Columns
		g.row(t.Name, t.Columns, t.Rows, t.Size)
	}
	g.footer("", columns, rows, "")
	g.print()
	return nil
}

func (s *story) tableOfFunnel(ctx context.Context) error {
	leads, opportunities, err := s.warehouse.funnel(ctx)
	if err != nil {
		return err
	}
	g := s.screen.grid("Funnel", "", "reached", " ", "of step before", "worth")
	for _, steps := range [][]funnelStep{leads, opportunities} {
		for i, step := range steps {
			share, worth := "", ""
			if i > 0 {
				share = fmt.Sprintf("%.0f %%", 100*float64(step.N)/float64(steps[i-1].N))
			}
			if !step.Worth.IsZero() {
				worth = money(step.Worth)
			}
			g.row(step.Name, step.N, stripe(step.N, leads[0].N), share, worth)
		}
		g.AppendSeparator()
	}
	g.print()
	return nil
}

// stripe is a share as a length.
func stripe(n, of uint64) string {
	const full, eighths = 14, "▏▎▍▌▋▊▉█"
	length := int(full * 8 * n / max(of, 1))
	s := strings.Repeat("█", length/8)
	if part := length % 8; part > 0 {
		s += string([]rune(eighths)[part-1])
	}
	return s
}

// partnersShown are those with the most to be paid.
const partnersShown = 8

func (s *story) tableOfCommissions(ctx context.Context) error {
	partners, err := s.warehouse.commissions(ctx)
	if err != nil {
		return err
	}
	g := s.screen.grid("Commissions by partner", "partner", " ", "earned", "paid", "outstanding")
	var rest, all partnerCommissions
	for i, p := range partners {
		all.add(p)
		if i < partnersShown {
			g.row(p.Company, p.Partner[max(0, len(p.Partner)-5):], money(p.Earned), money(p.Paid), money(p.Outstanding))
		} else {
			rest.add(p)
		}
	}
	if n := len(partners) - partnersShown; n > 0 {
		g.row(fmt.Sprintf("and %d more", n), "", money(rest.Earned), money(rest.Paid), money(rest.Outstanding))
	}
	g.footer("", "", money(all.Earned), money(all.Paid), money(all.Outstanding))
	g.print()
	return nil
}

// tableOfQuality is whether the data is fresh, and what is odd about it. The sender forges and repeats and sends what is no
// event, so something is.
func (s *story) tableOfQuality(ctx context.Context) error {
	checks, err := s.warehouse.quality(ctx)
	if err != nil {
		return err
	}
	silence, err := s.warehouse.silence(ctx)
	if err != nil {
		return err
	}
	g := s.screen.grid("Is it fresh, is anything wrong?", "check", "for example ", "")
	fine := 0
	for _, c := range checks {
		if c.Problems == 0 {
			fine++
			continue
		}
		g.row(c.Name, strings.Join(c.Examples[:min(1, len(c.Examples))], ""), c.Problems)
	}
	g.row("checks that find nothing", "", fine)
	g.AppendSeparator()
	g.row("the newest delivery was received", "", fmt.Sprintf("%.0f s ago", silence))
	g.print()
	return nil
}

func (p *partnerCommissions) add(other partnerCommissions) {
	p.Earned = p.Earned.Add(other.Earned)
	p.Paid = p.Paid.Add(other.Paid)
	p.Outstanding = p.Outstanding.Add(other.Outstanding)
}

// money prints an exact amount: 12,345.60. Leadron names no currency.
func money(d decimal.Decimal) string {
	whole, cents, _ := strings.Cut(d.StringFixed(2), ".")
	return groupThousands(whole) + "." + cents
}
