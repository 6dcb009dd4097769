-- partners: every partner as it stands now, one row per partner ID that a partner event has named
-- needs: partner_events
-- key: partner_id
-- column: partner_id String the partner's ID
-- column: company Nullable(String) its company, as last given
-- column: registered_at Nullable(DateTime64(3, 'UTC')) when it registered first, UTC; NULL where partner.registered has not come
-- column: approved_at Nullable(DateTime64(3, 'UTC')) when it was approved first, UTC; NULL before
-- column: is_approved Bool whether it has been approved
-- column: days_to_approve Nullable(Float64) days of 24 hours from registered_at to approved_at
-- column: updated_at DateTime64(3, 'UTC') when its last event of any type happened, UTC
SELECT id AS partner_id, company, registered_at, approved_at, toBool(isNotNull(approved_at)) AS is_approved,
  dateDiff('millisecond', registered_at, approved_at) / 86400000 AS days_to_approve, updated_at
FROM
(
  WITH {{position}} AS position
  SELECT assumeNotNull({{col "partner_events" "partner_id" "Nullable(String)"}}) AS id,
    argMax({{col "partner_events" "company" "Nullable(String)"}}, position) AS company,
    minOrNullIf(occurred_at, event_type = 'partner.registered') AS registered_at,
    minOrNullIf(occurred_at, event_type = 'partner.approved') AS approved_at,
    max(occurred_at) AS updated_at
  FROM {{table "partner_events"}} FINAL
  WHERE isNotNull({{col "partner_events" "partner_id" "Nullable(String)"}})
  GROUP BY id
)
