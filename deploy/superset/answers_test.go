//go:build bi

package superset_test

// answers are what the charts must show: for each question of a chart, by its name, SQL whose columns are named as the chart's.
// What is counted and summed here of the event tables counts each event ID once, whatever FINAL and the views make of it.
var answers = map[string][]string{
	"Leads created": {`
		SELECT uniqExact(lead_id) AS leads_sum FROM leadron.lead_events WHERE event_type = 'lead.created'`},
	"Lead funnel": {`
		SELECT multiIf(event_type = 'lead.created', 'created', event_type = 'lead.deleted', 'deleted', changes_status) AS step,
			uniqExact(lead_id) AS leads_sum
		FROM leadron.lead_events
		WHERE isNotNull(step) AND lead_id IN (SELECT lead_id FROM leadron.lead_events WHERE event_type = 'lead.created')
		GROUP BY step`},
	"Lead funnel by source": {`
		SELECT origin AS source, multiIf(event_type = 'lead.created', 'created', event_type = 'lead.deleted', 'deleted', changes_status) AS step,
			uniqExact(lead_id) AS leads_sum
		FROM leadron.lead_events
		INNER JOIN (` + origins + `) AS o USING (lead_id)
		WHERE isNotNull(step)
		GROUP BY source, step`},
	"Qualified by source": {`
		SELECT origin AS source, uniqExactIf(lead_id, event_type = 'lead.created') AS created_leads,
			uniqExactIf(lead_id, changes_status = 'qualified') AS qualified_leads, qualified_leads / created_leads AS qualified_rate
		FROM leadron.lead_events
		INNER JOIN (` + origins + `) AS o USING (lead_id)
		GROUP BY source`},

	"Win rate": {`SELECT sum(won) / sum(won + lost) AS win_rate_of_all FROM leadron.win_rate_monthly`},
	"Win rate by month": {
		`SELECT toUnixTimestamp(month) * 1000 AS month, won AS won_sum, lost AS lost_sum FROM leadron.win_rate_monthly`,
		`SELECT toUnixTimestamp(month) * 1000 AS month, won / closed AS win_rate_of_all FROM leadron.win_rate_monthly`,
	},
	"Sales velocity by month: money won per day of cycle": {`
		SELECT toUnixTimestamp(month) * 1000 AS month, 'no currency' AS currency_shown, velocity_per_day AS velocity
		FROM leadron.sales_velocity_monthly`},
	"Where opportunities go from each stage": {`
		SELECT stage, moved_on AS moved_on_sum, won AS won_sum, lost AS lost_sum, still_in AS still_in_sum
		FROM leadron.stage_conversion`},
	"Stages: rates and time": {`
		SELECT stage, visits, moved_on_rate, won_rate, lost_rate, median_days_in_stage FROM leadron.stage_conversion`},

	"Commissions by currency": {`
		SELECT '' AS currency, count() AS commissions, sum(e) AS earned, sum(p) AS paid, sum(greatest(e - p, 0)) AS owed,
			sum(greatest(p - e, 0)) AS overpaid
		FROM
		(
			SELECT commission, sumIf(amount, type = 'commission.earned') AS e, sumIf(amount, type = 'commission.paid') AS p
			FROM (` + commissionEvents + `)
			GROUP BY commission
		)`},
	"Commissions by month": {`
		SELECT toUnixTimestamp(toStartOfMonth(at)) * 1000 AS month, 'no currency' AS currency_shown,
			sumIf(amount, type = 'commission.earned') AS Earned, sumIf(amount, type = 'commission.paid') AS Paid
		FROM (` + commissionEvents + `)
		GROUP BY month`},
	"Commissions by partner": {`
		SELECT partner_id, company, currency, earned, paid, owed, median_days_to_pay FROM leadron.commission_by_partner`},
	"How old is what is owed": {`
		SELECT arrayStringConcat([company, ifNull(partner_id, 'no partner')], ' · ') AS partner_shown, days_0_30 AS owed_0_30, days_31_60 AS owed_31_60,
			days_61_90 AS owed_61_90, days_over_90 AS owed_over_90, owed AS owed_total
		FROM leadron.commission_aging ORDER BY owed DESC LIMIT 15`},

	"Since the last delivery": {`
		SELECT seconds_since_received * 1000 AS ms_since_received FROM leadron.data_freshness WHERE table_name = 'deliveries'`},
	"Problems in the data": {`SELECT sum(problems) AS problems_sum FROM leadron.data_quality`},
	"Freshness": {`
		SELECT table_name, toUnixTimestamp64Milli(last_occurred_at) AS last_occurred_at,
			toUnixTimestamp64Milli(last_received_at) AS last_received_at, seconds_since_received
		FROM leadron.data_freshness ORDER BY table_name`},
	"Data quality": {`
		SELECT check_name, problems, meaning FROM leadron.data_quality`},
}

const (
	origins = `SELECT lead_id, any(source) AS origin FROM leadron.lead_events WHERE event_type = 'lead.created' GROUP BY lead_id`

	commissionEvents = `SELECT any(event_type) AS type, any(occurred_at) AS at, argMax(commission_id, _version) AS commission,
			ifNull(argMax(amount, _version), 0) AS amount
		FROM leadron.commission_events GROUP BY event_id HAVING isNotNull(commission)`
)
