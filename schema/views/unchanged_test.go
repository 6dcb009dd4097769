package views_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema/views"
)

// What must change no view. Here the model is not asked: a view is compared with itself.

// aboutDeliveries are the views that tell of deliveries and not of events: a redelivery is news to them.
var aboutDeliveries = []string{"data_freshness", "delivery_latency"}

// snapshot has every view's rows, but for the columns that are others by the moment.
func (wh *warehouse) snapshot(settings clickhouse.Settings) map[string][]string {
	wh.Helper()
	all := map[string][]string{}
	made, _, err := views.All(wh.Database, everything{})
	wh.must(err)
	for _, v := range made {
		var names []string
		for _, c := range v.Columns {
			if !slices.Contains(unproven, v.Name+"."+c.Name) {
				names = append(names, c.Name)
			}
		}
		if !slices.Contains(aboutDeliveries, v.Name) && v.Name != "commission_aging" { // ages go on meanwhile
			all[v.Name] = wh.rows(v.Name, strings.Join(names, " "), settings)
		}
	}
	return all
}

func (wh *warehouse) same(what string, before, after map[string][]string) {
	wh.Helper()
	if len(before) == 0 {
		wh.Fatal("there are no views")
	}
	for view, rows := range before {
		if !slices.Equal(rows, after[view]) {
			wh.Errorf("%s changed %s\n%s", what, view, difference(after[view], rows))
		}
	}
}

func TestAnotherOrderOfArrivalChangesNoView(t *testing.T) {
	t.Parallel()
	s, w := shapes()[1], newWorld(101, theDay(t), 700)
	one, other := open(t, s), open(t, s)
	one.load(w.deliveries)
	w.arriveOtherwise()
	other.load(w.deliveries)
	one.same("another order of arrival", one.snapshot(nil), other.snapshot(nil))
}

// arriveOtherwise gives the deliveries another order, other times of receipt and other times of loading. Of one event ID
// the same delivery is the last: which of two bodies is the event's, its receipt does decide.
func (w *world) arriveOtherwise() {
	shifts := map[string]time.Duration{}
	for i, d := range w.deliveries {
		if shifts[d.id] == 0 {
			shifts[d.id] = w.millis(100*day) - 50*day
		}
		again := *d
		again.received = d.received.Add(shifts[d.id])
		again.loaded = again.received.Add(w.millis(100 * day))
		w.deliveries[i] = &again
	}
	w.shuffle()
}

func TestWhatIsDeliveredAgainChangesNoView(t *testing.T) {
	t.Parallel()
	s, w := shapes()[1], newWorld(102, theDay(t), 700)
	wh := open(t, s)
	wh.load(w.deliveries)
	before := wh.snapshot(nil)
	for range 2 {
		wh.load(w.again())
	}
	wh.same("delivering everything again", before, wh.snapshot(nil))
}

// again delivers every event once more, in any order, as it came last.
func (w *world) again() (all []*delivery) {
	w.shuffle()
	for _, e := range w.kept() {
		d := *e
		d.received = d.received.Add(1000 * day)
		d.loaded = d.received
		all = append(all, &d)
	}
	return all
}

func TestProfileAndMergesChangeNoView(t *testing.T) {
	t.Parallel()
	s, w := shapes()[1], newWorld(103, theDay(t), 700)
	wh := open(t, s)
	wh.load(w.deliveries)
	wh.loadLetters(w.letters())
	before := wh.snapshot(nil)
	wh.same("the profile's final = 1", before, wh.snapshot(clickhouse.Settings{"final": 1}))
	for _, table := range wh.Tables {
		wh.must(wh.conn.Exec(t.Context(), fmt.Sprintf("SYSTEM START MERGES `%s`.`%s`", wh.Database, table.Name)))
		wh.must(wh.conn.Exec(t.Context(), fmt.Sprintf("OPTIMIZE TABLE `%s`.`%s` FINAL", wh.Database, table.Name)))
	}
	wh.same("merging", before, wh.snapshot(nil))
	wh.agree(w, s, clickhouse.Settings{"final": 1})
}

func TestOtherBytesUnderAnIDAreAConflict(t *testing.T) {
	t.Parallel()
	s, w := shapes()[0], newWorld(104, theDay(t), 100)
	conflicts := func(w *world) (n int) {
		for _, row := range newModel(w, s, w.today).dataQuality().rows {
			if row[0] == "event_id_conflicts" {
				n = row[1].(int)
			}
		}
		return n
	}
	w.deliveries = nil
	w.lead()
	w.form()
	if n := conflicts(w); n != 0 {
		t.Fatalf("%d conflicts among events that came once", n)
	}
	d := *w.deliveries[len(w.deliveries)-1]
	d.cells, d.received = nil, d.received.Add(day)
	w.deliveries = append(w.deliveries, &d)
	wh := open(t, s)
	wh.load(w.deliveries)
	if got := wh.rows("data_quality", "check_name problems examples", nil); !slices.Contains(got, fmt.Sprintf(`"event_id_conflicts" 1 [%q] `, d.id)) || conflicts(w) != 1 {
		t.Errorf("got %v", got)
	}
	if got := wh.rows("event_id_conflicts", "event_id bodies deliveries", nil); !slices.Equal(got, []string{fmt.Sprintf("%q 2 2 ", d.id)}) {
		t.Errorf("got %v", got)
	}
}
