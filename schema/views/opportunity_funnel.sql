-- opportunity_funnel: how far the opportunities of each month got, one row per month of creation, currency and step reached,
--   which is created, every stage they have been in, won or lost. Those whose opportunity.created has not come are left out
-- needs: opportunities opportunity_stage_history
-- key: cohort_month, currency, step
-- column: cohort_month Date first day of the month in which the opportunities were created, UTC
-- column: currency String the currency of their values; '' where none was sent
-- column: step String created, a stage, or won or lost where that is the status now
-- column: opportunities UInt64 how many of the opportunities have reached it
-- column: value Decimal(38, 9) what these are worth, by the value last given
-- column: opportunities_created UInt64 how many opportunities were created in the month, in the currency
-- column: rate Nullable(Decimal(18, 4)) opportunities / opportunities_created, 4 digits
-- column: median_days Nullable(Float64) median of the days of 24 hours from an opportunity's creation to coming into the stage
--   first, or to being closed
SELECT cohort_month, currency, step, opportunities, value, opportunities_created,
  {{rate "opportunities" "opportunities_created"}} AS rate, median_milliseconds / 86400000 AS median_days
FROM
(
  SELECT cohort_month, currency, step, opportunities, value, median_milliseconds,
    maxIf(opportunities, step = 'created') OVER (PARTITION BY cohort_month, currency) AS opportunities_created
  FROM
  (
    SELECT cohort_month, currency, reached.1 AS step, reached.2 AS opportunities, reached.3 AS value, reached.4 AS median_milliseconds
    FROM
    (
      SELECT toStartOfMonth(assumeNotNull(created_at)) AS cohort_month, currency,
        arrayJoin([('created', count(), sum(ifNull(opportunities.value, 0)), toNullable(toInt64(0))),
          ('won', countIf(status = 'won'), sumIf(ifNull(opportunities.value, 0), status = 'won'),
            quantileExactIf(0.5)(dateDiff('millisecond', created_at, closed_at), status = 'won')),
          ('lost', countIf(status = 'lost'), sumIf(ifNull(opportunities.value, 0), status = 'lost'),
            quantileExactIf(0.5)(dateDiff('millisecond', created_at, closed_at), status = 'lost'))]) AS reached
      FROM {{table "opportunities"}} AS opportunities
      WHERE isNotNull(created_at)
      GROUP BY cohort_month, currency
    )
    WHERE opportunities > 0
    UNION ALL
    SELECT toStartOfMonth(assumeNotNull(opportunity_created_at)) AS cohort_month, currency, stage, count(), sum(ifNull(visit.value, 0)),
      quantileExact(0.5)(dateDiff('millisecond', opportunity_created_at, first_entered_at))
    FROM
    (
      SELECT opportunity_id, stage, any(h.currency) AS currency, any(h.value) AS value,
        any(h.opportunity_created_at) AS opportunity_created_at, min(h.entered_at) AS first_entered_at
      FROM {{table "opportunity_stage_history"}} AS h
      WHERE isNotNull(h.opportunity_created_at) AND stage NOT IN ('created', 'won', 'lost')
      GROUP BY opportunity_id, stage
    ) AS visit
    GROUP BY cohort_month, currency, stage
  )
)
