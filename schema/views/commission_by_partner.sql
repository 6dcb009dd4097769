-- commission_by_partner: each partner's commissions added up, one row per partner and currency
-- needs: commissions
-- may read: partners
-- key: currency
-- column: partner_id Nullable(String) the partner's ID; NULL for commissions that name none
-- column: company Nullable(String) its company; NULL where no partner event says so
-- column: currency String the currency; '' where none was sent
-- column: commissions UInt64 how many commissions it has
-- column: earned Decimal(38, 9) what it earned
-- column: paid Decimal(38, 9) what it was paid
-- column: outstanding Decimal(38, 9) earned less paid, which is owed less overpaid
-- column: owed Decimal(38, 9) what is outstanding of the commissions paid too little
-- column: overpaid Decimal(38, 9) what was paid too much of the others
-- column: settled UInt64 how many commissions have been paid and have nothing outstanding
-- column: median_days_to_pay Nullable(Float64) median of the days of 24 hours from earning a commission to its last payment, of
--   those settled
SELECT sums.partner_id AS partner_id, {{if exists "partners"}}p.company{{else}}CAST(NULL, 'Nullable(String)'){{end}} AS company,
  currency, commissions, earned, paid, outstanding, owed, overpaid, settled, median_days_to_pay
FROM
(
  SELECT partner_id, currency, count() AS commissions, sum(c.earned) AS earned, sum(c.paid) AS paid, sum(c.outstanding) AS outstanding,
    sumIf(c.outstanding, c.outstanding > 0) AS owed, sumIf(-c.outstanding, c.outstanding < 0) AS overpaid, countIf(is_settled) AS settled,
    quantileExact(0.5)(days_to_pay) AS median_days_to_pay
  FROM {{table "commissions"}} AS c
  GROUP BY partner_id, currency
) AS sums
{{- if exists "partners"}}
LEFT JOIN (SELECT partner_id, company FROM {{table "partners"}}) AS p ON p.partner_id = sums.partner_id
{{- end}}
