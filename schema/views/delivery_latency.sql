-- delivery_latency: how long events are on their way from Leadron into the warehouse, one row per day. Events that were
--   delivered again count with the delivery that the tables show; what Leadron had to deliver twice is slow for that reason
-- key: day
-- column: day Date the day they were received, UTC
-- column: events UInt64 how many events
-- column: median_seconds_to_receive Float64 median of the seconds from happening in Leadron to being received
-- column: p99_seconds_to_receive Float64 the same for the slowest of a hundred
-- column: median_seconds_to_load Float64 median of the seconds from being received to standing in ClickHouse
-- column: p99_seconds_to_load Float64 the same for the slowest of a hundred
SELECT day, events, to_receive[1] / 1000 AS median_seconds_to_receive, to_receive[2] / 1000 AS p99_seconds_to_receive,
  to_load[1] / 1000 AS median_seconds_to_load, to_load[2] / 1000 AS p99_seconds_to_load
FROM
(
  SELECT toDate(_received_at) AS day, count() AS events,
    quantilesExact(0.5, 0.99)(dateDiff('millisecond', occurred_at, _received_at)) AS to_receive,
    quantilesExact(0.5, 0.99)(dateDiff('millisecond', _received_at, _loaded_at)) AS to_load
  FROM {{table "events"}}
  GROUP BY day
)
