-- opportunity_stage_history: which stage each opportunity has been in and for how long, one row per visit. Won or lost ends
--   the visit; equal stages in a row are one
-- needs: opportunity_events
-- key: opportunity_id, entered_at
-- column: opportunity_id String the opportunity's ID
-- column: stage String the stage
-- column: entered_at DateTime64(3, 'UTC') when it came there, UTC
-- column: exited_at Nullable(DateTime64(3, 'UTC')) when it moved on or was won or lost, UTC; NULL while it is there
-- column: seconds_in_stage Nullable(Float64) seconds from entered_at to exited_at; NULL while it is there
-- column: is_current Bool whether it is there now
-- column: exit Nullable(String) how it left: moved, won or lost; NULL while it is there
-- column: next_stage Nullable(String) where it moved; NULL unless exit is moved
-- column: opportunity_created_at Nullable(DateTime64(3, 'UTC')) opportunities.created_at, UTC; NULL where opportunity.created
--   has not come
-- column: currency String opportunities.currency, of the value; '' where none was sent
-- column: value Nullable(Decimal(38, 9)) opportunities.value, as last given whatever stage that was in; NULL where none was
{{- $id := col "opportunity_events" "opportunity_id" "Nullable(String)"}}
{{- $to := col "opportunity_events" "to_stage" "Nullable(String)"}}
SELECT opportunity_id, assumeNotNull(visit.1.3) AS stage, visit.1.4 AS entered_at,
  if(visit.2.2 = '', NULL, visit.2.4) AS exited_at,
  dateDiff('millisecond', entered_at, exited_at) / 1000 AS seconds_in_stage, toBool(isNull(exited_at)) AS is_current,
  multiIf(visit.2.2 = '', NULL, visit.2.2 IN ('won', 'lost'), visit.2.2, 'moved') AS exit,
  visit.2.3 AS next_stage, opportunity_created_at, currency, value
FROM
(
  -- What counts is the moves into a stage and the ends. Of ends in a row, and of moves to one stage, the first counts.
  SELECT opportunity_id,
    arraySort(moves) AS ordered,
    arrayShiftRight(arrayFill(move -> move.2 != 'late', ordered), 1) AS before,
    arrayCompact(move -> (move.2 IN ('won', 'lost'), move.3), arrayFilter((move, earlier) -> move.2 IN ('won', 'lost')
      OR isNotNull(move.3) AND NOT (move.2 = 'late' AND earlier.2 IN ('won', 'lost')), ordered, before)) AS counted,
    arrayJoin(arrayFilter(pair -> pair.1.2 NOT IN ('won', 'lost'),
      arrayZip(counted, arrayShiftLeft(counted, 1)))) AS visit,
    opportunity_created_at, currency, value
  FROM
  (
    SELECT id AS opportunity_id,
      groupArrayIf((position, effect, given_stage, occurred_at), effect != '') AS moves,
      argMax(given_value, position) AS value,
      argMaxIf(given_currency, position, isNotNull(given_value)) AS currency,
      minOrNullIf(occurred_at, event_type = 'opportunity.created') AS opportunity_created_at
    FROM
    (
      -- A change to a stage named like the end of a deal comes late: it opens nothing, and after the end it is no move.
      SELECT assumeNotNull({{$id}}) AS id, event_type, occurred_at,
        {{position}} AS position,
        multiIf(event_type = 'opportunity.won', 'won', event_type = 'opportunity.lost', 'lost', event_type = 'opportunity.created', 'opens',
          event_type != 'opportunity.stage_changed', '', match(ifNull({{$to}}, 'closed'), '(?i)(won|lost|closed)'), 'late', 'opens') AS effect,
        multiIf(event_type = 'opportunity.created', {{col "opportunity_events" "stage" "Nullable(String)"}},
          event_type = 'opportunity.stage_changed', {{$to}}, NULL) AS given_stage,
        {{col "opportunity_events" "value" "Nullable(Decimal(38, 9))"}} AS given_value,
        ifNull({{col "opportunity_events" "currency" "Nullable(String)"}}, '') AS given_currency
      FROM {{table "opportunity_events"}} FINAL
      WHERE isNotNull({{$id}})
    )
    GROUP BY id
  )
)
