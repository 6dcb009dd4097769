-- form_submissions: every submission of a form, one row per form.submitted
-- needs: form_events
-- key: event_id
-- column: event_id String the ID of its event
-- column: submitted_at DateTime64(3, 'UTC') when it was submitted, UTC
-- column: form_id Nullable(String) the form; NULL where the delivery names none
-- column: lead_id Nullable(String) the lead; NULL where the delivery names none
-- column: fields Map(LowCardinality(String), String) what was filled in, by the field's name
-- column: email Nullable(String) the field email
-- column: name Nullable(String) the field name
-- column: is_first_of_lead Bool whether it is the first of this lead; false without a lead
{{- $lead := col "form_events" "lead_id" "Nullable(String)"}}
SELECT event_id, occurred_at AS submitted_at, {{col "form_events" "form_id" "Nullable(String)"}} AS form_id, {{$lead}} AS lead_id,
  {{if has "form_events" "fields" "Map(LowCardinality(String), String)"}}fields{{else}}CAST(map(), 'Map(LowCardinality(String), String)') AS fields{{end}},
  {{col "form_events" "fields_email" "Nullable(String)"}} AS email, {{col "form_events" "fields_name" "Nullable(String)"}} AS name,
  toBool(event_id IN (SELECT argMin(event_id, {{position}}) FROM {{table "form_events"}} FINAL
    WHERE event_type = 'form.submitted' AND isNotNull({{$lead}}) GROUP BY {{$lead}})) AS is_first_of_lead
FROM {{table "form_events"}} FINAL
WHERE event_type = 'form.submitted'
