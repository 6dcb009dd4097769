package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// desk is a warehouse with dead letters, and the commands about them as processes.
type desk struct {
	t        *testing.T
	conn     driver.Conn
	addr, db string
}

func newDesk(t *testing.T, bodies ...string) *desk {
	t.Helper()
	ch := local.Shared(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d := &desk{t, conn, ch.Addr(), ch.Database(t)}
	if out, err := d.command("backfill", "--catalog", "builtin", "--settle-for", "1ms").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	letters, ledger := schema.NewDeadLetterBlock(d.db), schema.NewDeliveryBlock(d.db)
	for i, body := range bodies {
		at := time.Now()
		rec := schema.Record{Partition: 4, Offset: int64(i), ReceivedAt: at, LoadedAt: at}
		letters.Append(nil, []byte(body), nil, schema.Rejected, "", rec)
		ledger.Append("", []byte(body), rec, schema.DeadLettered)
		if err := letters.Insert(t.Context(), conn, ""); err != nil { // one by one: the largest is large enough
			t.Fatal(err)
		}
		letters.Reset()
	}
	if err := ledger.Insert(t.Context(), conn, ""); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(d.t.Context(), binary(d.t), args...)
	cmd.Env = append(os.Environ(), "LEADHOUSE_CLICKHOUSE_ADDR="+d.addr, "LEADHOUSE_CLICKHOUSE_DATABASE="+d.db)
	return cmd
}

func (d *desk) statuses() string {
	d.t.Helper()
	var got string
	err := d.conn.QueryRow(d.t.Context(), "SELECT toString((countIf(status = 'open'), countIf(status = 'replayed'), countIf(status = 'discarded'))) FROM "+d.db+".dead_letters FINAL").Scan(&got)
	if err != nil {
		d.t.Fatal(err)
	}
	return got
}

// TestDeadLetterBytes: show --raw writes what came, byte for byte, and without it nothing that a terminal would obey.
func TestDeadLetterBytes(t *testing.T) {
	t.Parallel()
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	bodies := []string{
		"", "\x00", "\n", "a\r\n", string(every), "\xff\xfe\xfd", "\xed\xa0\x80", "\x1b[2J\x1b]0;owned\x07\u009b31m\u202eabc\x7f\b\r",
		strings.Repeat("\x00\xffab", 2<<20), strings.Repeat("text\n", 1<<20),
	}
	d := newDesk(t, bodies...)
	for i, body := range bodies {
		place := fmt.Sprintf("4:%d", i)
		got, err := d.command("deadletters", "show", "--raw", "--offset", place).Output()
		if err != nil || !bytes.Equal(got, []byte(body)) {
			t.Errorf("--raw of body %d: %d bytes, want %d: not the same; %v", i, len(got), len(body), err)
		}
		shown, err := d.command("deadletters", "show", "--offset", place).Output()
		odd := strings.IndexFunc(string(shown), func(r rune) bool {
			return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\ufffd'
		})
		if err != nil || odd >= 0 {
			t.Errorf("body %d is shown with %q; %v", i, shown[odd], err)
		}
	}
	listed, err := d.command("deadletters", "list").Output()
	if err != nil || !strings.Contains(string(listed), fmt.Sprintf("4:%d ", len(bodies)-1)) {
		t.Errorf("got %s, %v", listed, err)
	}
}

// TestDiscardAsks: on a terminal it asks, and only a yes is one.
func TestDiscardAsks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer   string
		code     int
		statuses string
	}{
		"y": {"y\n", 0, "(0,0,3)"}, "YES": {" YES \n", 0, "(0,0,3)"}, "n": {"n\n", 1, "(3,0,0)"}, "nothing": {"\n", 1, "(3,0,0)"},
		"something": {"yes please\n", 1, "(3,0,0)"}, "the end": {"\x04", 1, "(3,0,0)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, "x", "y", "z")
			controller, terminal := openTerminal(t)
			if _, err := controller.WriteString(test.answer); err != nil {
				t.Fatal(err)
			}
			cmd := d.command("deadletters", "discard")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
			_ = cmd.Run()
			terminal.Close()
			out, _ := io.ReadAll(controller) // ends with EIO
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d: %s", code, test.code, out)
			}
			if !strings.Contains(string(out), "Discard 3 dead letters: rejected 3?") {
				t.Errorf("it asked: %s", out)
			}
			if got := d.statuses(); got != test.statuses {
				t.Errorf("got %s, want %s\n%s", got, test.statuses, out)
			}
		})
	}
}

// TestReplayOnATerminal draws a bar, and elsewhere writes log lines (testdata/scripts/deadletters.txtar).
func TestReplayOnATerminal(t *testing.T) {
	t.Parallel()
	d := newDesk(t, `{"id":"evt_1","type":"lead.created","createdAt":"2026-05-27T23:34:12Z","data":{}}`)
	out := onTerminal(t, func(terminal *os.File) {
		cmd := d.command("deadletters", "replay")
		cmd.Stdout, cmd.Stderr = terminal, terminal
		if err := cmd.Run(); err != nil {
			t.Error(err)
		}
		terminal.Close()
	})
	if !strings.Contains(out, "replay dead letters") || !strings.Contains(out, "1 of 1 rows") || !strings.Contains(out, "1 dead letters replayed: lead_events 1") {
		t.Errorf("got %q", out)
	}
	if got := d.statuses(); got != "(0,1,0)" {
		t.Errorf("got %s", got)
	}
}
