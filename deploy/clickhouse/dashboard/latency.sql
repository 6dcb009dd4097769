-- title: Latency, seconds / day
-- By the day of receipt, in UTC: from the event to ingest (receive), and from there to the row (load).
SELECT toUnixTimestamp(toDateTime(day, 'UTC')) AS t, receive_p50, receive_p99, load_p50, load_p99
FROM (
  SELECT day, toNullable(median_seconds_to_receive) AS receive_p50, toNullable(p99_seconds_to_receive) AS receive_p99,
    toNullable(median_seconds_to_load) AS load_p50, toNullable(p99_seconds_to_load) AS load_p99
  FROM {database:Identifier}.delivery_latency
  WHERE day >= toDate(now('UTC') - {seconds:UInt32})
  ORDER BY day WITH FILL FROM toDate(now('UTC') - {seconds:UInt32}) TO toDate(now('UTC')) + 1 STEP 1
)
ORDER BY t
