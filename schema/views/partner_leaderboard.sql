-- partner_leaderboard: partners by what they earned, one row per partner and currency; commissions that name no partner are
--   left out
-- needs: commissions
-- may read: partners
-- key: partner_id, currency
-- column: partner_id String the partner's ID
-- column: company Nullable(String) its company; NULL where no partner event says so
-- column: currency String the currency; '' where none was sent
-- column: rank UInt64 its place by what it earned in this currency, from 1; equal ones share the place
-- column: is_approved Bool whether it has been approved
-- column: commissions UInt64 how many commissions it has
-- column: earned Decimal(38, 9) what it earned
-- column: paid Decimal(38, 9) what it was paid
-- column: outstanding Decimal(38, 9) earned less paid; negative where more was paid than earned
SELECT sums.partner_id AS partner_id, {{if exists "partners"}}p.company{{else}}CAST(NULL, 'Nullable(String)'){{end}} AS company,
  currency, rank() OVER (PARTITION BY currency ORDER BY earned DESC) AS rank,
  {{if exists "partners"}}ifNull(p.is_approved, false){{else}}false{{end}} AS is_approved, commissions, earned, paid, outstanding
FROM
(
  SELECT assumeNotNull(c.partner_id) AS partner_id, currency, count() AS commissions, sum(c.earned) AS earned, sum(c.paid) AS paid,
    sum(c.outstanding) AS outstanding
  FROM {{table "commissions"}} AS c
  WHERE isNotNull(c.partner_id)
  GROUP BY partner_id, currency
) AS sums
{{- if exists "partners"}}
LEFT JOIN (SELECT partner_id, company, is_approved FROM {{table "partners"}}) AS p ON p.partner_id = sums.partner_id
{{- end}}
