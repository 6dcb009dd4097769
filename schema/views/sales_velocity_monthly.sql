-- sales_velocity_monthly: how much money the opportunities closed in each month brought per day of their sales cycle, one row
--   per month and currency. Those that have been opened again since do not count
-- needs: opportunities
-- key: month, currency
-- column: month Date first day of the month in which they were closed, UTC
-- column: currency String the currency of their values; '' where none was sent
-- column: won UInt64 opportunities won
-- column: lost UInt64 opportunities lost
-- column: won_value Decimal(38, 9) what those won are worth, by the value last given
-- column: average_won_value Nullable(Decimal(38, 9)) won_value / won, cut after 9 digits; NULL where none was won
-- column: win_rate Nullable(Decimal(18, 4)) won / (won + lost), 4 digits
-- column: median_days_to_win Nullable(Float64) median of the days of 24 hours from creation to being won
-- column: velocity_per_day Nullable(Float64) won_value / median_days_to_win, which is opportunities × win rate × average value /
--   days; NULL where that median is NULL, 0 or less
SELECT month, currency, won, lost, won_value, if(won = 0, NULL, won_value / greatest(won, 1)) AS average_won_value,
  {{rate "won" "(won + lost)"}} AS win_rate, median_days_to_win,
  if(median_days_to_win > 0, toFloat64(won_value) / median_days_to_win, NULL) AS velocity_per_day
FROM
(
  SELECT toStartOfMonth(assumeNotNull(closed_at)) AS month, currency, countIf(status = 'won') AS won, countIf(status = 'lost') AS lost,
    sumIf(ifNull(value, 0), status = 'won') AS won_value,
    quantileExactIf(0.5)(days_to_close, status = 'won') AS median_days_to_win
  FROM {{table "opportunities"}}
  WHERE status != 'open'
  GROUP BY month, currency
)
