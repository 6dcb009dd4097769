select commission_id, currency, count() as found
from {{ source('leadhouse', 'commissions') }}
group by commission_id, currency
having found > 1
