package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"
)

// A command is one of the program's jobs: its settings, its manual, and how to begin it.
type command struct {
	name     string // one word, or that of a family and its own
	usage    string // one line
	manual   string // what it does: paragraphs
	examples string // command lines
	exits    string // what its exit codes mean
	settings settings

	// prepare builds, from settings that have been read, what run is to do. It dials nothing. Its errors are problems of the
	// configuration, joined: it goes on after the first, and works with settings that could not be read, whose problems are
	// known already.
	prepare func(log zerolog.Logger) (run func(context.Context) error, err error)

	// refuse says that the configuration has problems. nil: as a list on stderr, with exitUsage.
	refuse func(problems []error) error

	// jobs are commands that this one holds, which the --config file is read for in place of all.
	jobs []*command

	configFile, logLevel, logFormat string
}

// family is the first word of its name.
func (c *command) family() string {
	first, _, _ := strings.Cut(c.name, " ")
	return first
}

// withCommon adds the settings that every command has.
func (c *command) withCommon() *command {
	const group = "Configuration and logs"
	c.logLevel, c.logFormat = "info", "auto"
	c.settings = append(
		c.settings,
		&setting{
			name: "config", group: group, value: file(&c.configFile), noFile: true,
			usage: "YAML file with settings, one `key: value` a line; the keys are the names of the flags without the dashes; paths are relative to the working directory. What stands below `" + c.name + ":` is for this command alone. Flags and variables win over it.",
		},
		&setting{
			name: "log-level", group: group, value: oneOf(&c.logLevel, "debug", "info", "warn", "error"),
			usage: "The least level that is logged.",
		},
		&setting{
			name: "log-format", group: group, value: oneOf(&c.logFormat, "auto", "console", "json"),
			usage: "Logs go to stderr: as text for people (console) or as one JSON object a line; auto is console on a terminal and JSON elsewhere.",
		},
	)
	return c
}

func (c *command) cli(all []*command) *cli.Command {
	cc := &cli.Command{
		Name:               c.name[strings.LastIndex(c.name, " ")+1:],
		Usage:              c.usage,
		HideHelpCommand:    true,
		CustomHelpTemplate: c.help(),
		OnUsageError:       usageError,
		BashComplete:       c.complete,
		Action:             func(cc *cli.Context) error { return c.action(cc, all) },
	}
	for _, s := range c.settings {
		cc.Flags = append(cc.Flags, s)
	}
	return cc
}

// action reads the configuration, all of it, reports all that is wrong with it, and only then begins.
func (c *command) action(cc *cli.Context, all []*command) error {
	if cc.Args().Present() {
		// Without the text: it may be a secret, after a flag that was to be another.
		return misuse("leadhouse "+c.name, fmt.Sprintf("flags are all that it takes, and the last %d words belong to none", cc.Args().Len()))
	}
	warnings, problems := c.read(all)
	log := newLogger(os.Stderr, c.logLevel, c.logFormat).With().Str("command", c.name).Logger()
	run, err := c.prepare(log)
	problems = distinct(append(problems, c.settings.rename(c.family(), err)...))
	if len(problems) > 0 {
		return c.report(problems)
	}
	for _, w := range warnings {
		log.Warn().Msg(w)
	}
	if err := run(cc.Context); err != nil {
		return c.failed(log, err)
	}
	return nil
}

func (c *command) read(all []*command) (warnings []string, problems []error) {
	// The path of the file comes first. Reading it here and again with the others changes nothing.
	c.settings.named("config").read() // what is wrong with it is found again below
	if c.jobs != nil {                // its own copies of these, so that it sees what they read; of the others all is as good
		all = append(slices.DeleteFunc(slices.Clone(all), func(other *command) bool {
			return other.name == c.name || slices.ContainsFunc(c.jobs, func(job *command) bool { return job.name == other.name })
		}), append(slices.Clone(c.jobs), c)...)
	}
	if c.configFile != "" {
		problems = readConfigFile(c.configFile, all)
	}
	warnings, more := c.settings.read()
	return append(warnings, strangers(os.Environ(), all)...), append(problems, more...)
}

func (c *command) report(problems []error) error {
	if c.refuse != nil {
		return c.refuse(problems)
	}
	return misuse("leadhouse "+c.name, listProblems(problems))
}

// distinct drops what has been said: two jobs that check holds may find the same, as may two settings that share a file.
func distinct(problems []error) (once []error) {
	seen := map[string]bool{}
	for _, p := range problems {
		if !seen[p.Error()] {
			seen[p.Error()] = true
			once = append(once, p)
		}
	}
	return once
}

func listProblems(problems []error) string {
	text := "one problem in the configuration:"
	if len(problems) > 1 {
		text = fmt.Sprintf("%d problems in the configuration:", len(problems))
	}
	for _, p := range problems {
		text += "\n  " + strings.ReplaceAll(p.Error(), "\n", "\n    ")
	}
	return text
}

// failed tells of the end by an error: as a log line where lines are read by machines, as text where people read.
func (c *command) failed(log zerolog.Logger, err error) error {
	if told, ok := errors.AsType[*exit](err); ok {
		return told
	}
	if isConsole(os.Stderr, c.logFormat) {
		return &exit{exitFailed, fmt.Sprintf("leadhouse %s: %v", c.name, err)}
	}
	log.Error().Err(err).Msg("failed")
	return &exit{exitFailed, ""}
}
