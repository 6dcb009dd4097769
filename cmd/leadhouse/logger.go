package main

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/leadhouse/leadhouse/backfill"
)

// newLogger writes to w: text for people, or one JSON object a line. A level or format that is not one, which has been
// reported as a problem, is the default.
func newLogger(w *os.File, level, format string) zerolog.Logger {
	// The library keeps the form of a time in variables of its own. Milliseconds, because an event is received, produced and
	// inserted within one second.
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	zerolog.TimestampFunc = func() time.Time { return time.Now().UTC() }
	least, err := zerolog.ParseLevel(level)
	if err != nil {
		least = zerolog.InfoLevel
	}
	return zerolog.New(logWriter(w, w, format)).Level(least).With().Timestamp().Logger()
}

// logWriter writes log lines through w to the file behind it.
func logWriter(w io.Writer, file *os.File, format string) io.Writer {
	if !isConsole(file, format) {
		return w
	}
	return zerolog.ConsoleWriter{Out: w, NoColor: !isTerminal(file) || os.Getenv("NO_COLOR") != "", TimeFormat: "15:04:05.000"}
}

// progress is how the packages are told where long work shows; backfill's bars and lines are such.
type progress interface {
	Start(what string, total uint64)
	Add(rows int)
	Done()
}

// progressOn shows long work as bars on a terminal, and as lines of the log elsewhere. The log to go on with is one whose
// lines stand above the bar.
func progressOn(log zerolog.Logger, format string) (progress, zerolog.Logger) {
	if !isTerminal(os.Stderr) {
		return backfill.NewLines(log), log
	}
	bars := backfill.NewBars(os.Stderr)
	return bars, log.Output(logWriter(bars, os.Stderr, format))
}

// starting is the first line of a job: what it is, and what it risks.
func starting(log zerolog.Logger, risks ...string) {
	log.Info().Str("version", build().version).Msg("starting")
	for _, risk := range risks {
		if risk != "" {
			log.Warn().Msg(risk)
		}
	}
}

func isConsole(w *os.File, format string) bool {
	return format == "console" || format != "json" && isTerminal(w)
}

func isTerminal(w *os.File) bool { return term.IsTerminal(int(w.Fd())) }
