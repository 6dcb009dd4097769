package views_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/schema/views"
)

// TestAbsurdAmountsFailNoView: 99 × 10^28 does not fit into Decimal(38, 9). Then sums are wrong, data_quality says where
// that comes from, and the other views and rows can be read.
func TestAbsurdAmountsFailNoView(t *testing.T) {
	t.Parallel()
	s, w := shapes()[1], newWorld(105, theDay(t), 0)
	const most = "99999999999999999999999999999.999999999"
	for i := range 99 {
		at := w.today.Add(-time.Duration(i) * day)
		one := func(typ, path, id, field, amount string) {
			w.emit(typ, at, []cell{{path: path, raw: fmt.Sprintf("%q", id)}, {path: field, raw: amount}})
		}
		id := fmt.Sprint(i)
		one("opportunity.created", "opportunityId", id, "value", most)
		one("opportunity.won", "opportunityId", id, "value", "-"+most)
		one("commission.earned", "commissionId", id, "amount", most)
		one("commission.paid", "commissionId", "c", "amount", most)
		one("commission.paid", "commissionId", id, "amount", "-"+most)
	}
	wh := open(t, s)
	wh.load(w.deliveries)
	all, _, err := views.All(wh.Database, everything{})
	wh.must(err)
	for _, v := range all {
		var columns string
		for _, c := range v.Columns {
			columns += c.Name + " "
		}
		wh.rows(v.Name, columns[:len(columns)-1], nil) // fails the test where it cannot be read
	}
	got := wh.rows("data_quality", "check_name problems", nil)
	if want := fmt.Sprintf("%q %d ", "absurd_amount", len(w.deliveries)); !slices.Contains(got, want) {
		t.Errorf("got %q, want among them %q", got, want)
	}
}
