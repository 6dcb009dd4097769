package main

import (
	"fmt"
	"strings"
)

// appHelp is `leadhouse -h`.
const appHelp = `leadhouse carries Leadron's webhooks into ClickHouse, by way of Kafka.

  Leadron ──POST──▶ leadhouse ingest ──▶ Kafka topic ──▶ leadhouse sink ──▶ ClickHouse
  Leadron ◀──GET catalog── leadhouse backfill ── creates and evolves the tables ──▶ ClickHouse

Usage:
  leadhouse COMMAND [flags]
  leadhouse COMMAND -h          the whole manual of a command, with all of its settings

Commands:
{{range .VisibleCommands}}  {{printf "%-12s" .Name}} {{.Usage}}
{{end}}
Settings:
  Every setting can be given as a flag (--kafka-brokers), as a variable (LEADHOUSE_KAFKA_BROKERS) or as a key of the YAML
  file that --config names (kafka-brokers: …). The flag wins over the variable, the variable over the file. No flag takes
  a secret: a secret is in a file that a flag names, or in a variable.

Exit codes:
  0   done, or stopped by SIGINT or SIGTERM
  1   failed; check and verify: something is wrong; deadletters replay: some stayed what they were
  2   backfill --plan: there is something to do
  64  the command line or the configuration is wrong: nothing was dialled, and a restart will not help
`

// helpWidth is what the manuals are wrapped at.
const helpWidth = 100

// help is a command's manual, as a template of urfave/cli's, which prints the settings through their String.
func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "leadhouse %s: %s\n\n%s\n", c.name, c.usage, wrap(c.manual, ""))
	fmt.Fprintf(&b, "\nUsage:\n  leadhouse %s [flags]\n", c.name)
	group := ""
	for _, s := range c.settings {
		if s.hidden {
			continue
		}
		if s.group != group {
			group = s.group
			fmt.Fprintf(&b, "\n%s:\n", group)
		}
		b.WriteString(s.String())
	}
	fmt.Fprintf(&b, "\nExamples:\n%s\n", indent(c.examples))
	fmt.Fprintf(&b, "\nExit codes:\n%s\n", indent(c.exits))
	return strings.ReplaceAll(b.String(), "{{", `{{"{{"}}`)
}

// String is the setting in -h.
func (s *setting) String() string {
	line := "  " + s.flagName()
	if s.value.form != "" {
		line += " " + s.value.form
	}
	var notes []string
	if s.required {
		notes = append(notes, "required")
	}
	if d := s.value.show(); d != "" {
		notes = append(notes, "default "+d)
	}
	if len(notes) > 0 {
		line += " (" + strings.Join(notes, ", ") + ")"
	}
	line += "  [$" + s.variable() + "]"
	usage := s.usage
	if s.secret != nil {
		usage += fmt.Sprintf(" Or set $%s to %s%s.", s.secret.variable(), s.secret.what, s.secret.form)
	}
	return line + "\n" + wrap(usage, "      ") + "\n"
}

// wrap breaks paragraphs into lines. Lines that begin with a space are left as they are.
func wrap(text, prefix string) string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, " ") || line == "" {
			out = append(out, strings.TrimRight(prefix+line, " "))
			continue
		}
		current := prefix
		for _, word := range strings.Fields(line) {
			switch {
			case current == prefix:
				current += word
			case len([]rune(current))+1+len([]rune(word)) > helpWidth:
				out = append(out, current)
				current = prefix + word
			default:
				current += " " + word
			}
		}
		out = append(out, current)
	}
	return strings.Join(out, "\n")
}

func indent(text string) string {
	return strings.ReplaceAll("  "+strings.ReplaceAll(text, "\n", "\n  "), "  \n", "\n")
}
