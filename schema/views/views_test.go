package views_test

import (
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/schema/views"
)

// everything has each column that a view asks for.
type everything struct{}

func (everything) HasTable(string) bool                  { return true }
func (everything) EventTables() []string                 { return []string{"lead_events", "other_events"} }
func (everything) HasColumn(string, string, string) bool { return true }

// nothing has tables without typed columns.
type nothing struct{ tables bool }

func (n nothing) HasTable(string) bool                { return n.tables }
func (nothing) EventTables() []string                 { return []string{"other_events"} }
func (nothing) HasColumn(string, string, string) bool { return false }

func TestEveryViewIsMadeOfItsFile(t *testing.T) {
	t.Parallel()
	for _, from := range []views.Source{everything{}, nothing{tables: true}} {
		all, waiting, err := views.All("db", from)
		if err != nil || len(waiting) > 0 || len(all) != len(views.Names()) {
			t.Fatalf("got %d views, %v waiting, %v", len(all), waiting, err)
		}
		for _, v := range all {
			if strings.Contains(v.Query, "{{") || !strings.Contains(v.Query, "`db`.") {
				t.Errorf("%s: %s", v.Name, v.Query)
			}
		}
	}
}

func TestAViewWaitsForItsTables(t *testing.T) {
	t.Parallel()
	all, waiting, err := views.All("db", nothing{})
	if err != nil || waiting["tasks"] != "task_events" {
		t.Errorf("got %v, %v", waiting, err)
	}
	for _, v := range all {
		if waiting[v.Name] != "" {
			t.Errorf("%s is made and waits", v.Name)
		}
	}
}
