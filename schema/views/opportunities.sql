-- opportunities: every opportunity as it stands now, one row per opportunity ID. Won or lost closes it; it is open again
--   once it is created again or moves to a stage, other than to one named like won, lost or closed, which some CRMs send
--   right after
-- needs: opportunity_events
-- key: opportunity_id
-- column: opportunity_id String the opportunity's ID
-- column: stage Nullable(String) its stage, as last given while it was open; NULL where none was
-- column: status LowCardinality(String) open, won or lost
-- column: value Nullable(Decimal(38, 9)) its value, as last given; NULL where none was
-- column: currency String the currency of that value; '' where none was sent
-- column: created_at Nullable(DateTime64(3, 'UTC')) when it was created first, UTC; NULL where opportunity.created has not come
-- column: won_at Nullable(DateTime64(3, 'UTC')) when it was won last, UTC, even if it has been opened again since
-- column: lost_at Nullable(DateTime64(3, 'UTC')) when it was lost last, UTC, even if it has been opened again since
-- column: closed_at Nullable(DateTime64(3, 'UTC')) when it got its status won or lost, UTC; NULL while it is open
-- column: lost_reason Nullable(String) why it was lost; NULL unless its status is lost and a reason was given
-- column: days_to_close Nullable(Float64) days of 24 hours from created_at to closed_at
-- column: updated_at DateTime64(3, 'UTC') when its last event of any type happened, UTC
-- column: lead_id Nullable(String) the lead, where deliveries name one; Leadron's of today do not, and then no opportunity
--   can be linked to a lead
-- column: partner_id Nullable(String) the partner, where deliveries name one; Leadron's of today do not
-- column: events UInt64 how many opportunity events it has
{{- $id := col "opportunity_events" "opportunity_id" "Nullable(String)"}}
{{- $to := col "opportunity_events" "to_stage" "Nullable(String)"}}
SELECT opportunity_id, stage, CAST(if(decided IN ('won', 'lost'), decided, 'open'), 'LowCardinality(String)') AS status,
  value, currency, created_at, won_at, lost_at, if(status = 'open', NULL, decided_at) AS closed_at,
  if(status = 'lost' AND reason != '', substring(reason, 2), NULL) AS lost_reason,
  dateDiff('millisecond', created_at, closed_at) / 86400000 AS days_to_close,
  updated_at, lead_id, partner_id, events
FROM
(
  SELECT opportunity_id,
    arraySort(moves) AS ordered,
    arrayShiftRight(arrayFill(move -> move.2 != 'late', ordered), 1) AS before,
    arrayLast((move, earlier) -> isNotNull(move.3) AND NOT (move.2 = 'late' AND earlier.2 IN ('won', 'lost')), ordered, before).3 AS stage,
    decided, decided_at, reason, value, currency, created_at, won_at, lost_at, updated_at, lead_id, partner_id, events
  FROM
  (
    SELECT id AS opportunity_id,
      groupArrayIf((position, effect, given_stage), effect != '') AS moves,
      argMaxIf(effect, position, effect NOT IN ('', 'late')) AS decided,
      maxIf(occurred_at, effect NOT IN ('', 'late')) AS decided_at,
      argMaxIf(given_reason, position, effect = 'lost') AS reason,
      argMax(given_value, position) AS value,
      argMaxIf(given_currency, position, isNotNull(given_value)) AS currency,
      minOrNullIf(occurred_at, event_type = 'opportunity.created') AS created_at,
      maxOrNullIf(occurred_at, event_type = 'opportunity.won') AS won_at,
      maxOrNullIf(occurred_at, event_type = 'opportunity.lost') AS lost_at,
      max(occurred_at) AS updated_at,
      argMax(given_lead, position) AS lead_id,
      argMax(given_partner, position) AS partner_id,
      count() AS events
    FROM
    (
      -- A change to a stage named like the end of a deal comes late: it opens nothing, and after the end it is no move.
      SELECT assumeNotNull({{$id}}) AS id, event_type, occurred_at,
        {{position}} AS position,
        multiIf(event_type = 'opportunity.won', 'won', event_type = 'opportunity.lost', 'lost', event_type = 'opportunity.created', 'opens',
          event_type != 'opportunity.stage_changed', '', match(ifNull({{$to}}, 'closed'), '(?i)(won|lost|closed)'), 'late', 'opens') AS effect,
        multiIf(event_type = 'opportunity.created', {{col "opportunity_events" "stage" "Nullable(String)"}},
          event_type = 'opportunity.stage_changed', {{$to}}, NULL) AS given_stage,
        ifNull(concat('=', {{col "opportunity_events" "reason" "Nullable(String)"}}), '') AS given_reason, -- a NULL must not be passed over
        {{col "opportunity_events" "value" "Nullable(Decimal(38, 9))"}} AS given_value,
        ifNull({{col "opportunity_events" "currency" "Nullable(String)"}}, '') AS given_currency,
        {{col "opportunity_events" "lead_id" "Nullable(String)"}} AS given_lead,
        {{col "opportunity_events" "partner_id" "Nullable(String)"}} AS given_partner
      FROM {{table "opportunity_events"}} FINAL
      WHERE isNotNull({{$id}})
    )
    GROUP BY id
  )
)
