-- title: Commissions / month
-- By the month of the event, in UTC; a line each for every currency.
SELECT toUnixTimestamp(toDateTime(m, 'UTC')) AS t, trim(concat(line.1, ' ', c)) AS label, toFloat64(sum(line.2)) AS amount
FROM (
  SELECT month AS m, currency AS c, earned, paid
  FROM {database:Identifier}.commission_monthly
  WHERE month > toStartOfMonth(now('UTC')) - INTERVAL {months:UInt32} MONTH
  UNION ALL
  SELECT toStartOfMonth(now('UTC')) - INTERVAL number MONTH, arrayJoin((
    SELECT if(empty(groupArray(currency)), [''], groupArray(currency)) FROM {database:Identifier}.commission_totals)), 0, 0
  FROM numbers({months:UInt32})
)
ARRAY JOIN [('earned', earned), ('paid', paid)] AS line
GROUP BY m, label
ORDER BY t, label
