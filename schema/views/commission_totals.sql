-- commission_totals: all commissions added up, one row per currency
-- needs: commissions
-- key: currency
-- column: currency String the currency; '' where none was sent
-- column: commissions UInt64 how many commissions there are
-- column: earned Decimal(38, 9) what was earned
-- column: paid Decimal(38, 9) what was paid
-- column: outstanding Decimal(38, 9) earned less paid, which is owed less overpaid
-- column: owed Decimal(38, 9) what is outstanding of the commissions paid too little
-- column: overpaid Decimal(38, 9) what was paid too much of the others
-- column: settled UInt64 how many commissions have been paid and have nothing outstanding
SELECT currency, count() AS commissions, sum(c.earned) AS earned, sum(c.paid) AS paid, sum(c.outstanding) AS outstanding,
  sumIf(c.outstanding, c.outstanding > 0) AS owed, sumIf(-c.outstanding, c.outstanding < 0) AS overpaid, countIf(is_settled) AS settled
FROM {{table "commissions"}} AS c
GROUP BY currency
