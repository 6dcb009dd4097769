-- form_conversion: how many of the leads that submitted each form were qualified after that, one row per form; submissions that
--   name no form are left out
-- needs: form_submissions lead_status_history
-- key: form_id
-- column: form_id String the form's ID
-- column: submissions UInt64 how often it was submitted
-- column: leads UInt64 how many leads submitted it
-- column: leads_qualified UInt64 how many of them came into the status qualified at their first submission of this form or later
-- column: qualified_rate Nullable(Decimal(18, 4)) leads_qualified / leads, 4 digits
-- column: median_days_to_qualified Nullable(Float64) median of the days of 24 hours from a lead's first submission of this form to
--   that
SELECT form_id, submissions, leads, leads_qualified, {{rate "leads_qualified" "leads"}} AS qualified_rate,
  median_milliseconds / 86400000 AS median_days_to_qualified
FROM
(
  SELECT form_id, sum(submitted) AS submissions, countIf(isNotNull(f.lead_id)) AS leads, countIf(isNotNull(qualified_at)) AS leads_qualified,
    quantileExact(0.5)(dateDiff('millisecond', first_at, qualified_at)) AS median_milliseconds
  FROM
  (
    SELECT assumeNotNull(s.form_id) AS form_id, lead_id, count() AS submitted, min(submitted_at) AS first_at
    FROM {{table "form_submissions"}} AS s
    WHERE isNotNull(s.form_id)
    GROUP BY form_id, lead_id
  ) AS f
  ASOF LEFT JOIN
  (
    SELECT lead_id, entered_at, toNullable(entered_at) AS qualified_at FROM {{table "lead_status_history"}} WHERE status = 'qualified'
  ) AS h ON f.lead_id = h.lead_id AND f.first_at <= h.entered_at
  GROUP BY form_id
)
