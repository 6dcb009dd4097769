package views_test

import (
	"strings"
	"time"
)

// partner is a row of partners.
type partner struct {
	company              *string
	registered, approved *time.Time
	updated              time.Time
}

func (m *model) partners() map[string]partner {
	return once(m, "partners", func() map[string]partner {
		all := map[string]partner{}
		for id, events := range m.byID("partner") {
			all[id] = partner{lastKnown(events, "company"), firstAt(of(events, "partner.registered")), firstAt(of(events, "partner.approved")), *lastAt(events)}
		}
		return all
	})
}

func (m *model) partnerRows() relation {
	r := relation{columns: "partner_id company registered_at approved_at is_approved days_to_approve updated_at"}
	for id, p := range m.partners() {
		r.add(id, p.company, p.registered, p.approved, p.approved != nil, between(p.registered, p.approved, day), p.updated)
	}
	return r
}

// task is a row of tasks.
type task struct {
	title, assignee    *string
	created, completed *time.Time
}

func (m *model) tasks() map[string]task {
	all := map[string]task{}
	for id, events := range m.byID("task") {
		all[id] = task{lastKnown(events, "title"), lastKnown(events, "assignee_id"), firstAt(of(events, "task.created")), firstAt(of(events, "task.completed"))}
	}
	return all
}

func (m *model) taskRows() relation {
	r := relation{columns: "task_id title assignee_id created_at completed_at is_completed hours_to_complete"}
	for id, t := range m.tasks() {
		r.add(id, t.title, t.assignee, t.created, t.completed, t.completed != nil, between(t.created, t.completed, time.Hour))
	}
	return r
}

func (m *model) taskCompletion() relation {
	r := relation{columns: "month assignee_id tasks completed open completion_rate median_hours_to_complete"}
	type key struct {
		month    time.Time
		assignee null
	}
	type sums struct {
		tasks, completed int
		hours            []*float64
	}
	all := map[key]*sums{}
	for _, t := range m.tasks() {
		if t.created == nil {
			continue
		}
		k := key{month(*t.created), nullOf(t.assignee)}
		if all[k] == nil {
			all[k] = &sums{}
		}
		all[k].tasks++
		if t.completed != nil {
			all[k].completed++
		}
		all[k].hours = append(all[k].hours, between(t.created, t.completed, time.Hour))
	}
	for k, s := range all {
		r.add(k.month, k.assignee.ptr(), s.tasks, s.completed, s.tasks-s.completed, rate(s.completed, s.tasks), median(s.hours))
	}
	return r
}

func (m *model) formSubmissions() relation {
	r := relation{columns: "event_id submitted_at form_id lead_id fields email name is_first_of_lead"}
	seen := map[string]bool{}
	for _, e := range of(m.events["form"], "form.submitted") {
		lead := e.text("lead_id")
		r.add(e.id, e.at, e.text("form_id"), lead, e.formFields(), e.text("fields_email"), e.text("fields_name"), lead != nil && !seen[*lead])
		if lead != nil {
			seen[*lead] = true
		}
	}
	return r
}

// formFields is the object fields, empty where the warehouse has no column for it.
func (e event) formFields() map[string]string {
	fields := map[string]string{}
	for _, c := range e.cells {
		if name, ok := strings.CutPrefix(c.path, "fields."); ok && e.typed["fields"] {
			fields[name] = *c.text
		}
	}
	return fields
}

func (m *model) formConversion() relation {
	r := relation{columns: "form_id submissions leads leads_qualified qualified_rate median_days_to_qualified"}
	type form struct {
		submissions int
		leads       map[string]time.Time // when each submitted it first
	}
	forms := map[string]*form{}
	for _, e := range of(m.events["form"], "form.submitted") {
		id, lead := e.text("form_id"), e.text("lead_id")
		if id == nil {
			continue
		}
		f := forms[*id]
		if f == nil {
			f = &form{leads: map[string]time.Time{}}
			forms[*id] = f
		}
		f.submissions++
		if lead != nil {
			if _, ok := f.leads[*lead]; !ok {
				f.leads[*lead] = e.at
			}
		}
	}
	for id, f := range forms {
		var days []*float64
		for lead, submitted := range f.leads {
			for _, v := range m.leads()[lead].visits {
				if v.status == "qualified" && !v.entered.Before(submitted) {
					days = append(days, between(&submitted, &v.entered, day))
					break
				}
			}
		}
		r.add(id, f.submissions, len(f.leads), len(days), rate(len(days), len(f.leads)), median(days))
	}
	return r
}
