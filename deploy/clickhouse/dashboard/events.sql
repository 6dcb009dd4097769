-- title: Events / {rounding} s
-- When they happened, in UTC; a type of the catalog without any is a line at 0.
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS start
SELECT t, type, sum(n) AS events
FROM (
  SELECT toUnixTimestamp(toStartOfInterval(occurred_at, INTERVAL {rounding:UInt32} SECOND)) AS t, toString(event_type) AS type, count() AS n
  FROM {database:Identifier}.events
  WHERE occurred_at BETWEEN start AND now('UTC')
  GROUP BY t, type
  UNION ALL
  SELECT arrayJoin(range(toUnixTimestamp(start), toUnixTimestamp(now()), {rounding:UInt32})), toString(event_type), 0
  FROM (SELECT DISTINCT event_type FROM {database:Identifier}.catalog)
)
GROUP BY t, type
ORDER BY t, type
