-- lead_status_history: which status each lead has been in and for how long, one row per visit; equal statuses in a row are
--   one visit, and being deleted ends none
-- needs: lead_events
-- key: lead_id, entered_at
-- column: lead_id String the lead's ID
-- column: status String the status
-- column: entered_at DateTime64(3, 'UTC') when the lead got it, UTC
-- column: exited_at Nullable(DateTime64(3, 'UTC')) when it got the next one, UTC; NULL while it is current
-- column: seconds_in_status Nullable(Float64) seconds from entered_at to exited_at; NULL while it is current
-- column: is_current Bool whether it is the lead's status now
-- column: is_first_visit Bool whether the lead has this status for the first time
-- column: lead_created_at Nullable(DateTime64(3, 'UTC')) leads.created_at, UTC; NULL where lead.created has not come
-- column: lead_source Nullable(String) leads.source
SELECT lead_id, visit.1 AS status, assumeNotNull(visit.2) AS entered_at, visit.3 AS exited_at,
  dateDiff('millisecond', entered_at, exited_at) / 1000 AS seconds_in_status, toBool(isNull(exited_at)) AS is_current,
  toBool(visit.4 = 1) AS is_first_visit, lead_created_at, lead_source
FROM
(
  SELECT lead_id, lead_created_at, lead_source,
    arrayCompact(change -> change.2, arraySort(changes)) AS visits,
    arrayMap(change -> change.2, visits) AS statuses,
    arrayMap(change -> toNullable(change.3), visits) AS times,
    arrayJoin(arrayZip(statuses, times, arrayShiftLeft(times, 1), arrayEnumerateUniq(statuses))) AS visit
  FROM
  (
    SELECT id AS lead_id, minOrNullIf(occurred_at, event_type = 'lead.created') AS lead_created_at,
      argMax(given_source, position) AS lead_source,
      groupArrayIf((position, assumeNotNull(given_status), occurred_at), isNotNull(given_status)) AS changes
    FROM
    (
      SELECT assumeNotNull({{col "lead_events" "lead_id" "Nullable(String)"}}) AS id, event_type, occurred_at,
        {{position}} AS position,
        coalesce({{col "lead_events" "changes_source" "Nullable(String)"}}, {{col "lead_events" "source" "Nullable(String)"}}) AS given_source,
        {{col "lead_events" "changes_status" "Nullable(String)"}} AS given_status
      FROM {{table "lead_events"}} FINAL
      WHERE isNotNull({{col "lead_events" "lead_id" "Nullable(String)"}})
    )
    GROUP BY id
  )
)
