package views_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/schema/views"
)

// story is a small year, one delivery a line: event ID, type, time, data. Its lines are loaded out of order, and twice.
const story = `
l01 lead.created 2026-01-05T08:00:00Z {"leadId":"ld_1","email":"a@x.io","source":"ads"}
l02 lead.updated 2026-01-06T08:00:00Z {"leadId":"ld_1","changes":{"status":"contacted"}}
l03 lead.updated 2026-01-07T08:00:00Z {"leadId":"ld_1","changes":{"status":"contacted","email":"b@x.io"}}
l04 lead.updated 2026-01-08T20:00:00Z {"leadId":"ld_1","changes":{"status":"qualified"}}
l05 lead.updated 2026-01-08T20:00:00Z {"leadId":"ld_1","changes":{"status":"contacted"}}
l06 lead.created 2026-01-09T00:00:00Z {"leadId":"ld_2","email":"c@x.io","source":"ads"}
l07 lead.deleted 2026-01-10T00:00:00Z {"leadId":"ld_2"}
l08 lead.created 2026-01-11T00:00:00Z {"leadId":"ld_3","email":"d@x.io"}
l09 lead.deleted 2026-01-12T00:00:00Z {"leadId":"ld_3"}
l10 lead.created 2026-01-13T00:00:00Z {"leadId":"ld_3"}
l11 lead.converted 2026-02-01T00:00:00Z {"leadId":"ld_4"}
f01 form.submitted 2026-01-04T08:00:00Z {"formId":"frm_1","leadId":"ld_1","fields":{"name":"Jane","email":"j@x.io"}}
f02 form.submitted 2026-01-08T20:00:00Z {"formId":"frm_2","leadId":"ld_1","fields":{}}
f03 form.submitted 2026-01-09T20:00:00Z {"formId":"frm_2","leadId":"ld_9","fields":{}}
o01 opportunity.created 2026-01-01T00:00:00Z {"opportunityId":"opp_1","value":100,"stage":"discovery","currency":"EUR"}
o02 opportunity.stage_changed 2026-01-03T00:00:00Z {"opportunityId":"opp_1","from":"discovery","to":"proposal"}
o03 opportunity.lost 2026-01-04T00:00:00Z {"opportunityId":"opp_1","reason":"budget"}
o04 opportunity.stage_changed 2026-01-04T00:00:01Z {"opportunityId":"opp_1","from":"proposal","to":"Closed Lost"}
o05 opportunity.stage_changed 2026-01-06T00:00:00Z {"opportunityId":"opp_1","from":"Closed Lost","to":"proposal"}
o06 opportunity.won 2026-01-07T00:00:00Z {"opportunityId":"opp_1","value":100.5,"currency":"EUR"}
o07 opportunity.created 2026-01-02T00:00:00Z {"opportunityId":"opp_2","value":40,"stage":"discovery","currency":"EUR"}
o08 opportunity.lost 2026-01-02T12:00:00Z {"opportunityId":"opp_2","reason":"price"}
o09 opportunity.stage_changed 2026-01-02T00:00:00Z {"opportunityId":"opp_3","from":"discovery","to":"proposal"}
p01 partner.registered 2026-01-01T00:00:00Z {"partnerId":"ptr_1","company":"Partner Co"}
p02 partner.approved 2026-01-02T12:00:00Z {"partnerId":"ptr_1"}
p03 partner.registered 2026-01-03T00:00:00Z {"partnerId":"ptr_2","company":"Second"}
c01 commission.earned 2026-01-01T00:00:00Z {"commissionId":"com_1","amount":500,"partnerId":"ptr_1","currency":"EUR"}
c02 commission.paid 2026-01-05T00:00:00Z {"commissionId":"com_1","amount":200}
c03 commission.paid 2026-02-05T00:00:00Z {"commissionId":"com_1","amount":300}
c04 commission.earned 2026-01-01T00:00:00Z {"commissionId":"com_2","amount":70.25,"partnerId":"ptr_2","currency":"EUR"}
c05 commission.paid 2026-01-02T00:00:00Z {"commissionId":"com_3","amount":10,"currency":"USD"}
c06 commission.earned 2100-01-05T00:00:00Z {"commissionId":"com_4","amount":1,"partnerId":"ptr_2","currency":"EUR"}
t01 task.created 2026-01-01T00:00:00Z {"taskId":"tsk_1","title":"Call","assigneeId":"usr_1"}
t02 task.completed 2026-01-01T01:30:00Z {"taskId":"tsk_1"}
t03 task.created 2026-01-02T00:00:00Z {"taskId":"tsk_2","title":"Write","assigneeId":"usr_1"}`

// golden is what each view shows of it, worked out by hand, a row a line. A time is without its seconds where it is a whole
// hour of the day, and without the hour where it is midnight.
var golden = map[string]string{
	"leads": `
"ld_1" "b@x.io" "ads" "contacted" 2026-01-05T08 2026-01-08T20 false NULL "frm_1" 2026-01-04T08 5
"ld_2" "c@x.io" "ads" NULL 2026-01-09 2026-01-10 true 2026-01-10 NULL NULL 2
"ld_3" "d@x.io" NULL NULL 2026-01-11 2026-01-13 false NULL NULL NULL 3
"ld_4" NULL NULL NULL NULL 2026-02-01 false NULL NULL NULL 1`,
	"lead_status_history": `
"ld_1" "contacted" 2026-01-06T08 2026-01-08T20 216000f false true 2026-01-05T08 "ads"
"ld_1" "qualified" 2026-01-08T20 2026-01-08T20 0f false true 2026-01-05T08 "ads"
"ld_1" "contacted" 2026-01-08T20 NULL NULL true false 2026-01-05T08 "ads"`,
	"opportunities": `
"opp_1" "proposal" "won" 100.5 "EUR" 2026-01-01 2026-01-07 2026-01-04 2026-01-07 NULL 6f 2026-01-07 NULL NULL 6
"opp_2" "discovery" "lost" 40 "EUR" 2026-01-02 NULL 2026-01-02T12 2026-01-02T12 "price" 0.5f 2026-01-02T12 NULL NULL 2
"opp_3" "proposal" "open" NULL "" NULL NULL NULL NULL NULL NULL 2026-01-02 NULL NULL 1`,
	"opportunity_stage_history": `
"opp_1" "discovery" 2026-01-01 2026-01-03 172800f false "moved" "proposal" 2026-01-01 "EUR" 100.5
"opp_1" "proposal" 2026-01-03 2026-01-04 86400f false "lost" NULL 2026-01-01 "EUR" 100.5
"opp_1" "proposal" 2026-01-06 2026-01-07 86400f false "won" NULL 2026-01-01 "EUR" 100.5
"opp_2" "discovery" 2026-01-02 2026-01-02T12 43200f false "lost" NULL 2026-01-02 "EUR" 40
"opp_3" "proposal" 2026-01-02 NULL NULL true NULL NULL NULL "" NULL`,
	"partners": `
"ptr_1" "Partner Co" 2026-01-01 2026-01-02T12 true 1.5f 2026-01-02T12
"ptr_2" "Second" 2026-01-03 NULL false NULL 2026-01-03`,
	"commissions": `
"com_1" "EUR" "ptr_1" 500 500 0 2026-01-01 2026-01-05 2026-02-05 2 true 2026-02-05 35f 2026-01-01
"com_2" "EUR" "ptr_2" 70.25 0 70.25 2026-01-01 NULL NULL 0 false NULL NULL 2026-01-01
"com_3" "USD" NULL 0 10 -10 NULL 2026-01-02 2026-01-02 1 true 2026-01-02 NULL 2026-01-02
"com_4" "EUR" "ptr_2" 1 0 1 2100-01-05 NULL NULL 0 false NULL NULL 2100-01-05`,
	"tasks": `
"tsk_1" "Call" "usr_1" 2026-01-01 2026-01-01T01:30 true 1.5f
"tsk_2" "Write" "usr_1" 2026-01-02 NULL false NULL`,
	"form_submissions": `
"f01" 2026-01-04T08 "frm_1" "ld_1" map["email":"j@x.io" "name":"Jane"] "j@x.io" "Jane" true
"f02" 2026-01-08T20 "frm_2" "ld_1" map[] NULL NULL false
"f03" 2026-01-09T20 "frm_2" "ld_9" map[] NULL NULL true`,
	"lead_funnel": `
2026-01-01 "created" 3 3 1 0f
2026-01-01 "contacted" 1 3 0.3333 1f
2026-01-01 "qualified" 1 3 0.3333 3.5f
2026-01-01 "deleted" 1 3 0.3333 1f`,
	"lead_funnel_by_source": `
2026-01-01 "ads" "created" 2 2 1 0f
2026-01-01 "ads" "contacted" 1 2 0.5 1f
2026-01-01 "ads" "qualified" 1 2 0.5 3.5f
2026-01-01 "ads" "deleted" 1 2 0.5 1f
2026-01-01 NULL "created" 1 1 1 0f`,
	"opportunity_funnel": `
2026-01-01 "EUR" "created" 2 140.5 2 1 0f
2026-01-01 "EUR" "discovery" 2 140.5 2 1 0f
2026-01-01 "EUR" "proposal" 1 100.5 2 0.5 2f
2026-01-01 "EUR" "won" 1 100.5 2 0.5 6f
2026-01-01 "EUR" "lost" 1 40 2 0.5 0.5f`,
	"stage_conversion": `
"discovery" 2 1 0 1 0 0.5 0 0.5 2f
"proposal" 3 0 1 1 1 0 0.3333 0.3333 1f`,
	"win_rate_monthly":       `2026-01-01 2 1 1 0.5 6f 0.5f`,
	"sales_velocity_monthly": `2026-01-01 "EUR" 1 1 100.5 100.5 0.5 6f 16.75f`,
	"commission_totals": `
"EUR" 3 571.25 500 71.25 71.25 0 1
"USD" 1 0 10 -10 0 10 1`,
	"commission_by_partner": `
"ptr_1" "Partner Co" "EUR" 1 500 500 0 0 0 1 35f
"ptr_2" "Second" "EUR" 2 71.25 0 71.25 71.25 0 0 NULL
NULL NULL "USD" 1 0 10 -10 0 10 1 NULL`,
	"commission_aging": `"ptr_2" "Second" "EUR" 71.25 1 0 0 70.25 2026-01-01`,
	"commission_monthly": `
2026-01-01 "EUR" 570.25 200 2 1 370.25
2026-01-01 "USD" 0 10 0 1 -10
2026-02-01 "EUR" 0 300 0 1 70.25
2100-01-01 "EUR" 1 0 1 0 71.25`,
	"partner_leaderboard": `
"ptr_1" "Partner Co" "EUR" 1 true 1 500 500 0
"ptr_2" "Second" "EUR" 2 false 2 71.25 0 71.25`,
	"form_conversion": `
"frm_1" 1 1 1 1 4.5f
"frm_2" 2 2 1 0.5 0f`,
	"task_completion": `2026-01-01 "usr_1" 2 1 1 0.5 1.5f`,
	"data_quality": `
"absurd_amount" 0 []
"commission_in_several_currencies" 0 []
"commission_paid_more_than_earned" 0 []
"commission_paid_without_earned" 1 ["com_3"]
"event_id_conflicts" 0 []
"event_without_entity_id" 0 []
"form_of_unknown_lead" 1 ["f03"]
"invalid_fields" 0 []
"lead_without_created" 1 ["ld_4"]
"open_dead_letters" 0 []
"open_offset_gaps" 0 []
"opportunity_closed_without_created" 0 []
"stage_change_of_unknown_opportunity" 1 ["opp_3"]
"unknown_event_types" 1 ["l11"]`,
}

func TestTheViewsTellTheStory(t *testing.T) {
	t.Parallel()
	wh := open(t, shapes()[1])
	lines := strings.Split(strings.TrimSpace(story), "\n")
	slices.Reverse(lines)
	wh.tell(lines, time.Second, time.Minute)
	wh.tell(lines, time.Second, time.Minute)
	for _, view := range views.Names() {
		want, ok := golden[view]
		if !ok && !slices.Contains(aboutDeliveries, view) {
			t.Errorf("the story says nothing of %s", view)
		}
		if !ok {
			continue
		}
		columns := "*"
		if view == "data_quality" {
			columns = "check_name problems examples"
		}
		got := wh.rows(view, columns, nil)
		for i := range got {
			got[i] = short.Replace(strings.TrimSpace(got[i]))
		}
		rows := strings.Split(strings.TrimSpace(want), "\n")
		slices.Sort(rows)
		slices.Sort(got)
		if !slices.Equal(got, rows) {
			t.Errorf("%s: got\n%s\nwant\n%s", view, strings.Join(got, "\n"), strings.Join(rows, "\n"))
		}
	}
}

// short leaves out what is zero at a time's end.
var short = strings.NewReplacer("T00:00:00.000", "", ":00:00.000", "", ":00.000", "")

func TestHowLongEventsAreOnTheirWay(t *testing.T) {
	t.Parallel()
	wh := open(t, shapes()[0])
	for i, line := range strings.Split(`l1 lead.created 2026-01-05T08:00:00Z {"leadId":"ld_1"}
l2 lead.updated 2026-01-05T09:00:00Z {"leadId":"ld_1"}
t1 task.created 2026-01-05T10:00:00Z {"taskId":"tsk_1"}
l3 lead.updated 2026-01-06T10:00:00Z {"leadId":"ld_1"}`, "\n") {
		wh.tell([]string{line}, time.Duration(i+1)*1500*time.Millisecond, time.Minute)
	}
	want := []string{"2026-01-05T00:00:00.000 3 3f 4.5f 60f 60f ", "2026-01-06T00:00:00.000 1 6f 6f 60f 60f "}
	if got := wh.rows("delivery_latency", "*", nil); !slices.Equal(got, want) {
		t.Errorf("delivery_latency: got %q, want %q", got, want)
	}
	columns := "table_name last_occurred_at last_received_at last_loaded_at"
	got := wh.rows("data_freshness", columns, nil)
	for _, want := range []string{
		`"lead_events" 2026-01-06T10:00:00.000 2026-01-06T10:00:06.000 2026-01-06T10:01:06.000 `,
		`"task_events" 2026-01-05T10:00:00.000 2026-01-05T10:00:04.500 2026-01-05T10:01:04.500 `,
		`"deliveries" NULL 2026-01-06T10:00:06.000 2026-01-06T10:01:06.000 `,
		`"form_events" NULL NULL NULL `,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("data_freshness: got %q, lacks %q", got, want)
		}
	}
}

// tell loads lines of the story, in one insert per table.
func (wh *warehouse) tell(lines []string, toReceive, toLoad time.Duration) {
	wh.Helper()
	blocks, ledger := map[string]*schema.EventBlock{}, schema.NewDeliveryBlock(wh.Database)
	var decoder schema.Decoder
	for _, line := range lines {
		f := strings.SplitN(line, " ", 4)
		body := fmt.Appendf(nil, `{"id":%q,"type":%q,"createdAt":%q,"data":%s}`, f[0], f[1], f[2], f[3])
		e, err := decoder.Decode(body)
		wh.must(err)
		table := wh.TableFor(e.Type)
		if blocks[table.Name] == nil {
			blocks[table.Name] = schema.NewEventBlock(wh.Warehouse, table)
		}
		rec := schema.Record{Partition: 3, Offset: wh.offset, ReceivedAt: e.OccurredAt.Add(toReceive), LoadedAt: e.OccurredAt.Add(toReceive + toLoad)}
		blocks[table.Name].Append(e, body, rec)
		ledger.Append(f[0], body, rec, schema.Inserted)
		wh.offset++
	}
	for _, b := range blocks {
		wh.must(b.Insert(wh.Context(), wh.conn, ""))
	}
	wh.must(ledger.Insert(wh.Context(), wh.conn, ""))
}
