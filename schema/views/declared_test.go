package views_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/schema"
	"github.com/leadhouse/leadhouse/schema/views"
)

// has is a warehouse as views.All asks for it.
type has struct{ *schema.Warehouse }

func (h has) HasTable(name string) bool { return h.table(name) != nil }

func (h has) EventTables() (names []string) {
	for _, t := range h.Tables {
		names = append(names, t.Name)
	}
	slices.Sort(names)
	return names
}

func (h has) HasColumn(table, column, typ string) bool {
	t := h.table(table)
	return t != nil && slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return c.Name == column && c.Kind.ClickHouseType() == typ })
}

func (h has) table(name string) *schema.Table {
	for _, t := range h.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// column is one as ClickHouse describes it.
type column struct{ name, typ, comment string }

func (wh *warehouse) describe(what string) (all []column) {
	wh.Helper()
	rows, err := wh.conn.Query(wh.Context(), "DESCRIBE TABLE "+what+" SETTINGS describe_compact_output = 0")
	if err != nil {
		wh.Errorf("%s: %v", what, err)
		return nil
	}
	defer rows.Close()
	for rows.Next() {
		var c column
		var kind, expression, codec, ttl string
		wh.must(rows.Scan(&c.name, &c.typ, &kind, &expression, &c.comment, &codec, &ttl))
		all = append(all, c)
	}
	wh.must(rows.Err())
	return all
}

// A view casts what its query gives to what its head declares. Here there is nothing to cast: a NULL that a column cannot
// hold, or a number that it cuts, would be an error of the reader's query or a wrong number.
func TestEveryQueryGivesWhatIsDeclared(t *testing.T) {
	t.Parallel()
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			wh := open(t, s)
			made, _, err := views.All(wh.Database, has{wh.Warehouse})
			wh.must(err)
			if len(made) == 0 {
				t.Fatal("there are no views")
			}
			for _, v := range made {
				var want []column
				for _, c := range v.Columns {
					want = append(want, column{c.Name, c.Type, c.Comment})
				}
				if got := wh.describe(fmt.Sprintf("`%s`.%s", wh.Database, v.Name)); !slices.Equal(got, want) {
					t.Errorf("%s is described as\n%v, declared\n%v", v.Name, got, want)
				}
				for i := range want {
					want[i].comment = "" // a query has none
				}
				if got := wh.describe("(" + v.Query + ")"); !slices.Equal(got, want) {
					t.Errorf("the query of %s gives\n%v, declared\n%v", v.Name, got, want)
				}
			}
		})
	}
}

var (
	plainName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	// scalar are the types that every BI tool reads.
	scalar = regexp.MustCompile(`^(LowCardinality\(String\)|Nullable\((String|Float64|Decimal\((38, 9|18, 4)\)|DateTime64\(3, 'UTC'\))\)|` +
		`String|Float64|Decimal\(38, 9\)|DateTime64\(3, 'UTC'\)|Date|UInt64|Bool)$`)
)

// nested are the columns that are no scalars.
var nested = map[string]string{"form_submissions.fields": "Map(LowCardinality(String), String)", "data_quality.examples": "Array(String)"}

func TestBIToolsReadEveryColumn(t *testing.T) {
	t.Parallel()
	all, _, err := views.All("db", everything{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		for _, c := range v.Columns {
			name := v.Name + "." + c.Name
			if !plainName.MatchString(c.Name) {
				t.Errorf("%s needs quoting", name)
			}
			if !scalar.MatchString(c.Type) && nested[name] != c.Type {
				t.Errorf("%s is %s", name, c.Type)
			}
			if strings.Contains(c.Type, "Date") && !strings.Contains(c.Comment, "UTC") {
				t.Errorf("%s does not say that it is UTC: %s", name, c.Comment)
			}
			if len(c.Comment) < 8 || strings.HasSuffix(c.Comment, ".") {
				t.Errorf("the comment of %s: %q", name, c.Comment)
			}
		}
		for name := range strings.SplitSeq(v.Key, ", ") {
			i := slices.IndexFunc(v.Columns, func(c views.Column) bool { return c.Name == name })
			if v.Key != "" && (i < 0 || strings.HasPrefix(v.Columns[i].Type, "Nullable")) {
				t.Errorf("%s cannot be ordered by %q", v.Name, name)
			}
		}
	}
}

// No name needs quotes, wherever a tool writes it.
func TestEveryColumnIsAskedForByItsBareName(t *testing.T) {
	t.Parallel()
	wh := open(t, shapes()[0])
	made, _, err := views.All(wh.Database, has{wh.Warehouse})
	wh.must(err)
	for _, v := range made {
		var names, keys []string
		for _, c := range v.Columns {
			names = append(names, c.Name)
			if !strings.HasPrefix(c.Type, "Map") {
				keys = append(keys, c.Name)
			}
		}
		list := strings.Join(keys, ", ")
		wh.must(wh.conn.Exec(t.Context(), fmt.Sprintf("SELECT %s, count(%s) FROM %s.%s AS v WHERE isNotNull(v.%s) GROUP BY %s ORDER BY %s",
			list, names[0], wh.Database, v.Name, strings.Join(names, ") AND isNotNull(v."), list, list)))
	}
}

// Of an empty warehouse every view tells something sensible: nothing, or that there is nothing.
func TestAnEmptyWarehouse(t *testing.T) {
	t.Parallel()
	wh := open(t, shapes()[0])
	for _, name := range views.Names() {
		var want []string
		columns := "*"
		switch name {
		case "data_freshness":
			for _, table := range append(has{wh.Warehouse}.EventTables(), "deliveries", "dead_letters") {
				want = append(want, fmt.Sprintf("%q NULL NULL NULL NULL ", table))
			}
		case "data_quality":
			columns = "problems examples"
			for range 14 {
				want = append(want, "0 [] ")
			}
		}
		slices.Sort(want)
		if got := wh.rows(name, columns, nil); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// What clients and tools set for their own queries changes no view, since its query runs with those settings.
func TestNoSettingOfAClientChangesAView(t *testing.T) {
	t.Parallel()
	s, w := shapes()[1], newWorld(105, theDay(t), 150)
	wh := open(t, s)
	wh.load(w.deliveries)
	before := wh.snapshot(nil)
	for _, settings := range []clickhouse.Settings{
		{
			"final": 1, "join_use_nulls": 1, "prefer_column_name_to_alias": 1, "session_timezone": "America/New_York", "transform_null_in": 1,
			"group_by_use_nulls": 1, "aggregate_functions_null_for_empty": 1, "cast_keep_nullable": 1,
		},
		{
			"short_circuit_function_evaluation": "disable", "max_threads": 1, "max_block_size": 13, "optimize_aggregation_in_order": 1,
			"union_default_mode": "DISTINCT", "join_algorithm": "full_sorting_merge",
			"enable_extended_results_for_datetime_functions": 1, "decimal_check_overflow": 0,
		},
		{"compatibility": "24.8"},
	} {
		wh.same(fmt.Sprint(settings), before, wh.snapshot(settings))
	}
}
