-- tasks: every task as it stands now, one row per task ID
-- needs: task_events
-- key: task_id
-- column: task_id String the task's ID
-- column: title Nullable(String) its title, as last given
-- column: assignee_id Nullable(String) who it was assigned to last
-- column: created_at Nullable(DateTime64(3, 'UTC')) when it was created, UTC; NULL where task.created has not come
-- column: completed_at Nullable(DateTime64(3, 'UTC')) when it was completed first, UTC
-- column: is_completed Bool whether it has been completed
-- column: hours_to_complete Nullable(Float64) hours from created_at to completed_at
SELECT id AS task_id, title, assignee_id, created_at, completed_at, toBool(isNotNull(completed_at)) AS is_completed,
  dateDiff('millisecond', created_at, completed_at) / 3600000 AS hours_to_complete
FROM
(
  WITH {{position}} AS position
  SELECT assumeNotNull({{col "task_events" "task_id" "Nullable(String)"}}) AS id,
    argMax({{col "task_events" "title" "Nullable(String)"}}, position) AS title,
    argMax({{col "task_events" "assignee_id" "Nullable(String)"}}, position) AS assignee_id,
    minOrNullIf(occurred_at, event_type = 'task.created') AS created_at,
    minOrNullIf(occurred_at, event_type = 'task.completed') AS completed_at
  FROM {{table "task_events"}} FINAL
  WHERE isNotNull({{col "task_events" "task_id" "Nullable(String)"}})
  GROUP BY id
)
