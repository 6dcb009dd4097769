-- title: Dead letters / {rounding} s
-- Signed, but no event: see the column reason of dead_letters.
WITH toStartOfInterval(now('UTC') - {seconds:UInt32}, INTERVAL {rounding:UInt32} SECOND) AS start
SELECT toUnixTimestamp(toStartOfInterval(received_at, INTERVAL {rounding:UInt32} SECOND)) AS t, count() AS received, countIf(status = 'open') AS still_open
FROM {database:Identifier}.dead_letters FINAL
WHERE received_at >= start
GROUP BY t
ORDER BY t WITH FILL FROM toUnixTimestamp(start) TO toUnixTimestamp(now()) STEP {rounding:UInt32}
