-- stage_conversion: what comes of an opportunity in each stage, one row per stage, over all visits of all time
-- needs: opportunity_stage_history
-- key: stage
-- column: stage String the stage
-- column: visits UInt64 how often an opportunity came into it; moved_on + won + lost + still_in
-- column: moved_on UInt64 visits that ended in another stage
-- column: won UInt64 visits that ended with the opportunity won
-- column: lost UInt64 visits that ended with the opportunity lost
-- column: still_in UInt64 visits that have not ended
-- column: moved_on_rate Nullable(Decimal(18, 4)) moved_on / visits, 4 digits
-- column: won_rate Nullable(Decimal(18, 4)) won / visits, 4 digits
-- column: lost_rate Nullable(Decimal(18, 4)) lost / visits, 4 digits
-- column: median_days_in_stage Nullable(Float64) median length of the visits that ended, in days of 24 hours
SELECT stage, visits, moved_on, won, lost, still_in, {{rate "moved_on" "visits"}} AS moved_on_rate, {{rate "won" "visits"}} AS won_rate,
  {{rate "lost" "visits"}} AS lost_rate, median_milliseconds / 86400000 AS median_days_in_stage
FROM
(
  SELECT stage, count() AS visits, countIf(exit = 'moved') AS moved_on, countIf(exit = 'won') AS won, countIf(exit = 'lost') AS lost,
    countIf(is_current) AS still_in, quantileExact(0.5)(dateDiff('millisecond', entered_at, exited_at)) AS median_milliseconds
  FROM {{table "opportunity_stage_history"}}
  GROUP BY stage
)
