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
		SELECT if(event_type = 'lead.created', 'lead', assumeNotNull(changes_status)) AS name,
		       uniqExact(lead_id) AS n, toDecimal128(0, 9) AS worth
		FROM lead_events FINAL
		WHERE event_type = 'lead.created' OR changes_status IN ('contacted', 'qualified')
		GROUP BY name
		ORDER BY indexOf(['lead', 'contacted', 'qualified'], name)`)
	if err != nil {
		return nil, nil, wrap("follow the leads", err)
	}
	err = w.conn.Select(ctx, &opportunities, `
		SELECT name, count() AS n, assumeNotNull(sum(value)) AS worth
		FROM (
		    SELECT opportunity_id,
		           anyIf(value, event_type = 'opportunity.created') AS value,
		           groupUniqArray(multiIf(event_type = 'opportunity.created', 'opportunity',
		                                  event_type = 'opportunity.won', 'won', ifNull(to_stage, ''))) AS names
		    FROM opportunity_events FINAL
		    GROUP BY opportunity_id
		)
		ARRAY JOIN names AS name
		WHERE name IN ('opportunity', 'proposal', 'negotiation', 'won')
		GROUP BY name
		ORDER BY indexOf(['opportunity', 'proposal', 'negotiation', 'won'], name)`)
	return leads, opportunities, wrap("follow the opportunities", err)
}

// partnerCommissions are what one partner has earned and been paid.
type partnerCommissions struct {
	Partner     string          `ch:"partner"`
	Company     string          `ch:"company"`
	Commissions uint64          `ch:"commissions"`
	Earned      decimal.Decimal `ch:"earned"`
	Paid        decimal.Decimal `ch:"paid"`
	Outstanding decimal.Decimal `ch:"outstanding"`
}

// commissions are by partner, those with the most to be paid first. A payment names only the commission, so the partner
// comes from where it was earned.
func (w warehouse) commissions(ctx context.Context) (partners []partnerCommissions, err error) {
	err = w.conn.Select(ctx, &partners, `
		SELECT partner, any(company) AS company, count() AS commissions,
		       sum(c.due) AS earned, sum(c.settled) AS paid, earned - paid AS outstanding
		FROM (
		    SELECT commission_id,
		           assumeNotNull(anyIf(partner_id, event_type = 'commission.earned')) AS partner,
		           assumeNotNull(sumIf(amount, event_type = 'commission.earned')) AS due,
		           assumeNotNull(sumIf(amount, event_type = 'commission.paid')) AS settled
		    FROM commission_events FINAL
		    GROUP BY commission_id
		) AS c
		LEFT JOIN (
		    SELECT assumeNotNull(partner_id) AS partner, assumeNotNull(any(company)) AS company
		    FROM partner_events FINAL
		    WHERE event_type = 'partner.registered'
		    GROUP BY partner
		) AS p USING partner
		GROUP BY partner
		ORDER BY outstanding DESC, partner`)
	return partners, wrap("add up commissions", err)
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
