-- The mart's months add up to what the warehouse says of each partner.
select partner_id, currency
from (
    select partner_id, currency, earned, paid, outstanding from {{ source('leadhouse', 'commission_by_partner') }}
    union all
    select partner_id, currency, -earned, -paid, -outstanding from {{ ref('partner_commissions_monthly') }}
)
group by partner_id, currency
having sum(earned) != 0 or sum(paid) != 0 or sum(outstanding) != 0
