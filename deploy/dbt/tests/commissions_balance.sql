select commission_id, currency, earned, paid, outstanding
from {{ source('leadhouse', 'commissions') }}
where outstanding != earned - paid
