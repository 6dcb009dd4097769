package grafana_test

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// query is a query as Grafana has it, before its macros and variables are put in.
type query struct {
	from, to  time.Time
	interval  time.Duration
	variables map[string][]string
}

// macros are those of the plugin that the dashboards use, as it defines them: github.com/grafana/clickhouse-datasource,
// pkg/macros/macros.go. (Its Go module cannot be had from the module proxy.)
func (q query) macros() map[string]func(args []string) (string, error) {
	dateTime := func(t time.Time) string { return fmt.Sprintf("toDateTime(%d)", t.Unix()) }
	return map[string]func([]string) (string, error){
		"fromTime": func([]string) (string, error) { return dateTime(q.from), nil },
		"toTime":   func([]string) (string, error) { return dateTime(q.to), nil },
		"timeFilter": func(args []string) (string, error) {
			if len(args) != 1 {
				return "", fmt.Errorf("timeFilter: expected 1 argument, received %d", len(args))
			}
			return fmt.Sprintf("%[1]s >= %[2]s AND %[1]s <= %[3]s", args[0], dateTime(q.from), dateTime(q.to)), nil
		},
		"timeInterval": func(args []string) (string, error) {
			if len(args) != 1 {
				return "", fmt.Errorf("timeInterval: expected 1 argument, received %d", len(args))
			}
			return fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", args[0], max(1, int(q.interval.Seconds()))), nil
		},
	}
}

var (
	macro    = regexp.MustCompile(`\$__(\w+)(?:\(([^()]*)\))?`)
	variable = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}`)
)

// expand makes SQL of it. Variables come first, and only in the form that quotes each value: ${name:sqlstring}.
func (q query) expand(sql string) (string, error) {
	var failed error
	fail := func(format string, args ...any) string {
		failed = fmt.Errorf(format, args...)
		return ""
	}
	sql = variable.ReplaceAllStringFunc(sql, func(text string) string {
		m := variable.FindStringSubmatch(text)
		values, known := q.variables[m[1]]
		if !known || m[2] != "sqlstring" {
			return fail("%s: an unknown variable, or one that is not quoted", text)
		}
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = "'" + strings.ReplaceAll(v, "'", "''") + "'"
		}
		return strings.Join(quoted, ",")
	})
	sql = macro.ReplaceAllStringFunc(sql, func(text string) string {
		m := macro.FindStringSubmatch(text)
		define, known := q.macros()[m[1]]
		if !known {
			return fail("$__%s is no macro of the plugin that is known here", m[1])
		}
		var args []string
		if m[2] != "" {
			args = strings.Split(m[2], ",")
		}
		out, err := define(args)
		if err != nil {
			return fail("%w", err)
		}
		return out
	})
	if failed == nil && strings.Contains(sql, "$") {
		return "", fmt.Errorf("something is left of a macro or variable: %s", sql)
	}
	return sql, failed
}
