-- task_completion: how many of the tasks created in each month have been completed, and how long that took, one row per month
--   and assignee; tasks whose task.created has not come are left out
-- needs: tasks
-- key: month
-- column: month Date first day of the month in which the tasks were created, UTC
-- column: assignee_id Nullable(String) who they were assigned to last; NULL where nobody was named
-- column: tasks UInt64 how many tasks were created
-- column: completed UInt64 how many of them have been completed
-- column: open UInt64 how many of them have not
-- column: completion_rate Nullable(Decimal(18, 4)) completed / tasks, 4 digits
-- column: median_hours_to_complete Nullable(Float64) median of the hours from creation to completion
SELECT month, assignee_id, tasks, completed, open, {{rate "completed" "tasks"}} AS completion_rate, median_hours_to_complete
FROM
(
  SELECT toStartOfMonth(assumeNotNull(created_at)) AS month, assignee_id, count() AS tasks, countIf(is_completed) AS completed,
    countIf(NOT is_completed) AS open, quantileExact(0.5)(hours_to_complete) AS median_hours_to_complete
  FROM {{table "tasks"}}
  WHERE isNotNull(created_at)
  GROUP BY month, assignee_id
)
