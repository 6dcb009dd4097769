package views_test

import (
	"time"
)

// lead is a row of leads, and what others need of it.
type lead struct {
	id                    string
	email, source, status *string
	created, deleted      *time.Time
	updated               time.Time
	events                int
	visits                []visit // of lead_status_history
}

// visit is a stay in a status.
type visit struct {
	status  string
	entered time.Time
	exited  *time.Time
	first   bool
}

func (m *model) leads() map[string]lead {
	return once(m, "leads", func() map[string]lead {
		leads := map[string]lead{}
		for id, events := range m.byID("lead") {
			l := lead{
				id: id, email: lastKnown(events, "changes_email", "email"), source: lastKnown(events, "changes_source", "source"),
				status: lastKnown(events, "changes_status"), created: firstAt(of(events, "lead.created")),
				updated: *lastAt(events), events: len(events), visits: visits(events),
			}
			for _, e := range events {
				switch e.typ {
				case "lead.deleted":
					l.deleted = &e.at
				case "lead.created":
					l.deleted = nil
				}
			}
			leads[id] = l
		}
		return leads
	})
}

func visits(events []event) (all []visit) {
	seen := map[string]bool{}
	for _, e := range events {
		status := e.text("changes_status")
		if status == nil || len(all) > 0 && all[len(all)-1].status == *status {
			continue
		}
		if len(all) > 0 {
			all[len(all)-1].exited = &e.at
		}
		all = append(all, visit{status: *status, entered: e.at, first: !seen[*status]})
		seen[*status] = true
	}
	return all
}

func (m *model) leadRows() relation {
	r := relation{columns: "lead_id email source status created_at updated_at is_deleted deleted_at first_form_id first_form_at events"}
	firstForm := map[string]event{}
	for _, e := range of(m.events["form"], "form.submitted") {
		if id := e.text("lead_id"); id != nil {
			if _, ok := firstForm[*id]; !ok {
				firstForm[*id] = e
			}
		}
	}
	for id, l := range m.leads() {
		var formID *string
		var formAt *time.Time
		if e, ok := firstForm[id]; ok {
			formID, formAt = e.text("form_id"), &e.at
		}
		r.add(id, l.email, l.source, l.status, l.created, l.updated, l.deleted != nil, l.deleted, formID, formAt, l.events)
	}
	return r
}

func (m *model) leadStatusHistory() relation {
	r := relation{columns: "lead_id status entered_at exited_at seconds_in_status is_current is_first_visit lead_created_at lead_source"}
	for id, l := range m.leads() {
		for _, v := range l.visits {
			r.add(id, v.status, v.entered, v.exited, between(&v.entered, v.exited, time.Second), v.exited == nil, v.first, l.created, l.source)
		}
	}
	return r
}

// funnelStep collects the leads, or opportunities, of one step of one cohort.
type funnelStep struct {
	count int
	days  []*float64
}

func (m *model) leadFunnel() relation {
	r := relation{columns: "cohort_month step leads leads_created rate median_days"}
	type cohort struct{ month time.Time }
	for c, steps := range leadSteps(m, func(l lead) cohort { return cohort{month(*l.created)} }) {
		for step, s := range steps {
			r.add(c.month, step, s.count, steps["created"].count, rate(s.count, steps["created"].count), median(s.days))
		}
	}
	return r
}

func (m *model) leadFunnelBySource() relation {
	r := relation{columns: "cohort_month source step leads leads_created rate median_days"}
	type cohort struct {
		month  time.Time
		source null
	}
	for c, steps := range leadSteps(m, func(l lead) cohort { return cohort{month(*l.created), nullOf(l.source)} }) {
		for step, s := range steps {
			r.add(c.month, c.source.ptr(), step, s.count, steps["created"].count, rate(s.count, steps["created"].count), median(s.days))
		}
	}
	return r
}

// leadSteps are the steps of each cohort's funnel. A status that is called as a step that is always there is none.
func leadSteps[C comparable](m *model, cohort func(lead) C) map[C]map[string]*funnelStep {
	cohorts := map[C]map[string]*funnelStep{}
	for _, l := range m.leads() {
		if l.created == nil {
			continue
		}
		steps := cohorts[cohort(l)]
		if steps == nil {
			steps = map[string]*funnelStep{}
			cohorts[cohort(l)] = steps
		}
		reach(steps, "created", l.created, l.created)
		for _, v := range l.visits {
			if v.first && v.status != "created" && v.status != "deleted" {
				reach(steps, v.status, l.created, &v.entered)
			}
		}
		if l.deleted != nil {
			reach(steps, "deleted", l.created, l.deleted)
		}
	}
	return cohorts
}

func reach(steps map[string]*funnelStep, step string, from, to *time.Time) *funnelStep {
	s := steps[step]
	if s == nil {
		s = &funnelStep{}
		steps[step] = s
	}
	s.count++
	s.days = append(s.days, between(from, to, day))
	return s
}
