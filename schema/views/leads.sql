-- leads: every lead as it stands now, one row per lead ID that a lead event has named; those known from forms alone are
--   counted in data_quality
-- needs: lead_events
-- may read: form_events
-- key: lead_id
-- column: lead_id String the lead's ID
-- column: email Nullable(String) its email address, as last given
-- column: source Nullable(String) where it came from, as last given
-- column: status Nullable(String) its status, as last given by a change; NULL before the first
-- column: created_at Nullable(DateTime64(3, 'UTC')) when it was created first, UTC; NULL where lead.created has not come
-- column: updated_at DateTime64(3, 'UTC') when its last event of any type happened, UTC
-- column: is_deleted Bool whether it has been deleted and not been created again since
-- column: deleted_at Nullable(DateTime64(3, 'UTC')) when it was deleted last, UTC; NULL unless is_deleted
-- column: first_form_id Nullable(String) the form it submitted first; NULL where it submitted none, or that one has no ID
-- column: first_form_at Nullable(DateTime64(3, 'UTC')) when it submitted its first form, UTC
-- column: events UInt64 how many lead events it has; forms are not among them
SELECT lead_id, email, source, status, created_at, updated_at, is_deleted, if(is_deleted, last_deleted_at, NULL) AS deleted_at,
  if(first_form != '', substring(first_form, 2), NULL) AS first_form_id, first_form_at, events
FROM
(
  SELECT id AS lead_id,
    argMax(given_email, position) AS email,
    argMax(given_source, position) AS source,
    argMax(given_status, position) AS status,
    minOrNullIf(occurred_at, event_type = 'lead.created') AS created_at,
    maxIf(occurred_at, of_lead) AS updated_at,
    toBool(argMaxIf(event_type = 'lead.deleted', position, event_type IN ('lead.created', 'lead.deleted'))) AS is_deleted,
    maxOrNullIf(occurred_at, event_type = 'lead.deleted') AS last_deleted_at,
    any(form) AS first_form,
    any(form_at) AS first_form_at,
    countIf(of_lead) AS events
  FROM
  (
    SELECT assumeNotNull({{col "lead_events" "lead_id" "Nullable(String)"}}) AS id, event_type, occurred_at,
      {{position}} AS position,
      coalesce({{col "lead_events" "changes_email" "Nullable(String)"}}, {{col "lead_events" "email" "Nullable(String)"}}) AS given_email,
      coalesce({{col "lead_events" "changes_source" "Nullable(String)"}}, {{col "lead_events" "source" "Nullable(String)"}}) AS given_source,
      {{col "lead_events" "changes_status" "Nullable(String)"}} AS given_status, CAST(NULL, 'Nullable(String)') AS form,
      CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS form_at, true AS of_lead
    FROM {{table "lead_events"}} FINAL
    WHERE isNotNull({{col "lead_events" "lead_id" "Nullable(String)"}})
    {{- if exists "form_events"}}
    UNION ALL
    SELECT assumeNotNull({{col "form_events" "lead_id" "Nullable(String)"}}) AS id, toLowCardinality(''), toDateTime64(0, 3, 'UTC'), '', NULL, NULL, NULL,
      argMin(ifNull(concat('=', {{col "form_events" "form_id" "Nullable(String)"}}), ''),
        {{position}}), min(occurred_at), false
    FROM {{table "form_events"}} FINAL
    WHERE event_type = 'form.submitted' AND isNotNull({{col "form_events" "lead_id" "Nullable(String)"}})
    GROUP BY id
    {{- end}}
  )
  GROUP BY id
  HAVING events > 0
)
