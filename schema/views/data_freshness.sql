-- data_freshness: how new the newest data are, one row per event table, and one each for deliveries and dead_letters, which
--   have every record that was received
-- column: table_name String the table
-- column: last_occurred_at Nullable(DateTime64(3, 'UTC')) when the newest event happened in Leadron, UTC; NULL for an empty table
--   and for deliveries and dead_letters
-- column: last_received_at Nullable(DateTime64(3, 'UTC')) when the newest delivery was received, UTC; NULL for an empty table
-- column: last_loaded_at Nullable(DateTime64(3, 'UTC')) when the newest row was written, UTC; NULL for an empty table
-- column: seconds_since_received Nullable(Float64) seconds from last_received_at to now; NULL for an empty table
SELECT table_name, last_occurred_at, last_received_at, last_loaded_at,
  dateDiff('millisecond', last_received_at, now64(3, 'UTC')) / 1000 AS seconds_since_received
FROM
(
  SELECT 'deliveries' AS table_name, CAST(NULL, 'Nullable(DateTime64(3, \'UTC\'))') AS last_occurred_at,
    maxOrNull(received_at) AS last_received_at, maxOrNull(loaded_at) AS last_loaded_at
  FROM {{table "deliveries"}}
  UNION ALL
  SELECT 'dead_letters', NULL, maxOrNull(received_at), maxOrNull(loaded_at) FROM {{table "dead_letters"}}
  {{- range eventTables}}
  UNION ALL
  SELECT '{{.}}', maxOrNull(occurred_at), maxOrNull(_received_at), maxOrNull(_loaded_at) FROM {{table .}}
  {{- end}}
)
