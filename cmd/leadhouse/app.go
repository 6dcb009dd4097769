package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// The exit codes, the same for every command.
const (
	exitOK      = 0
	exitFailed  = 1  // it ran and failed; check: something is wrong
	exitPending = 2  // backfill --plan: there is something to do
	exitUsage   = 64 // sysexits.h EX_USAGE: the command line or the configuration is wrong, and a restart will not help
)

// run is the program: it returns the exit code.
func run(ctx context.Context, args []string) int {
	err := newApp(newCommands()).RunContext(ctx, args)
	if err == nil {
		return exitOK
	}
	end, ok := errors.AsType[*exit](err)
	if !ok {
		end = &exit{exitFailed, err.Error()}
	}
	if end.text != "" {
		fmt.Fprintln(os.Stderr, end.text)
	}
	return end.code
}

// exit is the end of the program with another code than 0, and what to print: nothing, if all has been said.
type exit struct {
	code int
	text string
}

func (e *exit) Error() string { return e.text }

// misuse is an exit because of how the program was called.
func misuse(command, text string) *exit {
	return &exit{exitUsage, fmt.Sprintf("%s: %s\nSee %s -h.", command, text, command)}
}

// newCommands are those that have settings, each with its own copies. All are made, whichever runs: the --config file and
// the variables are checked against all of them.
func newCommands() []*command {
	return append([]*command{newIngest(), newSink(), newBackfill(), newVerify(), newErase(), newCheck(), newBIUser()}, newDeadletters()...)
}

func newApp(commands []*command) *cli.App {
	app := &cli.App{
		Name:                  "leadhouse",
		Version:               build().version,
		Usage:                 "Leadron's webhooks into ClickHouse, by way of Kafka",
		CustomAppHelpTemplate: appHelp,
		HideHelpCommand:       true, // see rootAction
		EnableBashCompletion:  true, // and zsh and fish: see completion.go
		Suggest:               true,
		OnUsageError:          usageError,
		ExitErrHandler:        func(*cli.Context, error) {}, // run does it
		Action:                rootAction,
	}
	families := map[string][]*cli.Command{}
	for _, c := range commands {
		if c.family() == c.name {
			app.Commands = append(app.Commands, c.cli(commands))
		} else {
			families[c.family()] = append(families[c.family()], c.cli(commands))
		}
	}
	app.Commands = append(app.Commands, lettersCommand(families[lettersFamily]), schemaCommand(families[schemaFamily]), versionCommand(), completionCommand())
	return app
}

// familyCommand holds the commands of a family.
func familyCommand(name, usage, help string, jobs []*cli.Command) *cli.Command {
	return &cli.Command{
		Name:               name,
		Usage:              usage,
		HideHelpCommand:    true,
		CustomHelpTemplate: help,
		OnUsageError:       usageError,
		Subcommands:        jobs,
		Action: func(c *cli.Context) error {
			names := map[string]bool{}
			for _, job := range jobs {
				names[job.Name] = true
			}
			if word := c.Args().First(); word != "" {
				return misuse("leadhouse "+name, fmt.Sprintf("there is no command %q%s", word, didYouMean(word, names)))
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// rootAction is what happens without a command: help, by that name too, with or without a command's name behind it. The
// library's own help command would exit with 3 when it does not know that name.
func rootAction(c *cli.Context) error {
	names := map[string]bool{}
	for _, cmd := range c.App.Commands {
		names[cmd.Name] = true
	}
	word := c.Args().First()
	if word == "help" {
		if word = c.Args().Get(1); names[word] {
			return cli.ShowCommandHelp(c, word)
		}
	}
	if word == "" {
		return cli.ShowAppHelp(c)
	}
	return misuse("leadhouse", fmt.Sprintf("there is no command %q%s", word, didYouMean(word, names)))
}

// usageError is for a command line that cannot be split into flags. Its text never repeats a value.
func usageError(c *cli.Context, err error, _ bool) error {
	name := strings.TrimPrefix(err.Error(), "flag provided but not defined: -")
	text := err.Error()
	if name != err.Error() {
		text = unknownFlag(c.Command, name)
	}
	return misuse(c.Command.HelpName, text)
}

func unknownFlag(c *cli.Command, name string) string {
	names := map[string]bool{"help": true}
	for _, f := range c.Flags {
		s, ok := f.(*setting)
		if !ok {
			continue
		}
		names[s.name] = true
		if s.secret != nil && s.secret.name == name {
			return fmt.Sprintf("there is no flag --%s, because the process list would show %s to everybody: use %s, or the variable %s",
				name, s.secret.what, s.flagName(), s.secret.variable())
		}
	}
	return "there is no flag --" + name + didYouMean(name, names)
}
