package local_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// startClickHouse starts a server of the test's own.
func startClickHouse(t *testing.T, cfg local.ClickHouseConfig) *local.ClickHouse {
	t.Helper()
	if cfg.Progress == nil {
		cfg.Progress = func(line string) { t.Log(line) }
	}
	ch, err := local.StartClickHouse(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	return ch
}

func openConn(t *testing.T, ch *local.ClickHouse) driver.Conn {
	t.Helper()
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// query returns the answer to a statement that must succeed.
func query(t *testing.T, ch *local.ClickHouse, sql string) string {
	t.Helper()
	answer, err := ch.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// insert sends one block of consecutive numbers and returns when it is acknowledged.
func insert(ctx context.Context, conn driver.Conn, table string, first, n uint64) error {
	b, err := conn.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return err
	}
	rows := make([]uint64, n)
	for i := range rows {
		rows[i] = first + uint64(i)
	}
	if err := b.Column(0).Append(rows); err != nil {
		return err
	}
	return b.Send()
}

// eventually polls a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestSharedServerTakesInserts(t *testing.T) {
	t.Parallel()
	ch := local.Shared(t)
	table := ch.Database(t) + ".numbers"
	query(t, ch, "CREATE TABLE "+table+" (n UInt64) ORDER BY n")
	if err := insert(t.Context(), openConn(t, ch), table, 1, 3); err != nil {
		t.Fatal(err)
	}
	if got := query(t, ch, "SELECT sum(n) FROM "+table); got != "6" {
		t.Errorf("sum: got %s, want 6", got)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	ch := startClickHouse(t, local.ClickHouseConfig{})
	pid := ch.PID()
	ch.Stop()
	if _, err := os.Stat(ch.Dir()); !os.IsNotExist(err) {
		t.Errorf("data directory after Stop: %v", err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process after Stop: %v", err)
	}
	for _, addr := range []string{ch.Addr(), ch.DirectAddr(), ch.HTTPAddr()} {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			t.Errorf("%s is still open", addr)
		}
	}
	if err := ch.Restart(t.Context()); err == nil {
		t.Error("restart after Stop: no error")
	}
}

// An acknowledged row survives kill -9, under load, as often as it happens.
func TestKillKeepsAcknowledgedRows(t *testing.T) {
	t.Parallel()
	ch := startClickHouse(t, local.ClickHouseConfig{})
	query(t, ch, "CREATE TABLE default.numbers (n UInt64) ORDER BY n")

	var acked uint64 // rows 0 … acked-1 are in
	for round := range 5 {
		conn := openConn(t, ch)
		killed := make(chan struct{})
		for block := 1; ; block++ {
			if err := insert(t.Context(), conn, "default.numbers", acked, 1000); err != nil {
				break
			}
			acked += 1000
			if block == 5 {
				go func() {
					defer close(killed)
					ch.Kill()
				}()
			}
		}
		<-killed
		if ch.PID() != 0 {
			t.Fatal("a killed server came back by itself")
		}
		if err := ch.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := query(t, ch, fmt.Sprintf("SELECT uniqExact(n) FROM default.numbers WHERE n < %d", acked))
		if want := strconv.FormatUint(acked, 10); got != want {
			t.Fatalf("round %d: %s rows after the kill, %s were acknowledged", round, got, want)
		}
	}
	if n := ch.Restarts(); n != 0 {
		t.Errorf("restarts: got %d, want 0: every end was asked for", n)
	}
}

func TestServerThatEndsByItselfComesBack(t *testing.T) {
	t.Parallel()
	told := make(chan error, 1)
	ch := startClickHouse(t, local.ClickHouseConfig{OnRestart: func(cause error) { told <- cause }})
	query(t, ch, "CREATE TABLE default.x (n UInt64) ORDER BY n")
	conn := openConn(t, ch)
	if err := insert(t.Context(), conn, "default.x", 0, 10); err != nil {
		t.Fatal(err)
	}
	addr, http := ch.Addr(), ch.HTTPAddr()
	if err := syscall.Kill(ch.PID(), syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	if cause := <-told; !strings.Contains(cause.Error(), "ended by itself") {
		t.Errorf("cause: %v", cause)
	}
	if ch.Addr() != addr || ch.HTTPAddr() != http {
		t.Errorf("addresses: got %s %s, want %s %s", ch.Addr(), ch.HTTPAddr(), addr, http)
	}
	if got := query(t, ch, "SELECT count() FROM default.x"); got != "10" {
		t.Errorf("rows: got %s, want 10", got)
	}
	if n := ch.Restarts(); n != 1 {
		t.Errorf("restarts: got %d, want 1", n)
	}
}

func TestPauseHangsAndContinueGoesOn(t *testing.T) {
	t.Parallel()
	ch := startClickHouse(t, local.ClickHouseConfig{})
	if err := ch.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := ch.Query(ctx, "SELECT 1"); ctx.Err() == nil {
		t.Errorf("a paused server answered: %v", err)
	}
	if err := ch.Continue(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, ch, "SELECT 1"); got != "1" {
		t.Errorf("after Continue: got %q", got)
	}
}

func TestPersistentDataOutliveTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ch := startClickHouse(t, local.ClickHouseConfig{Dir: dir})
	query(t, ch, "CREATE DATABASE kept")
	query(t, ch, "CREATE TABLE kept.x ORDER BY n AS SELECT number AS n FROM numbers(7)")
	ch.Stop()

	ch = startClickHouse(t, local.ClickHouseConfig{Dir: dir})
	if got := query(t, ch, "SELECT count() FROM kept.x"); got != "7" {
		t.Errorf("rows: got %s, want 7", got)
	}
}

func TestTakenPortsAreNamedAndReplaced(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	taken := l.Addr().(*net.TCPAddr).Port
	var lines []string
	ch := startClickHouse(t, local.ClickHouseConfig{
		NativePort: taken,
		Progress:   func(line string) { lines = append(lines, line) },
	})
	if ch.Addr() == l.Addr().String() {
		t.Errorf("address: got the taken %s", ch.Addr())
	}
	want := fmt.Sprintf("port %d (ClickHouse, native) is taken", taken)
	if got := strings.Join(lines, "\n"); !strings.Contains(got, want) {
		t.Errorf("progress: got %q, want it to say %q", got, want)
	}
}

func TestSettingsReachTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "server.log")
	ch := startClickHouse(t, local.ClickHouseConfig{
		Dir: filepath.Join(dir, "with & without"), LogFile: log, LogLevel: "debug",
		MemoryLimit: 3 << 30, Settings: map[string]string{"max_threads": "3"},
		ServerXML: "<query_log><database>system</database><table>query_log</table></query_log>",
	})
	for sql, want := range map[string]string{
		"SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'": strconv.Itoa(3 << 30),
		"SELECT getSetting('max_threads')":                                                "3",
	} {
		if got := query(t, ch, sql); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
	query(t, ch, "SYSTEM FLUSH LOGS")
	query(t, ch, "SELECT count() FROM system.query_log")
	if b, err := os.ReadFile(log); err != nil || !strings.Contains(string(b), "<Debug>") {
		t.Errorf("the log has no debug line: %v", err)
	}
}

// Design: BI users read through a profile with readonly=2, final=1 and the constraint final const.
func TestBIUserOnlyReadsAndSeesRowsOnce(t *testing.T) {
	t.Parallel()
	ch := local.Shared(t)
	table := ch.Database(t) + ".versions"
	query(t, ch, "CREATE TABLE "+table+" (id String, v UInt64) ENGINE = ReplacingMergeTree(v) ORDER BY id")
	query(t, ch, "SYSTEM STOP MERGES "+table)
	query(t, ch, "INSERT INTO "+table+" VALUES ('a', 1)")
	query(t, ch, "INSERT INTO "+table+" VALUES ('a', 2)")
	opts := ch.Options()
	opts.Auth.Username = "bi"
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()

	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil || n != 1 {
		t.Errorf("rows that bi sees: got %d, %v, want 1", n, err)
	}
	for _, sql := range []string{
		"INSERT INTO " + table + " VALUES ('b', 1)",
		"DROP TABLE " + table,
		"SELECT count() FROM " + table + " SETTINGS final = 0",
	} {
		if err := conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("bi was allowed to: %s", sql)
		}
	}
}

func TestConfigNamesEveryWrongField(t *testing.T) {
	t.Parallel()
	_, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{
		NativePort: 70000, HTTPPort: -1, MemoryLimit: -1, Binary: "x", Library: "y",
	})
	for _, want := range []string{"NativePort", "HTTPPort", "MemoryLimit", "Binary and Library"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{ServerXML: "<unclosed>"})
	if err == nil {
		ch.Stop()
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), "clickhouse.log") || !strings.Contains(err.Error(), "Tag mismatch") {
		t.Errorf("error does not say why: %v", err)
	}
}
