//go:build bi

package bi_test

import (
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

func TestTheReaderSeesEachEventOnce(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	t.Log(s.Tables(t))
	t.Log(s.Query(t, "SELECT table, sum(rows), count() FROM system.parts WHERE active AND database='leadron' GROUP BY 1 ORDER BY 1"))
	t.Log(s.Query(t, "SELECT * FROM leadron.delivery_balance"))
}
