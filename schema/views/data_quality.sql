-- data_quality: what is odd in the data, one row per check, also where nothing is
-- may read: commissions opportunities leads form_events lead_events opportunity_events
-- key: check_name
-- column: check_name String the check
-- column: problems UInt64 how many commissions, opportunities, leads, events or records it concerns; 0 is good
-- column: examples Array(String) up to five of their IDs, the first in order; of records in Kafka their epoch/partition/offset
-- column: meaning String what it means, and where to look
SELECT check_name, sum(found.problems) AS problems, groupArrayArray(found.examples) AS examples, max(found.meaning) AS meaning
FROM
(
  SELECT check.1 AS check_name, toUInt64(0) AS problems, CAST([], 'Array(String)') AS examples, check.2 AS meaning
  FROM
  (
    SELECT arrayJoin([
      ('commission_paid_without_earned', 'Commissions that were paid and never earned: their commission.earned has not come; see commissions where earned_at is NULL.'),
      ('commission_paid_more_than_earned', 'Commissions of which more was paid than earned: paid twice, or a payment in another currency; see commissions where outstanding is negative.'),
      ('commission_in_several_currencies', 'Commissions with events in more than one currency: each has a row per currency in commissions, and nothing is added up across them.'),
      ('stage_change_of_unknown_opportunity', 'Opportunities that moved and were never created: their opportunity.created has not come, and the funnels leave them out; see opportunities where created_at is NULL.'),
      ('opportunity_closed_without_created', 'Opportunities that are won or lost and were never created: no days to close can be told of them; see opportunities where created_at is NULL.'),
      ('lead_without_created', 'Leads that were changed or deleted and never created: their lead.created has not come, and the funnels leave them out; see leads where created_at is NULL.'),
      ('form_of_unknown_lead', 'Submissions of forms by leads of which no lead event has come; see form_submissions.'),
      ('event_without_entity_id', 'Events that do not say whom they are about: no view but the one of their type shows them; see the event table, and there payload and _invalid_fields.'),
      ('invalid_fields', 'Events with a field that did not fit its column and is NULL there; see _invalid_fields of the event table, and payload, which keeps it.'),
      ('unknown_event_types', 'Events of types that Leadron''s catalog, as last pulled, does not name; see event_type in events, and run leadhouse backfill.'),
      ('event_id_conflicts', 'Event IDs that came with more than one body, of which one is shown; see event_id_conflicts.'),
      ('open_dead_letters', 'Records that are no event and that nobody has dealt with; see dead_letters, and leadhouse deadletters.'),
      ('open_offset_gaps', 'Runs of Kafka records that were lost before they could be read, and that nobody has taken note of; see offset_gaps, and leadhouse verify.'),
      ('absurd_amount', 'Events with an amount or value of 10^18 or more, with which sums may overflow; see value of opportunity_events and amount of commission_events.')
    ]) AS check
  )
  {{- if exists "commissions"}}
  UNION ALL
  SELECT check.1, check.2, check.3, ''
  FROM
  (
    SELECT arrayJoin([
      ('commission_paid_without_earned', countIf(unearned), groupArraySortedIf(5)(commission_id, unearned)),
      ('commission_paid_more_than_earned', countIf(overpaid), groupArraySortedIf(5)(commission_id, overpaid)),
      ('commission_in_several_currencies', countIf(several), groupArraySortedIf(5)(commission_id, several))]) AS check
    FROM
    (
      SELECT commission_id, max(payments > 0 AND isNull(earned_at)) AS unearned, max(isNotNull(earned_at) AND outstanding < 0) AS overpaid,
        count() > 1 AS several
      FROM {{table "commissions"}}
      GROUP BY commission_id
      HAVING unearned OR overpaid OR several
    )
  )
  {{- end}}
  {{- if exists "opportunities"}}
  {{- $id := col "opportunity_events" "opportunity_id" "Nullable(String)"}}
  UNION ALL
  SELECT 'opportunity_closed_without_created', count(), groupArraySorted(5)(opportunity_id), ''
  FROM {{table "opportunities"}}
  WHERE status != 'open' AND isNull(created_at)
  UNION ALL
  SELECT 'stage_change_of_unknown_opportunity', count(), groupArraySorted(5)(id), ''
  FROM
  (
    SELECT assumeNotNull({{$id}}) AS id
    FROM {{table "opportunity_events"}} FINAL
    WHERE isNotNull({{$id}})
    GROUP BY id
    HAVING countIf(event_type = 'opportunity.created') = 0 AND countIf(event_type = 'opportunity.stage_changed') > 0
  )
  {{- end}}
  {{- if exists "leads"}}
  UNION ALL
  SELECT 'lead_without_created', count(), groupArraySorted(5)(lead_id), ''
  FROM {{table "leads"}}
  WHERE isNull(created_at)
  {{- end}}
  {{- if exists "form_events"}}
  {{- $lead := col "form_events" "lead_id" "Nullable(String)"}}
  UNION ALL
  SELECT 'form_of_unknown_lead', count(), groupArraySorted(5)(event_id), ''
  FROM {{table "form_events"}} FINAL
  WHERE event_type = 'form.submitted' AND isNotNull({{$lead}})
  {{- if exists "lead_events"}}
    {{- $id := col "lead_events" "lead_id" "Nullable(String)"}}
    AND assumeNotNull({{$lead}}) NOT IN (
      SELECT assumeNotNull({{$id}}) FROM {{table "lead_events"}} FINAL
      WHERE isNotNull({{$id}}) AND assumeNotNull({{$id}}) IN (
        SELECT assumeNotNull({{$lead}}) FROM {{table "form_events"}} FINAL WHERE event_type = 'form.submitted' AND isNotNull({{$lead}})))
  {{- end}}
  {{- end}}
  UNION ALL
  SELECT check.1, check.2, check.3, ''
  FROM
  (
    SELECT arrayJoin([
      ('event_without_entity_id', countIf(nameless), groupArraySortedIf(5)(event_id, nameless)),
      ('invalid_fields', countIf(invalid), groupArraySortedIf(5)(event_id, invalid)),
      ('unknown_event_types', countIf(unknown), groupArraySortedIf(5)(event_id, unknown)),
      ('absurd_amount', countIf(absurd), groupArraySortedIf(5)(event_id, absurd))]) AS check
    FROM
    (
      SELECT event_id, nameless, invalid, absurd, (SELECT count() FROM {{table "catalog"}}) > 0 AND event_type NOT IN (
        SELECT event_type FROM {{table "catalog"}} WHERE pulled_at = (SELECT max(pulled_at) FROM {{table "catalog"}})) AS unknown
      FROM
      (
        {{- range $i, $table := eventTables}}
        {{- if $i}}
        UNION ALL
        {{- end}}
        SELECT event_id, event_type, notEmpty(_invalid_fields) AS invalid,
          {{if has $table (idOf $table) "Nullable(String)"}}isNull({{idOf $table}}){{else}}false{{end}} AS nameless,
          abs(ifNull({{col $table "value" "Nullable(Decimal(38, 9))"}}, 0)) >= toDecimal128('1000000000000000000', 9)
            OR abs(ifNull({{col $table "amount" "Nullable(Decimal(38, 9))"}}, 0)) >= toDecimal128('1000000000000000000', 9) AS absurd
        FROM {{table $table}} FINAL
        {{- end}}
      )
    )
  )
  UNION ALL
  SELECT 'event_id_conflicts', count(), groupArraySorted(5)(event_id), '' FROM {{table "event_id_conflicts"}}
  UNION ALL
  SELECT 'open_dead_letters', count(), groupArraySorted(5)(format('{0}/{1}/{2}', topic_epoch, kafka_partition, kafka_offset)), ''
  FROM {{table "dead_letters"}} FINAL
  WHERE status = 'open'
  UNION ALL
  SELECT 'open_offset_gaps', count(),
    groupArraySorted(5)(format('{0}/{1}/{2}-{3}', topic_epoch, kafka_partition, first_offset, next_offset - 1)), ''
  FROM {{table "offset_gaps"}} FINAL
  WHERE status = 'open'
) AS found
GROUP BY check_name
