package views_test

import (
	"slices"
	"strings"
)

// typeView is the view of one event type.
type typeView struct {
	name     string
	relation relation
}

// typeColumns are the text and number columns of each type in Leadron's catalog of today; a shape may have more, or fewer.
var typeColumns = map[string]string{
	"lead.created": "lead_id email source", "lead.updated": "lead_id changes_status", "lead.deleted": "lead_id",
	"opportunity.created": "opportunity_id value stage", "opportunity.stage_changed": "opportunity_id from_stage to_stage",
	"opportunity.won": "opportunity_id value", "opportunity.lost": "opportunity_id reason",
	"partner.registered": "partner_id company", "partner.approved": "partner_id",
	"commission.earned": "commission_id amount partner_id", "commission.paid": "commission_id amount",
	"task.created": "task_id title assignee_id", "task.completed": "task_id",
	"form.submitted": "form_id lead_id fields_name fields_email",
}

// typeViews are the views of all types: every event of the type once.
func (m *model) typeViews() (all []typeView) {
	for typ, list := range typeColumns {
		entity, _, _ := strings.Cut(typ, ".")
		if m.shape.columns[entity] == nil {
			continue
		}
		names := slices.DeleteFunc(strings.Fields(list), func(c string) bool { return !m.shape.columns[entity][c] })
		r := relation{columns: strings.Join(append([]string{"event_id", "occurred_at", "payload", "_received_at", "_loaded_at"}, names...), " ")}
		for _, e := range of(m.events[entity], typ) {
			row := []any{e.id, e.at, string(e.body()), e.received, e.loaded}
			for _, c := range names {
				if d := e.number(c); d != nil {
					row = append(row, d)
				} else {
					row = append(row, e.text(c))
				}
			}
			r.rows = append(r.rows, row)
		}
		all = append(all, typeView{strings.ReplaceAll(typ, ".", "_"), r})
	}
	return all
}
