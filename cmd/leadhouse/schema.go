package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"
	"github.com/urfave/cli/v2"

	"github.com/leadhouse/leadhouse/schema"
)

// leadhouse schema bi-user
//
//	main ─▶ the script to stdout; or with --apply ─▶ one statement after the other
//
// One goroutine. The ClickHouse pool is this file's: it is closed when the last statement has run.
type biUserJob struct {
	user       schema.BIUser
	file       string // of the password
	apply      bool
	clickhouse *clickhouseSettings
}

const schemaFamily = "schema"

func newBIUser() *command {
	j := &biUserJob{clickhouse: newClickhouseSettings(), user: schema.DefaultBIUser()}
	c := &command{
		name:     schemaFamily + " bi-user",
		usage:    "print, or run, the SQL for a user that BI tools connect as",
		manual:   biUserManual,
		examples: biUserExamples,
		exits: `0   printed; with --apply: user, role and profile are there, and as printed
1   --apply could not: ClickHouse, or stopped by SIGINT or SIGTERM; run it again
64  the command line or the configuration is wrong: nothing was dialled`,
		settings: j.settings(),
		prepare:  j.prepare,
	}
	return c.withCommon()
}

const biUserManual = `Prints SQL for a user that reads the warehouse's database and changes nothing, a role that holds the right, and a settings profile: each event counts once in views and tables alike, whatever a tool sends (final = 1, and nobody can change it), and a question has limits of time and memory. With --apply it runs the statements instead, over the native protocol.
It may be run again: what exists is altered to be as printed, and never replaced, so the role may be given to further users (GRANT bi_reader TO ...), and brings the profile with it. A password is set anew each time. Nothing is revoked.
The password is in no flag and in no statement: the SQL has sha256 of it with a salt. Whoever reads that can try guesses, so it has to have 12 characters at least; make one (openssl rand -base64 24).
For --apply the ClickHouse user needs access_management, and SELECT on the database WITH GRANT OPTION. A server whose users are in files alone refuses; take the settings from what is printed.`

const biUserExamples = `# look at it, or pipe it into clickhouse-client
leadhouse schema bi-user --bi-password-file /run/secrets/bi

# make the user, or bring it up to date after an upgrade
leadhouse schema bi-user --apply --bi-password-file /run/secrets/bi --clickhouse-addr clickhouse:9000`

// biPasswordMin: a hash in a script is guessed at 10 billion tries a second; 12 letters and digits at random outlast that by centuries.
const biPasswordMin = 12

func (j *biUserJob) settings() settings {
	const group = "BI user"
	u := &j.user
	ss := settings{
		{
			name: "apply", group: group, value: toggle(&j.apply), noFile: true,
			usage: "Run the statements, and print none of them.",
		},
		{
			name: "bi-user", group: group, field: "Name", value: text(&u.Name, "NAME"),
			usage: "The user.",
		},
		{
			name: "bi-password-file", group: group, value: file(&j.file), required: true,
			usage:  "File with the user's password; a line end at its end does not count.",
			secret: &secret{name: "bi-password", what: "the user's password", use: j.takePassword},
		},
		{
			name: "bi-role", group: group, field: "Role", value: text(&u.Role, "NAME"),
			usage: "The role that may read. It cannot have the user's name.",
		},
		{
			name: "bi-profile", group: group, field: "Profile", value: text(&u.Profile, "NAME"),
			usage: "The settings profile.",
		},
		{
			name: "bi-max-execution-time", group: group, field: "MaxExecutionTime", value: duration(&u.MaxExecutionTime),
			usage: "How long a question may take where a client does not say. It may say up to an hour, for an extract.",
		},
		{
			name: "bi-max-memory", group: group, field: "MaxMemory", value: size(&u.MaxMemory),
			usage: "How much memory one question may take, whatever a client says. The sinks' inserts need the rest.",
		},
	}
	ss = append(ss, j.clickhouse.settings(false)...)
	return append(ss, databaseSetting(&u.Database))
}

func (j *biUserJob) takePassword(password string) error {
	if n := len([]rune(password)); n < biPasswordMin {
		return fmt.Errorf("the password has %d characters, fewer than %d", n, biPasswordMin)
	}
	j.user.SetPassword(password)
	return nil
}

func (j *biUserJob) prepare(log zerolog.Logger) (func(context.Context) error, error) {
	if !j.apply {
		return func(context.Context) error {
			_, err := os.Stdout.WriteString(j.user.Script())
			return err
		}, j.user.Validate()
	}
	conn, err := j.clickhouse.open("schema", 1)
	if err == nil && conn == nil {
		err = errors.New("--apply needs --clickhouse-addr: the server to make the user on")
	}
	if err := errors.Join(err, j.user.Validate()); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		starting(log, j.clickhouse.risk())
		err := j.run(ctx, conn)
		return closing(err, conn)
	}, nil
}

func (j *biUserJob) run(ctx context.Context, conn driver.Conn) error {
	for _, statement := range j.user.Statements() {
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w%s", schema.Subject(statement), err, biUserAdvice(err))
		}
	}
	fmt.Printf("%s reads %s. Its settings: profile %s, which the role %s brings too.\n", j.user.Name, j.user.Database, j.user.Profile, j.user.Role)
	return nil
}

// ClickHouse's codes for a server that keeps its users in files.
const (
	codeAccessStorageReadonly = 495
	codeNoAccessStorage       = 514
)

func biUserAdvice(err error) string {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	switch {
	case ok && (exception.Code == codeNoAccessStorage || exception.Code == codeAccessStorageReadonly):
		return "\nThis server takes its users from files. Put the settings into users.xml (without --apply they are printed), or let it have an access_control_path."
	case ok && exception.Code == codeAccessDenied:
		return "\nThe user of --clickhouse-username needs access_management (users.xml), or the privileges CREATE and ALTER of USER, ROLE and SETTINGS PROFILE, ROLE ADMIN, and what it grants WITH GRANT OPTION."
	}
	return ""
}

// schemaCommand holds the family's commands.
func schemaCommand(jobs []*cli.Command) *cli.Command {
	return familyCommand(schemaFamily, "print, or run, SQL for what stands beside the warehouse: the user of BI tools", schemaHelp, jobs)
}

const schemaHelp = `leadhouse schema: SQL for what stands beside the warehouse

The warehouse itself, its tables and views, is made by leadhouse backfill.

Usage:
  leadhouse schema COMMAND [flags]
  leadhouse schema COMMAND -h      the whole manual of a command, with all of its settings

Commands:
{{range .VisibleCommands}}  {{printf "%-10s" .Name}} {{.Usage}}
{{end}}`
