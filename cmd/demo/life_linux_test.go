package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A tour is a demo in a process of its own: this test binary.
type tour struct {
	*testing.T
	cmd   *exec.Cmd
	out   *transcript
	lines chan string // what it prints
	temp  string      // its temporary directory
	mark  string      // in the environment of it and of all that it starts
}

func startTour(t *testing.T, args ...string) *tour {
	t.Helper()
	tour := &tour{T: t, out: &transcript{}, lines: make(chan string, 10_000), temp: t.TempDir(), mark: "DEMO_TEST_MARK=" + rand.Text()}
	tour.cmd = exec.Command(os.Args[0], append([]string{"--events", "600", "--leadhouse", leadhouseBinary}, args...)...)
	tour.cmd.Env = append(os.Environ(), asDemo+"=1", "TMPDIR="+tour.temp, tour.mark)
	tour.cmd.Stderr = tour.out
	stdout, err := tour.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tour.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the demo, which the test waits for
		defer close(tour.lines)
		for s := bufio.NewScanner(io.TeeReader(stdout, tour.out)); s.Scan(); {
			tour.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = tour.cmd.Process.Kill()
		_ = tour.cmd.Wait()
	})
	return tour
}

const patience = 2 * time.Minute

// reads returns when the demo has printed a text.
func (t *tour) reads(text string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, open := <-t.lines:
			if strings.Contains(line, text) {
				return
			}
			if !open {
				t.Fatalf("ended without %q:\n%s", text, t.out)
			}
		case <-deadline:
			t.Fatalf("does not come to %q:\n%s", text, t.out)
		}
	}
}

// exits returns the exit code.
func (t *tour) exits() int {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, open := <-t.lines: // all is to be read before Wait
			if open {
				continue
			}
			err := t.cmd.Wait()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			return t.cmd.ProcessState.ExitCode()
		case <-deadline:
			t.Fatalf("does not end:\n%s", t.out)
		}
	}
}

// processes are the command lines of all that carry the mark.
func (t *tour) processes() (found []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		if env, err := os.ReadFile(path); err == nil && bytes.Contains(env, []byte(t.mark)) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// leavesNothing waits for the kernel to have ended everything.
func (t *tour) leavesNothing() {
	t.Helper()
	err := await(context.Background(), "the demo's processes to end", func(context.Context) (bool, error) {
		return len(t.processes()) == 0, nil
	})
	if err != nil {
		t.Errorf("%v: %q", err, t.processes())
	}
}

func TestCtrlCAtAnyMomentLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		moment string
		code   int
	}{
		{"leadhouse  Leadron", exitStopped}, // the engines are starting
		{"1  The tables come", exitStopped}, // backfill runs
		{"2  Leadron delivers", exitStopped},
		{"$ leadhouse sink", exitStopped}, // the sender sends
		{"3  The catalog grows", exitStopped},
		{"4  What has become", exitStopped},
		{"5  Look around", exitOK},
	} {
		t.Run(c.moment[:1], func(t *testing.T) {
			t.Parallel()
			tour := startTour(t)
			tour.reads(c.moment)
			if err := tour.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			got := tour.exits()
			tooLate := c.moment[0] == '4' && got == exitOK // the tables are quick
			if got != c.code && !tooLate {
				t.Errorf("exit code %d, want %d:\n%s", got, c.code, tour.out)
			}
			tour.leavesNothing()
			if left, _ := filepath.Glob(filepath.Join(tour.temp, "*")); len(left) > 0 {
				t.Errorf("left in the temporary directory: %v", left)
			}
		})
	}
}

func TestAKilledDemoTakesItsProcessesAlong(t *testing.T) {
	t.Parallel()
	tour := startTour(t)
	tour.reads("5  Look around")
	if got := tour.processes(); len(got) != 4 {
		t.Errorf("running: %q, want the demo, ClickHouse, ingest and sink", got)
	}
	for _, line := range tour.processes() {
		if strings.Contains(line, "WEBHOOK_SECRETS") || strings.Contains(line, "ldr_sandbox") {
			t.Errorf("a secret in the process list: %s", line)
		}
	}
	if err := tour.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	tour.exits()
	tour.leavesNothing()
}

func TestWhatItPrintsWorksWhenPasted(t *testing.T) {
	t.Parallel()
	tour := startTour(t)
	tour.reads("5  Look around")
	tour.reads("logs ") // the last line
	commands := pasteable(tour.out.String())
	if len(commands) != 2 {
		t.Fatalf("curl lines: %q", commands)
	}
	if got := tour.shell(commands[0]); !strings.Contains(got, "open_dead_letters") {
		t.Errorf("%s\nsays %s", commands[0], got)
	}
	for range 2 { // sent twice it is still one row
		if got := tour.shell(commands[1]); !strings.Contains(got, "202 Accepted") {
			t.Errorf("%s\nsays %s", commands[1], got)
		}
	}
	before, _, _ := strings.Cut(commands[0], "--data-binary")
	for _, q := range questions() {
		if !strings.Contains(tour.out.String(), q) || tour.shell(before+" --fail-with-body --data-binary \""+q+"\"") == "" {
			t.Errorf("not printed, or no answer: %s", q)
		}
	}
	tour.leadsToTheDashboard()
	count := before + " --data-binary \"SELECT count(), (SELECT count() FROM deliveries) > 0 FROM lead_events WHERE lead_id = 'ld_yours'\""
	err := await(t.Context(), "the pasted delivery's one row", func(context.Context) (bool, error) {
		return strings.TrimSpace(tour.shell(count)) == "1\t1", nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := tour.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	tour.exits()
}

// leadsToTheDashboard follows the short address as far as a browser does: what is behind the # stays with it.
func (t *tour) leadsToTheDashboard() {
	t.Helper()
	short := regexp.MustCompile(`(?m)^ +(http://127\.0\.0\.1:\d+)$`).FindStringSubmatch(t.out.String())
	if short == nil {
		t.Fatalf("no short address of the dashboard:\n%s", t.out)
	}
	where := strings.TrimSpace(t.shell("curl -s -o /dev/null -w '%{redirect_url}' " + short[1]))
	if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/dashboard#eyJ`).MatchString(where) {
		t.Errorf("%s leads to %.60s", short[1], where)
	}
	page, _, _ := strings.Cut(where, "#")
	if got := t.shell("curl -s " + page); !strings.Contains(got, "ClickHouse Dashboard") {
		t.Errorf("%s is no dashboard", page)
	}
}

// pasteable are the curl command lines in a text.
func pasteable(text string) (commands []string) {
	goesOn := false
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case goesOn:
			commands[len(commands)-1] += "\n" + line
		case strings.HasPrefix(line, "curl "):
			commands = append(commands, line)
		default:
			continue
		}
		goesOn = strings.HasSuffix(line, `\`)
	}
	return commands
}

func (t *tour) shell(command string) string {
	out, err := exec.CommandContext(t.Context(), "sh", "-c", command).Output()
	if err != nil {
		t.Errorf("%s: %v", command, err)
	}
	return string(out)
}
