//go:build bi

package superset_test

import (
	"slices"
	"strings"
	"testing"
)

// TestMoneyIsGroupedByCurrency: **no chart adds up amounts of two currencies.** The warehouse of the other test has none, so
// this one reads the files: whatever asks a view that has a currency has it, or a column made of it, among what it groups by.
func TestMoneyIsGroupedByCurrency(t *testing.T) {
	t.Parallel()
	files := committed(t)
	money := map[string]bool{} // by dataset
	for name, text := range files {
		if strings.Contains(name, "/datasets/") {
			d := read(t, text)
			id, _ := d["uuid"].(string)
			money[id] = strings.Contains(text, "\n- column_name: currency\n")
		}
	}
	checked := 0
	for name, text := range files {
		if !strings.Contains(name, "/charts/") {
			continue
		}
		c := read(t, text)
		if of, _ := c["dataset_uuid"].(string); !money[of] {
			continue
		}
		context, _ := c["query_context"].(string)
		_, queries := chart{Name: name, QueryContext: context}.questions(t)
		for _, q := range queries {
			checked++
			columns, _ := q["columns"].([]any)
			if !slices.ContainsFunc(columns, isCurrency) {
				t.Errorf("%s: it asks for money by %v: want the currency among that", name, columns)
			}
		}
	}
	if checked == 0 {
		t.Error("no chart is about money")
	}
}

// isCurrency: a column of a question is its name, or what a chart has on its axis.
func isCurrency(column any) bool {
	if axis, ok := column.(map[string]any); ok {
		column = axis["sqlExpression"]
	}
	name, _ := column.(string)
	return slices.Contains([]string{"currency", "currency_shown", "partner_shown"}, name)
}
