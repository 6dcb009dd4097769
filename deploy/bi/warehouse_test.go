//go:build bi

package bi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/bi"
)

// Settings that BI tools send, or that their users set: a view's numbers must not hang on them.
func TestNoSettingOfAToolChangesAView(t *testing.T) {
	t.Parallel()
	s := bi.Warehouse(t)
	settings := []string{
		"session_timezone = 'America/New_York'", // Metabase, from its report time zone
		"join_use_nulls = 1",                    // dbt and SQL workbenches, to be as other databases
		"transform_null_in = 1",
		"aggregate_functions_null_for_empty = 1",
		"prefer_column_name_to_alias = 1",
		"union_default_mode = 'DISTINCT'",
		"select_sequential_consistency = 1", // Metabase
		"use_uncompressed_cache = 1",
		"max_threads = 1",
	}
	for _, view := range strings.Fields(s.Query(t, "SELECT name FROM system.tables WHERE database = '"+s.Database+"' AND engine = 'View' ORDER BY name")) {
		ask := fmt.Sprintf("SELECT count(), sum(cityHash64(toString(tuple(* EXCEPT '^seconds_since_')))) FROM %s.%s SETTINGS final = 1", s.Database, view)
		want := s.Query(t, ask)
		if got, err := s.ClickHouse.Query(t.Context(), ask+", "+strings.Join(settings, ", ")); err == nil && got == want {
			continue
		}
		t.Errorf("%s is not the same with all of them", view)
		for _, setting := range settings { // which of them?
			got, err := s.ClickHouse.Query(t.Context(), ask+", "+setting)
			if err != nil || got != want {
				t.Errorf("%s with %s: got %s, %v, want %s", view, setting, got, err, want)
			}
		}
	}
}
