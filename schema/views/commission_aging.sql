-- commission_aging: what is owed to each partner and for how long, one row per partner and currency. The age is that of the
--   commission's first commission.earned, or of its first event where none came, in full days of 24 hours up to now;
--   commissions with nothing outstanding are left out
-- needs: commissions
-- may read: partners
-- key: currency
-- column: partner_id Nullable(String) the partner's ID; NULL for commissions that name none
-- column: company Nullable(String) its company; NULL where no partner event says so
-- column: currency String the currency; '' where none was sent
-- column: owed Decimal(38, 9) what is outstanding; the sum of the four that follow
-- column: days_0_30 Decimal(38, 9) of that, earned up to 30 days ago
-- column: days_31_60 Decimal(38, 9) earned 31 to 60 days ago
-- column: days_61_90 Decimal(38, 9) earned 61 to 90 days ago
-- column: days_over_90 Decimal(38, 9) earned longer ago
-- column: oldest_at DateTime64(3, 'UTC') when the oldest of them was earned, UTC
SELECT sums.partner_id AS partner_id, {{if exists "partners"}}p.company{{else}}CAST(NULL, 'Nullable(String)'){{end}} AS company,
  currency, owed, days_0_30, days_31_60, days_61_90, days_over_90, oldest_at
FROM
(
  SELECT partner_id, currency, sum(outstanding) AS owed,
    sumIf(outstanding, days <= 30) AS days_0_30, sumIf(outstanding, days BETWEEN 31 AND 60) AS days_31_60,
    sumIf(outstanding, days BETWEEN 61 AND 90) AS days_61_90, sumIf(outstanding, days > 90) AS days_over_90, min(since) AS oldest_at
  FROM
  (
    SELECT partner_id, currency, outstanding, ifNull(earned_at, first_event_at) AS since,
      intDiv(dateDiff('millisecond', since, now64(3, 'UTC')), 86400000) AS days
    FROM {{table "commissions"}}
    WHERE outstanding > 0
  )
  GROUP BY partner_id, currency
) AS sums
{{- if exists "partners"}}
LEFT JOIN (SELECT partner_id, company FROM {{table "partners"}}) AS p ON p.partner_id = sums.partner_id
{{- end}}
