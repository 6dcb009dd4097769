// Command leadhouse carries Leadron's webhooks into ClickHouse, by way of Kafka: `leadhouse -h`, and `-h` of each command,
// are its manual.
//
//	flags > LEADHOUSE_… > --config file > defaults
//	              │ settings (setting.go, settings.go, configfile.go, secret.go)
//	              ▼
//	     a Config of package ingest, sink or backfill, and clients (kafka.go, clickhouse.go)
//	              │ New: checks, opens nothing
//	              ▼
//	     Run(ctx) until SIGINT or SIGTERM
//
// This is the only place that reads flags, variables and the --config file, that builds clients, and that names exit codes.
//
// **A configuration is checked as a whole, and all that is wrong with it is said at once, before anything is dialled.** The
// line that keeps it is in command.go, in action. **A secret reaches no log, no error and no process list** (secret.go).
//
// What happens when something fails:
//
//	a flag, variable or key is unknown or unreadable   exit code 64, with all other problems of the configuration
//	a variable LEADHOUSE_… that is no setting          a warning: it may be Kubernetes' or another program's
//	a secret's file is readable by everybody           a warning
//	a job ends with an error                           a log line (on a terminal a sentence), exit code 1
//	the first SIGINT or SIGTERM                        the job stops in good order, exit code 0
//	the second                                         the process is killed by it
package main
