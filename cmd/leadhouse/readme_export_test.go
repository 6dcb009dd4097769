package main

import (
	"fmt"
	"slices"
	"strings"
)

// SettingsTable has a row for each setting, with the commands that have it.
func SettingsTable() string {
	type row struct {
		*setting
		commands []string
	}
	var rows []*row
	for _, c := range newCommands() {
		for _, s := range c.settings {
			i := slices.IndexFunc(rows, func(r *row) bool { return r.name == s.name && r.value.show() == s.value.show() })
			if i < 0 {
				i = len(rows)
				rows = append(rows, &row{setting: s})
			}
			if !slices.Contains(rows[i].commands, c.family()) {
				rows[i].commands = append(rows[i].commands, c.family())
			}
		}
	}
	var b strings.Builder
	b.WriteString("| setting | default | of | what |\n| --- | --- | --- | --- |\n")
	for _, r := range rows {
		if r.hidden {
			continue
		}
		what, _, _ := strings.Cut(r.usage, ". ")
		what = strings.TrimSuffix(what, ".")
		if r.secret != nil {
			what += " (or `" + r.secret.variable() + "`)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r.name, code(r.value.show()), strings.Join(r.commands, ", "),
			strings.ReplaceAll(what, "|", `\|`))
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
