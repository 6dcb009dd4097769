-- title: Won, lost / month
-- By the month of closing, in UTC.
SELECT toUnixTimestamp(toDateTime(month, 'UTC')) AS t, won, lost
FROM (
  SELECT month, won, lost
  FROM {database:Identifier}.win_rate_monthly
  WHERE month > toStartOfMonth(now('UTC')) - INTERVAL {months:UInt32} MONTH
  ORDER BY month WITH FILL
    FROM toStartOfMonth(now('UTC')) - INTERVAL {months:UInt32} - 1 MONTH TO toStartOfMonth(now('UTC')) + INTERVAL 1 MONTH STEP INTERVAL 1 MONTH
)
ORDER BY t
