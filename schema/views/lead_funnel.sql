-- lead_funnel: how far the leads of each month got, one row per month of creation and step reached, which is created,
--   every status they have had, or deleted. Leads whose lead.created has not come are
--   left out. It ends where the lead does: Leadron's deliveries of today link no opportunity to a lead
-- needs: leads lead_status_history
-- key: cohort_month, step
-- column: cohort_month Date first day of the month in which the leads were created, UTC
-- column: step String created, a status, or deleted (and not created again since)
-- column: leads UInt64 how many of the leads have reached it
-- column: leads_created UInt64 how many leads were created in the month
-- column: rate Nullable(Decimal(18, 4)) leads / leads_created, 4 digits
-- column: median_days Nullable(Float64) median of the days of 24 hours from a lead's creation to reaching the step first
SELECT cohort_month, step, leads, leads_created, {{rate "leads" "leads_created"}} AS rate,
  median_milliseconds / 86400000 AS median_days
FROM
(
  SELECT cohort_month, step, leads, median_milliseconds,
    maxIf(leads, step = 'created') OVER (PARTITION BY cohort_month) AS leads_created
  FROM
  (
    SELECT cohort_month, reached.1 AS step, reached.2 AS leads, reached.3 AS median_milliseconds
    FROM
    (
      SELECT toStartOfMonth(assumeNotNull(created_at)) AS cohort_month,
        arrayJoin([('created', count(), toNullable(toInt64(0))),
          ('deleted', countIf(is_deleted), quantileExact(0.5)(dateDiff('millisecond', created_at, deleted_at)))]) AS reached
      FROM {{table "leads"}}
      WHERE isNotNull(created_at)
      GROUP BY cohort_month
    )
    WHERE leads > 0
    UNION ALL
    SELECT toStartOfMonth(assumeNotNull(lead_created_at)) AS cohort_month, status, count(),
      quantileExact(0.5)(dateDiff('millisecond', lead_created_at, entered_at))
    FROM {{table "lead_status_history"}}
    WHERE is_first_visit AND isNotNull(lead_created_at) AND status NOT IN ('created', 'deleted')
    GROUP BY cohort_month, status
  )
)
