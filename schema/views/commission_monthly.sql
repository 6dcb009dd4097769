-- commission_monthly: what was earned and paid in each month, one row per month and currency that has any
-- needs: commission_events
-- key: month, currency
-- column: month Date first day of the month in which it happened, UTC
-- column: currency String the currency, as in commissions; '' where none was sent
-- column: earned Decimal(38, 9) sum of commission.earned
-- column: paid Decimal(38, 9) sum of commission.paid
-- column: commissions_earned UInt64 how many commission.earned there were
-- column: payments UInt64 how many commission.paid there were
-- column: outstanding_at_month_end Decimal(38, 9) all that was earned less all that was paid, from the first month to the end
--   of this one
{{- $id := col "commission_events" "commission_id" "Nullable(String)"}}
{{- $several := has "commission_events" "currency" "Nullable(String)"}}
SELECT month, currency, sum(part.earned) AS earned, sum(part.paid) AS paid, sum(part.commissions_earned) AS commissions_earned,
  sum(part.payments) AS payments, sum(sum(part.outstanding)) OVER (PARTITION BY currency ORDER BY month) AS outstanding_at_month_end
FROM
(
  {{- if $several}}
  SELECT *, if(given_currency = '', argMinIf(given_currency, first_position, given_currency != '') OVER (PARTITION BY id), given_currency) AS currency
  FROM
  (
  {{- end}}
    SELECT month, given_currency{{if $several}}, id, min(position) AS first_position{{else}} AS currency{{end}},
      sumIf(amount, event_type = 'commission.earned') AS earned, sumIf(amount, event_type = 'commission.paid') AS paid,
      countIf(event_type = 'commission.earned') AS commissions_earned, countIf(event_type = 'commission.paid') AS payments,
      sum(multiIf(event_type = 'commission.earned', amount, event_type = 'commission.paid', -amount, 0)) AS outstanding
    FROM
    (
      SELECT assumeNotNull({{$id}}) AS id, event_type, toStartOfMonth(occurred_at) AS month,
        {{position}} AS position,
        ifNull({{col "commission_events" "currency" "Nullable(String)"}}, '') AS given_currency,
        ifNull({{col "commission_events" "amount" "Nullable(Decimal(38, 9))"}}, 0) AS amount
      FROM {{table "commission_events"}} FINAL
      WHERE isNotNull({{$id}})
    )
    GROUP BY month, given_currency{{if $several}}, id{{end}}
  {{- if $several}}
  )
  {{- end}}
) AS part
GROUP BY month, currency
HAVING commissions_earned + payments > 0
