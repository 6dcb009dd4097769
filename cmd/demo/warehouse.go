package main

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"
)

// warehouse asks ClickHouse what has become of the deliveries. Its connection is to the demo's database, so every
// statement here can be pasted into a client. FINAL shows each event once.
type warehouse struct{ conn driver.Conn }

// ledger is the sum over deliveries, the table that has a row for every Kafka record.
type ledger struct {
	Inserted     uint64 `ch:"inserted"`
	DeadLettered uint64 `ch:"dead_lettered"`
	Events       uint64 `ch:"events"` // different event IDs among those inserted
}

// collapsed is how many deliveries repeated an event that had been delivered before.
func (l ledger) collapsed() uint64 { return l.Inserted - l.Events }

func (w warehouse) ledger(ctx context.Context) (l ledger, err error) {
	err = w.conn.QueryRow(ctx, `
		SELECT countIf(outcome = 'inserted') AS inserted,
		       countIf(outcome = 'dead_lettered') AS dead_lettered,
		       uniqExactIf(event_id_hash, outcome = 'inserted') AS events
		FROM deliveries FINAL`).ScanStruct(&l)
	return l, wrap("read the ledger", err)
}

// count is a query's one number.
func (w warehouse) count(ctx context.Context, query string) (n uint64, err error) {
	err = w.conn.QueryRow(ctx, query).Scan(&n)
	return n, wrap("count", err)
}

// tableRows is a table of events.
type tableRows struct {
	Name    string `ch:"name"`
	Columns uint64 `ch:"columns"` // typed ones
	Size    string `ch:"size"`    // on disk
	Rows    uint64 // of different events
}

func (w warehouse) tables(ctx context.Context) (tables []tableRows, err error) {
	err = w.conn.Select(ctx, &tables, `
		SELECT name, uniqExactIf(column_name, column_name != '') AS columns, any(formatReadableSize(total_bytes)) AS size
		FROM schema_changes INNER JOIN system.tables AS t ON t.name = table_name AND t.database = currentDatabase()
		WHERE name LIKE '%\_events'
		GROUP BY name
		ORDER BY name = 'other_events', name`)
	for i := range tables {
		if err == nil {
			tables[i].Rows, err = w.count(ctx, "SELECT count() FROM "+tables[i].Name+" FINAL")
		}
	}
	return tables, wrap("count rows", err)
}

// reasonCount is how many dead letters there are for a reason.
type reasonCount struct {
	Reason string `ch:"reason"`
	Detail string `ch:"detail"` // one of them in words
	N      uint64 `ch:"n"`
}

func (w warehouse) deadLetters(ctx context.Context) (counts []reasonCount, err error) {
	err = w.conn.Select(ctx, &counts, `
		SELECT reason, any(detail) AS detail, count() AS n
		FROM dead_letters FINAL
		GROUP BY reason
		ORDER BY n DESC, reason`)
	return counts, wrap("count dead letters", err)
}

// funnelStep is how many have come as far as a step.
type funnelStep struct {
	Name  string          `ch:"name"`
	N     uint64          `ch:"n"`
	Worth decimal.Decimal `ch:"worth"` // zero for leads
}

// funnel follows leads to the point where they qualify, and opportunities from there on: Leadron's events do not say which
// opportunity was which lead.
func (w warehouse) funnel(ctx context.Context) (leads, opportunities []funnelStep, err error) {
	err = w.conn.Select(ctx, &leads, `
		SELECT if(step = 'created', 'lead', step) AS name, sum(leads) AS n, toDecimal128(0, 9) AS worth
		FROM lead_funnel
		WHERE step IN ('created', 'contacted', 'qualified')
		GROUP BY name
		ORDER BY indexOf(['lead', 'contacted', 'qualified'], name)`)
	if err != nil {
		return nil, nil, wrap("follow the leads", err)
	}
	err = w.conn.Select(ctx, &opportunities, `
		SELECT if(step = 'created', 'opportunity', step) AS name, sum(opportunities) AS n, sum(value) AS worth
		FROM opportunity_funnel
		WHERE step IN ('created', 'proposal', 'negotiation', 'won') AND currency = ''
		GROUP BY name
		ORDER BY indexOf(['opportunity', 'proposal', 'negotiation', 'won'], name)`)
	return leads, opportunities, wrap("follow the opportunities", err)
}

// partnerCommissions are what one partner has earned and been paid.
type partnerCommissions struct {
	Partner     string          `ch:"partner"` // "" for commissions of which no event names one
	Company     string          `ch:"company"`
	Earned      decimal.Decimal `ch:"earned"`
	Paid        decimal.Decimal `ch:"paid"`
	Outstanding decimal.Decimal `ch:"outstanding"`
}

// commissions are by partner, those with the most to be paid first.
func (w warehouse) commissions(ctx context.Context) (partners []partnerCommissions, err error) {
	err = w.conn.Select(ctx, &partners, `
		SELECT ifNull(partner_id, '') AS partner, ifNull(company, '') AS company, earned, paid, outstanding
		FROM commission_by_partner
		WHERE currency = ''
		ORDER BY outstanding DESC, partner`)
	return partners, wrap("add up commissions", err)
}

// check is one of data_quality's.
type check struct {
	Name     string   `ch:"check_name"`
	Problems uint64   `ch:"problems"`
	Examples []string `ch:"examples"`
}

func (w warehouse) quality(ctx context.Context) (checks []check, err error) {
	err = w.conn.Select(ctx, &checks, "SELECT check_name, problems, examples FROM data_quality ORDER BY problems DESC, check_name")
	return checks, wrap("look for what is wrong", err)
}

// silence is how long ago the newest delivery was received, in seconds.
func (w warehouse) silence(ctx context.Context) (seconds float64, err error) {
	err = w.conn.QueryRow(ctx, "SELECT assumeNotNull(min(seconds_since_received)) FROM data_freshness").Scan(&seconds)
	return seconds, wrap("ask how fresh the data is", err)
}

// wrap says what failed, if something did.
func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// eventIDs is how many rows the view events shows for each event: one, if the promise is kept.
func (w warehouse) eventIDs(ctx context.Context) (map[string]int, error) {
	return w.counts(ctx, "SELECT event_id FROM events")
}

// deadBodies is how many dead letters there are with each body.
func (w warehouse) deadBodies(ctx context.Context) (map[string]int, error) {
	return w.counts(ctx, "SELECT payload FROM dead_letters FINAL")
}

// counts counts the values of a query's one column. Here and not in ClickHouse, which is being checked.
func (w warehouse) counts(ctx context.Context, query string) (map[string]int, error) {
	rows, err := w.conn.Query(ctx, query)
	if err != nil {
		return nil, wrap("read all rows", err)
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, wrap("read all rows", err)
		}
		counts[value]++
	}
	return counts, wrap("read all rows", rows.Err())
}
