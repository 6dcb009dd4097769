package views_test

import (
	"fmt"
	"strings"
	"time"
)

// The stories of a world's entities. Few of them are sane: any verb may come at any time, or never.

// known is an ID that other entities name: some of them are of nobody.
func (w *world) known(prefix string) string {
	return fmt.Sprint(prefix, w.rng.IntN(len(w.deliveries)/12+3))
}

// fresh is an ID for an entity, now and then one that is taken, and once in a while an odd one.
func (w *world) fresh(prefix string) string {
	if w.chance(2) {
		return pick(w, "", "Ünï", "o'clock", `back\slash`)
	}
	return w.known(prefix)
}

func (w *world) lead() {
	id, at := w.fresh("ld_"), w.begin()
	if w.chance(85) {
		w.leadEvent("lead.created", id, at)
	}
	for range w.rng.IntN(6) {
		at = w.later(at)
		w.leadEvent(pick(w, "lead.updated", "lead.updated", "lead.updated", "lead.updated", "lead.deleted", "lead.created", "lead.converted"), id, at)
		if w.chance(10) { // at the same moment
			w.emit("form.submitted", at, w.text("formId", pick(w, "frm_1", "frm_2")), w.text("leadId", id))
		}
	}
}

func (w *world) leadEvent(typ, id string, at time.Time) {
	var changes [][]cell
	changed := 10
	if typ == "lead.updated" {
		changed = 85
	}
	if w.chance(changed) {
		status := pick(w, "new", "contacted", "qualified", "qualified", "disqualified", "", "created", "deleted")
		changes = [][]cell{
			w.sometimes(85, w.text("changes.status", status)), w.sometimes(20, w.text("changes.email", w.email())),
			w.sometimes(15, w.text("changes.source", w.source())),
		}
	}
	w.emit(typ, at, append([][]cell{
		w.text("leadId", id), w.sometimes(60, w.text("email", w.email())), w.sometimes(60, w.text("source", w.source())),
	}, changes...)...)
}

func (w *world) email() string { return fmt.Sprintf("p%d@example.com", w.rng.IntN(40)) }

func (w *world) source() string { return pick(w, "web_form", "ads", "Ads", "referral", "") }

func (w *world) opportunity() {
	id, at := w.fresh("opp_"), w.begin()
	currency := pick(w, "EUR", "EUR", "USD", "")
	typ := pick(w, "opportunity.created", "opportunity.created", "opportunity.created", "opportunity.created", "opportunity.stage_changed", "opportunity.won")
	for range 1 + w.rng.IntN(8) {
		w.opportunityEvent(typ, id, currency, at)
		if at = w.later(at); w.chance(30) && strings.HasSuffix(typ, "won") { // as CRMs do right after
			w.emit("opportunity.stage_changed", at, w.text("opportunityId", id), w.text("to", pick(w, "closed won", "Closed", "WON!")))
		}
		typ = pick(w, "opportunity.stage_changed", "opportunity.stage_changed", "opportunity.stage_changed", "opportunity.stage_changed",
			"opportunity.won", "opportunity.won", "opportunity.lost", "opportunity.lost", "opportunity.created", "opportunity.renamed")
	}
}

func (w *world) opportunityEvent(typ, id, currency string, at time.Time) {
	stage := func() string {
		return pick(w, "discovery", "discovery", "proposal", "proposal", "negotiation", "closed won", "Closed Lost", "won", "created", "", "Wonderland", "almost")
	}
	if w.chance(8) {
		currency = pick(w, "EUR", "USD", "GBP", "")
	}
	cells := [][]cell{
		w.text("opportunityId", id), w.sometimes(45, w.number("value", w.amount())), w.sometimes(60, w.text("currency", currency)),
		w.sometimes(10, w.text("leadId", w.known("ld_"))), w.sometimes(10, w.text("partnerId", w.known("ptr_"))),
	}
	switch typ {
	case "opportunity.stage_changed":
		cells = append(cells, w.text("from", stage()), w.text("to", stage()))
	case "opportunity.lost":
		cells = append(cells, w.text("reason", pick(w, "budget", "timing", "")))
	case "opportunity.created":
		cells = append(cells, w.text("stage", stage()))
	default: // fields that mean nothing here
		cells = append(cells, w.sometimes(20, w.text("stage", stage())), w.sometimes(20, w.text("to", stage())), w.sometimes(20, w.text("reason", "none")))
	}
	w.emit(typ, at, cells...)
}

func (w *world) amount() string {
	switch w.rng.IntN(20) {
	case 0:
		return pick(w, "0", "-0", "1e3", "12.500", "0.000000001", "-0.000000001", "99999999999999999999.999999999", "1000000000000000000", "-2e18", "999999999999999999.999999999")
	case 1:
		return fmt.Sprintf("-%d.%d", w.rng.IntN(900), w.rng.IntN(1000))
	case 2, 3:
		return fmt.Sprintf("%d.%09d", w.rng.IntN(100000), w.rng.IntN(1000000000))
	}
	return fmt.Sprint(w.rng.IntN(20) * 250)
}

func (w *world) commission() {
	id, at := w.fresh("com_"), pick(w, w.begin(), w.edge())
	amount, currency := w.amount(), pick(w, "EUR", "EUR", "USD", "")
	for i := range 1 + w.rng.IntN(6) {
		typ, sum := pick(w, "commission.paid", "commission.paid", "commission.paid", "commission.earned", "commission.adjusted"), amount
		if i == 0 && w.chance(85) {
			typ = "commission.earned"
		} else if w.chance(50) {
			sum = pick(w, w.amount(), "250", "0.1", "-"+strings.TrimPrefix(amount, "-"))
		}
		if w.chance(10) {
			currency = pick(w, "EUR", "USD", "GBP", "")
		}
		w.emit(typ, at, w.text("commissionId", id), w.sometimes(93, w.number("amount", sum)),
			w.sometimes(35, w.text("partnerId", w.known("ptr_"))), w.sometimes(60, w.text("currency", currency)))
		at = w.later(at)
	}
}

func (w *world) partner() {
	id, at := w.known("ptr_"), w.begin()
	for range 1 + w.rng.IntN(3) {
		typ := pick(w, "partner.registered", "partner.registered", "partner.approved", "partner.moved")
		w.emit(typ, at, w.text("partnerId", id), w.sometimes(60, w.text("company", pick(w, "Acme", "Partner & Co", "Größe GmbH", ""))))
		at = w.later(at)
	}
}

func (w *world) task() {
	id, at := w.fresh("tsk_"), w.begin()
	for range 1 + w.rng.IntN(4) {
		typ := pick(w, "task.created", "task.created", "task.completed", "task.completed", "task.moved")
		w.emit(typ, at, w.text("taskId", id), w.sometimes(60, w.text("title", pick(w, "Call", "Write", ""))),
			w.sometimes(60, w.text("assigneeId", w.known("usr_"))))
		at = w.later(at)
	}
}

func (w *world) form() {
	typ := pick(w, "form.submitted", "form.submitted", "form.submitted", "form.submitted", "form.submitted", "form.viewed")
	cells := [][]cell{w.text("formId", pick(w, "frm_1", "frm_2", "frm_3", "")), w.sometimes(85, w.text("leadId", w.known("ld_")))}
	for _, name := range []string{"name", "email", "note"} {
		if w.chance(70) { // always fitting: what a map makes of a misfit is schema's to prove
			value := pick(w, "Jane", "p1@example.com", "")
			cells = append(cells, []cell{{path: "fields." + name, column: "fields_" + name, raw: fmt.Sprintf("%q", value), text: &value}})
		}
	}
	w.emit(typ, w.begin(), cells...)
}

// stranger is an event of a type that no catalog names, or of an entity that has no table.
func (w *world) stranger() {
	typ := pick(w, "invoice.sent", "ping", "lead", "lead.", "webhook.test")
	w.emit(typ, w.begin(), w.text("leadId", w.known("ld_")), w.number("amount", w.amount()))
}
