package local

// What the people of Journeys do. A method is a step: it emits what happens at its moment and arranges what may follow.

type partner struct{ id string }

type lead struct {
	id, name, email string
	partner         *partner // who referred it; nil for most
}

type opportunity struct {
	id    string
	cents int64
	lead  *lead
}

func (w *world) registerPartner() {
	p := &partner{id: w.entity("ptr_")}
	w.emit("partner.registered", p.id, func() {
		w.str("partnerId", p.id)
		w.str("company", w.pick(companies))
	})
	if w.chance(0.75) {
		w.after(0.5, 8, func() {
			w.partners = append(w.partners, p)
			w.emit("partner.approved", p.id, func() { w.str("partnerId", p.id) })
		})
	}
}

// arriveLead is a lead's first step, and arranges the next lead's: arrivals are a Poisson process.
func (w *world) arriveLead() {
	gap := w.rng.ExpFloat64() * daysPerSpan * eventsPerLead / float64(w.Events)
	w.after(gap, gap, w.arriveLead)
	if w.chance(1.0 / 60) {
		w.registerPartner()
	}

	l := &lead{id: w.entity("ld_")}
	l.name, l.email = w.person()
	source := w.pick(sources)
	if len(w.partners) > 0 && w.chance(0.35) {
		x := w.rng.Float64() // squared: a few partners bring most of the leads
		l.partner, source = w.partners[int(x*x*float64(len(w.partners)))], "referral"
	}
	w.emit("lead.created", l.id, func() {
		w.str("leadId", l.id)
		w.str("email", l.email)
		w.str("source", source)
		if w.Campaigns {
			w.str("campaign", w.pick(campaigns))
		}
	})
	if source == "web_form" {
		w.submitForm(l)
	}
	if w.chance(0.5) {
		w.after(0, 0.5, func() { w.assignTask(l) })
	}
	w.after(0.2, 4, func() { w.contact(l) })
}

func (w *world) submitForm(l *lead) {
	form := w.pick(forms)
	w.emit("form.submitted", form, func() {
		w.str("formId", form)
		w.str("leadId", l.id)
		w.object("fields", func() {
			w.str("name", l.name)
			w.str("email", l.email)
			if w.chance(0.3) {
				w.str("message", w.pick(messages))
			}
		})
	})
}

func (w *world) assignTask(l *lead) {
	task := w.entity("tsk_")
	w.emit("task.created", task, func() {
		w.str("taskId", task)
		w.str("title", w.pick(taskTitles)+l.name)
		w.str("assigneeId", w.pick(assignees))
	})
	if w.chance(0.8) {
		w.after(0.2, 6, func() {
			w.emit("task.completed", task, func() { w.str("taskId", task) })
		})
	}
}

func (w *world) contact(l *lead) {
	w.emit("lead.updated", l.id, func() {
		w.str("leadId", l.id)
		w.object("changes", func() {
			w.str("status", "contacted")
			if w.chance(0.3) {
				w.num("score", int64(w.rng.IntN(101)))
			}
		})
	})
	switch x := w.rng.Float64(); {
	case x < 0.40:
		w.after(1, 14, func() { w.qualify(l) })
	case x < 0.65:
		w.after(1, 20, func() { w.updateStatus(l, "unqualified") })
	case x < 0.72:
		w.after(1, 30, func() {
			w.emit("lead.deleted", l.id, func() { w.str("leadId", l.id) })
		})
	}
}

func (w *world) updateStatus(l *lead, status string) {
	w.emit("lead.updated", l.id, func() {
		w.str("leadId", l.id)
		w.object("changes", func() { w.str("status", status) })
	})
}

func (w *world) qualify(l *lead) {
	w.updateStatus(l, "qualified")
	if w.chance(0.85) {
		w.after(0.1, 5, func() { w.openOpportunity(l) })
	}
}

func (w *world) openOpportunity(l *lead) {
	o := &opportunity{id: w.entity("opp_"), lead: l, cents: w.dealSize()}
	w.emit("opportunity.created", o.id, func() {
		w.str("opportunityId", o.id)
		w.amount("value", o.cents)
		w.str("stage", stages[0])
	})
	w.after(2, 15, func() { w.advance(o, 0) })
}

// dealSize is between 500 and 125,500, small ones far more often, and mostly round.
func (w *world) dealSize() int64 {
	x := w.rng.Float64()
	whole := 500 + int64(x*x*x*125_000)
	if w.chance(0.4) {
		return whole*100 + w.rng.Int64N(100)
	}
	return whole / 250 * 250 * 100
}

// advance moves an opportunity out of a stage: on, or out.
func (w *world) advance(o *opportunity, stage int) {
	switch x := w.rng.Float64(); {
	case x < 0.20:
		w.emit("opportunity.lost", o.id, func() {
			w.str("opportunityId", o.id)
			w.str("reason", w.pick(lostReasons))
		})
	case x < 0.28: // nobody ever hears of it again
	case stage < len(stages)-1:
		w.emit("opportunity.stage_changed", o.id, func() {
			w.str("opportunityId", o.id)
			w.str("from", stages[stage])
			w.str("to", stages[stage+1])
		})
		w.after(2, 15, func() { w.advance(o, stage+1) })
	default:
		w.win(o)
	}
}

func (w *world) win(o *opportunity) {
	if w.Documents {
		w.signDocument(o)
	}
	w.emit("opportunity.won", o.id, func() {
		w.str("opportunityId", o.id)
		w.amount("value", o.cents)
	})
	if p := o.lead.partner; p != nil {
		w.after(0, 1, func() { w.earnCommission(p, o.cents) })
	}
}

func (w *world) signDocument(o *opportunity) {
	document := w.entity("doc_")
	w.emit("document.signed", document, func() {
		w.str("documentId", document)
		w.str("leadId", o.lead.id)
		w.str("title", w.pick(documentTitles))
		w.num("pages", int64(1+w.rng.IntN(24)))
		w.str("signedAt", w.timestamp(w.now))
	})
}

// earnCommission: 5 to 15 % of the deal. Most are paid later, some in two parts, of which the second may never come.
func (w *world) earnCommission(p *partner, dealCents int64) {
	id, cents := w.entity("com_"), dealCents*int64(5+w.rng.IntN(11))/100
	w.emit("commission.earned", id, func() {
		w.str("commissionId", id)
		w.amount("amount", cents)
		w.str("partnerId", p.id)
	})
	switch x := w.rng.Float64(); {
	case x < 0.65:
		w.after(5, 30, func() { w.payCommission(id, cents) })
	case x < 0.80:
		w.after(5, 30, func() {
			w.payCommission(id, cents/2)
			if w.chance(0.5) {
				w.after(10, 30, func() { w.payCommission(id, cents-cents/2) })
			}
		})
	}
}

func (w *world) payCommission(id string, cents int64) {
	w.emit("commission.paid", id, func() {
		w.str("commissionId", id)
		w.amount("amount", cents)
	})
}

var (
	stages         = []string{"discovery", "proposal", "negotiation"}
	lostReasons    = []string{"budget", "budget", "timing", "competitor", "no_decision", "missing feature: \"SSO\""}
	sources        = []string{"web_form", "web_form", "web_form", "web_form", "api", "import", "manual"}
	campaigns      = []string{"spring_2026", "webinar", "größer & besser", "partner_day"}
	forms          = []string{"frm_contact", "frm_demo", "frm_pricing"}
	assignees      = []string{"usr_303", "usr_304", "usr_311", "usr_320"}
	taskTitles     = []string{"Follow up with ", "Call ", "Send the offer to ", "Rückruf: ", "Prepare demo\nfor "}
	documentTitles = []string{"Master agreement", "Order form", "Vertrag über Leistungen", "NDA \"mutual\""}
	messages       = []string{
		"Please call me back.", "Wir suchen ein CRM für 25 Leute.", "見積もりをお願いします。",
		"Is there a \"free\" plan?\nThanks!", "C:\\leads\\import.csv does not load 😕",
	}
	companies  = []string{"Partner Co", "Acme & Sons", "Nordlicht GmbH", "Société Générale de Ventes", "株式会社パートナー", "\"Best\" Deals Ltd", "Łódź Consulting", "O'Brien Partners"}
	firstNames = []string{"Jane", "Ada", "José", "Zoë", "Björn", "Chloé", "Nguyễn", "王", "Олена", "Amina", "Luca", "Søren"}
	lastNames  = []string{"Miller", "Lovelace", "García", "O'Neil", "Müller", "Dubois", "Văn", "芳", "Шевченко", "Diallo", "Rossi", "Ångström"}
	mailHosts  = []string{"acme.com", "example.org", "nordlicht.example", "mail.example", "ventes.example"}
)
