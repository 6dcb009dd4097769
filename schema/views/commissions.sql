-- commissions: every commission as it stands now, one row per commission ID and currency. An event without a currency is in
--   that of the commission's first event that has one
-- needs: commission_events
-- key: commission_id, currency
-- column: commission_id String the commission's ID
-- column: currency String the currency of the sums; '' where none of the commission's events has one
-- column: partner_id Nullable(String) the partner, as last given by any of its events; NULL where none names one
-- column: earned Decimal(38, 9) sum of commission.earned
-- column: paid Decimal(38, 9) sum of commission.paid
-- column: outstanding Decimal(38, 9) earned less paid; negative where more was paid than earned
-- column: earned_at Nullable(DateTime64(3, 'UTC')) when it was earned first, UTC; NULL where commission.earned has not come
-- column: first_paid_at Nullable(DateTime64(3, 'UTC')) when it was paid first, UTC; NULL before
-- column: last_paid_at Nullable(DateTime64(3, 'UTC')) when it was paid last, UTC; NULL before
-- column: payments UInt64 how often it was paid
-- column: is_settled Bool whether there was a payment and nothing is outstanding
-- column: settled_at Nullable(DateTime64(3, 'UTC')) when it was paid last, UTC; NULL unless is_settled
-- column: days_to_pay Nullable(Float64) days of 24 hours from earned_at to settled_at
-- column: first_event_at DateTime64(3, 'UTC') when its first event of any type happened, in this currency, UTC
{{- $id := col "commission_events" "commission_id" "Nullable(String)"}}
{{- $several := has "commission_events" "currency" "Nullable(String)"}}
SELECT commission_id, currency, partner_id, earned, paid, outstanding, earned_at, first_paid_at, last_paid_at, payments,
  toBool(payments > 0 AND outstanding <= 0) AS is_settled, if(is_settled, last_paid_at, NULL) AS settled_at,
  dateDiff('millisecond', earned_at, settled_at) / 86400000 AS days_to_pay, first_event_at
FROM
(
  {{- if $several}}
  SELECT id AS commission_id, known_currency AS currency, any(known_partner) AS partner_id,
    sum(part.earned) AS earned, sum(part.paid) AS paid, sum(part.outstanding) AS outstanding,
    min(part.earned_at) AS earned_at, min(part.first_paid_at) AS first_paid_at, max(part.last_paid_at) AS last_paid_at,
    sum(part.payments) AS payments, min(part.first_event_at) AS first_event_at
  FROM
  (
    SELECT *, if(given_currency = '', argMinIf(given_currency, first_position, given_currency != '') OVER (PARTITION BY id), given_currency) AS known_currency,
      argMax(last_partner, partner_position) OVER (PARTITION BY id) AS known_partner
    FROM
    (
  {{- end}}
      SELECT {{if $several}}id, given_currency, argMax(given_partner, position) AS last_partner,
        min(position) AS first_position, maxIf(position, isNotNull(given_partner)) AS partner_position,
        {{- else}}id AS commission_id, given_currency AS currency, argMax(given_partner, position) AS partner_id,{{end}}
        sumIf(amount, event_type = 'commission.earned') AS earned,
        sumIf(amount, event_type = 'commission.paid') AS paid,
        sum(multiIf(event_type = 'commission.earned', amount, event_type = 'commission.paid', -amount, 0)) AS outstanding,
        minOrNullIf(occurred_at, event_type = 'commission.earned') AS earned_at,
        minOrNullIf(occurred_at, event_type = 'commission.paid') AS first_paid_at,
        maxOrNullIf(occurred_at, event_type = 'commission.paid') AS last_paid_at,
        countIf(event_type = 'commission.paid') AS payments,
        min(occurred_at) AS first_event_at
      FROM
      (
        SELECT assumeNotNull({{$id}}) AS id, event_type, occurred_at,
          {{position}} AS position,
          ifNull({{col "commission_events" "currency" "Nullable(String)"}}, '') AS given_currency,
          ifNull({{col "commission_events" "amount" "Nullable(Decimal(38, 9))"}}, 0) AS amount,
          {{col "commission_events" "partner_id" "Nullable(String)"}} AS given_partner
        FROM {{table "commission_events"}} FINAL
        WHERE isNotNull({{$id}})
      )
      GROUP BY id, given_currency
  {{- if $several}}
    )
  ) AS part
  GROUP BY id, known_currency
  {{- end}}
)
