package main_test

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTerminal: on a terminal people read, elsewhere machines do.
func TestTerminal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args             []string
		there, elsewhere string // what stands on the terminal, and what elsewhere
	}{
		"an error":      {[]string{"backfill", "--plan", "--catalog", "missing.json", "--clickhouse-addr", "127.0.0.1:1"}, "leadhouse backfill: pull the catalog: ", `{"level":"error","command":"backfill"`},
		"a log line":    {[]string{"backfill", "--plan", "--catalog", "missing.json", "--clickhouse-addr", "127.0.0.1:1"}, "WRN", `"level":"warn"`},
		"a report":      {[]string{"check", "--kafka-brokers", "127.0.0.1:1"}, "\x1b[31m✗\x1b[0m kafka ", "✗ kafka "},
		"without color": {[]string{"check", "--kafka-brokers", "127.0.0.1:1", "--only", "leadron"}, "– kafka ", "– kafka "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := func(out *os.File) {
				cmd := exec.CommandContext(t.Context(), binary(t), test.args...)
				cmd.Env = append(os.Environ(), "LEADHOUSE_UNKNOWN=makes a log line")
				cmd.Stdout, cmd.Stderr = out, out
				_ = cmd.Run() // it fails, and says so
				_ = out.Close()
			}
			if got := onTerminal(t, run); !strings.Contains(got, test.there) {
				t.Errorf("on a terminal: got %q, want %q in it", got, test.there)
			}
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			run(w)
			got, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(got), test.elsewhere) {
				t.Errorf("on a pipe: got %q, want %q in it", got, test.elsewhere)
			}
		})
	}
}

// onTerminal gives run one end of a pseudo-terminal, to write to and to close, and returns what came out of the other.
func onTerminal(t *testing.T, run func(*os.File)) string {
	t.Helper()
	controller, terminal := openTerminal(t)
	run(terminal)
	out, _ := io.ReadAll(controller) // ends with EIO when the last writer has closed the terminal
	return string(out)
}

// openTerminal is both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (controller, terminal *os.File) {
	t.Helper()
	controller, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { controller.Close() })
	if err := unix.IoctlSetPointerInt(int(controller.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(controller.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	size := &unix.Winsize{Row: 24, Col: 200}
	if err := unix.IoctlSetWinsize(int(controller.Fd()), unix.TIOCSWINSZ, size); err != nil {
		t.Fatal(err)
	}
	return controller, terminal
}
