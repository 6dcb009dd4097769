{{ config(materialized='table', engine='MergeTree()', order_by='(month, currency)') }}

-- Commissions as they stand, by the month in which they were earned (or first heard of), so that a month's row changes when it
-- is paid. The sums over the months are commission_by_partner's: tests/months_add_up.sql.
select
    toStartOfMonth(ifNull(c.earned_at, c.first_event_at), 'UTC') as month,
    c.currency as currency,
    c.partner_id as partner_id,
    p.company as company,
    count() as commissions,
    countIf(c.is_settled) as settled,
    sum(c.earned) as earned,
    sum(c.paid) as paid,
    sum(c.outstanding) as outstanding
from {{ source('leadhouse', 'commissions') }} as c
left join {{ source('leadhouse', 'partners') }} as p on p.partner_id = c.partner_id
group by month, currency, partner_id, company
