-- win_rate_monthly: how many of the opportunities that were closed in each month were won, and how long that took, one row
--   per month. Those that have been opened again since do not count
-- needs: opportunities
-- key: month
-- column: month Date first day of the month in which they were closed, UTC
-- column: closed UInt64 opportunities closed, won + lost
-- column: won UInt64 opportunities won
-- column: lost UInt64 opportunities lost
-- column: win_rate Nullable(Decimal(18, 4)) won / closed, 4 digits
-- column: median_days_to_win Nullable(Float64) median of the days of 24 hours from creation to being won
-- column: median_days_to_lose Nullable(Float64) median of the days of 24 hours from creation to being lost
SELECT month, closed, won, lost, {{rate "won" "closed"}} AS win_rate, median_days_to_win, median_days_to_lose
FROM
(
  SELECT toStartOfMonth(assumeNotNull(closed_at)) AS month, count() AS closed, countIf(status = 'won') AS won, countIf(status = 'lost') AS lost,
    quantileExactIf(0.5)(days_to_close, status = 'won') AS median_days_to_win,
    quantileExactIf(0.5)(days_to_close, status = 'lost') AS median_days_to_lose
  FROM {{table "opportunities"}}
  WHERE status != 'open'
  GROUP BY month
)
