-- title: Freshness, seconds
-- How long ago the newest delivery was received, at the end of each interval: a line that keeps climbing is a source that is silent.
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS start
SELECT t, least(t + {rounding:UInt32}, toUnixTimestamp(now())) - toUnixTimestamp(max(last) OVER (ORDER BY t)) AS seconds
FROM (
  SELECT toUnixTimestamp(toStartOfInterval(received_at, INTERVAL {rounding:UInt32} SECOND)) AS t, toNullable(max(received_at)) AS last
  FROM {database:Identifier}.deliveries
  WHERE received_at >= start
  GROUP BY t
  ORDER BY t WITH FILL FROM toUnixTimestamp(start) TO toUnixTimestamp(now()) STEP {rounding:UInt32}
)
ORDER BY t
