package views_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/schema"
)

// shape is a catalog, and with it the typed columns that a warehouse has.
type shape struct {
	name     string
	examples map[string]string // by event type, instead of the built-in catalog's
	columns  map[string]map[string]bool
	lacks    []string // the views that wait for a table
}

func columns(lists ...string) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, list := range lists {
		names := strings.Fields(list)
		all[names[0]] = map[string]bool{}
		for _, name := range names[1:] {
			all[names[0]][name] = true
		}
	}
	return all
}

// shapes are Leadron's catalog of today; one whose payloads have what it lacks; one that has little but the IDs; and two
// that do not know all entities.
func shapes() []shape {
	return []shape{
		{name: "today", columns: columns("lead lead_id email source changes_status", "opportunity opportunity_id value stage from_stage to_stage reason",
			"partner partner_id company", "commission commission_id amount partner_id", "task task_id title assignee_id",
			"form form_id lead_id fields fields_name fields_email")},
		{
			name: "wide", columns: columns("lead lead_id email source changes_status changes_email changes_source",
				"opportunity opportunity_id value stage from_stage to_stage reason currency lead_id partner_id", "partner partner_id company",
				"commission commission_id amount partner_id currency", "task task_id title assignee_id", "form form_id lead_id fields fields_name fields_email"),
			examples: map[string]string{
				"lead.updated":        `{"leadId":"ld_123","changes":{"status":"qualified","email":"jane@acme.com","source":"ads"}}`,
				"opportunity.created": `{"opportunityId":"opp_456","value":25000,"stage":"discovery","currency":"EUR","leadId":"ld_123","partnerId":"ptr_789"}`,
				"commission.earned":   `{"commissionId":"com_101","amount":500,"partnerId":"ptr_789","currency":"EUR"}`,
			},
		},
		{
			name: "narrow", columns: columns("lead lead_id", "opportunity opportunity_id", "partner partner_id", "commission commission_id", "task task_id", "form form_id"),
			examples: map[string]string{
				"lead.created": `{"leadId":"a"}`, "lead.updated": `{"leadId":"a"}`, "lead.deleted": `{"leadId":"a"}`,
				"opportunity.created": `{"opportunityId":"a"}`, "opportunity.stage_changed": `{"opportunityId":"a"}`,
				"opportunity.won": `{"opportunityId":"a"}`, "opportunity.lost": `{"opportunityId":"a"}`,
				"partner.registered": `{"partnerId":"a"}`, "partner.approved": `{"partnerId":"a"}`,
				"commission.earned": `{"commissionId":"a"}`, "commission.paid": `{"commissionId":"a"}`,
				"task.created": `{"taskId":"a"}`, "task.completed": `{"taskId":"a"}`, "form.submitted": `{"formId":"a"}`,
			},
		},
		{
			name: "few", columns: columns("lead lead_id email source changes_status", "commission commission_id amount partner_id",
				"form form_id lead_id fields fields_name fields_email"),
			lacks: []string{
				"opportunities", "opportunity_stage_history", "opportunity_funnel", "stage_conversion", "win_rate_monthly",
				"sales_velocity_monthly", "partners", "tasks", "task_completion",
			},
		},
		{
			name: "moneyless", columns: columns("lead lead_id email source changes_status", "opportunity opportunity_id stage from_stage to_stage reason",
				"partner partner_id company", "task task_id title assignee_id"),
			examples: map[string]string{
				"opportunity.created": `{"opportunityId":"opp_456","stage":"discovery"}`, "opportunity.won": `{"opportunityId":"opp_456"}`,
			},
			lacks: []string{
				"commissions", "commission_totals", "commission_by_partner", "commission_aging", "commission_monthly",
				"partner_leaderboard", "form_submissions", "form_conversion",
			},
		},
	}
}

func (s shape) catalog(t testing.TB) *schema.Catalog {
	t.Helper()
	c, err := schema.DecodeCatalog(schema.BuiltinCatalog())
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range c.Events {
		if example, ok := s.examples[e.Type]; ok {
			c.Events[i].Example = json.RawMessage(example)
		}
	}
	c.Events = slices.DeleteFunc(c.Events, func(e schema.CatalogEvent) bool {
		entity, _, _ := strings.Cut(e.Type, ".")
		return s.columns[entity] == nil
	})
	return c
}
