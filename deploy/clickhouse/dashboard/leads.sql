-- title: Leads, qualified / month
-- By the month of their creation, in UTC; qualified are those of them that have been qualified since.
SELECT toUnixTimestamp(toDateTime(cohort_month, 'UTC')) AS t, created, qualified
FROM (
  SELECT cohort_month, sumIf(leads, step = 'created') AS created, sumIf(leads, step = 'qualified') AS qualified
  FROM {database:Identifier}.lead_funnel
  WHERE cohort_month > toStartOfMonth(now('UTC')) - INTERVAL {months:UInt32} MONTH
  GROUP BY cohort_month
  ORDER BY cohort_month WITH FILL
    FROM toStartOfMonth(now('UTC')) - INTERVAL {months:UInt32} - 1 MONTH TO toStartOfMonth(now('UTC')) + INTERVAL 1 MONTH STEP INTERVAL 1 MONTH
)
ORDER BY t
