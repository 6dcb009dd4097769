package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// roleVariable makes a copy of this test binary play a part that a test can kill.
const roleVariable = "LEADHOUSE_LOCAL_TEST_ROLE"

// play plays "owner [pause]" (starts a server, prints its addresses, waits), "apache" (the same with a broker) "caller ADDR" (holds a connection), or "inserter ADDR" (inserts for ever, prints a line per acknowledged block).
func play(role string) int {
	var err error
	switch name, arg, _ := strings.Cut(role, " "); name {
	case "owner":
		err = playOwner(arg == "pause")
	case "apache":
		err = playApache()
	case "caller":
		_, err = net.Dial("tcp", arg)
		if err == nil {
			select {}
		}
	case "inserter":
		err = playInserter(arg)
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func playOwner(pause bool) error {
	ch, err := local.StartClickHouse(context.Background(), local.ClickHouseConfig{})
	if err != nil {
		return err
	}
	if pause {
		if err := ch.Pause(); err != nil {
			return err
		}
	}
	fmt.Println(ch.DirectAddr(), ch.Dir())
	select {}
}

func playApache() error {
	k, err := local.StartApache(context.Background(), local.ApacheConfig{})
	if err != nil {
		return err
	}
	fmt.Println(k.Brokers()[0])
	select {}
}

// playInserter uses several connections with small blocks: past the relay that is what brings the server down within a few kills.
func playInserter(addr string) error {
	var g errgroup.Group
	for range 6 {
		g.Go(func() error {
			conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}})
			if err != nil {
				return err
			}
			for n := uint64(0); ; n++ {
				if err := insert(context.Background(), conn, "default.numbers", n*1000, 1000); err != nil {
					return err
				}
				fmt.Println(n)
			}
		})
	}
	return g.Wait()
}

// startRole starts a copy in a role; its lines come from the returned scanner.
func startRole(t *testing.T, role string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stdout)
}

// killRole is kill -9, and waits for the end.
func killRole(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func TestServerDiesWithItsKilledOwner(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"owner", "owner pause"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			cmd, lines := startRole(t, role)
			defer killRole(cmd)
			if !lines.Scan() {
				t.Fatal("the owner ended early")
			}
			addr, dir, _ := strings.Cut(lines.Text(), " ")
			if c, err := net.Dial("tcp", addr); err != nil {
				t.Fatal(err)
			} else {
				_ = c.Close()
			}
			killRole(cmd)
			eventually(t, "the server died with its owner", func() bool {
				c, err := net.Dial("tcp", addr)
				if err == nil {
					_ = c.Close()
				}
				return err != nil
			})
			// Its data cannot have been removed by the dead; they are by the next start.
			startClickHouse(t, local.ClickHouseConfig{})
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the dead owner's data are still there: %v", err)
			}
		})
	}
}

// The guard is what binds children to us where the kernel does not; it works on every system.
func TestGuardEndsWhatItGuards(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	// What is guarded holds a connection, whose end shows its own.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "leadhouse-local-guard", os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=caller "+l.Addr().String())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer killRole(cmd)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()

	_ = stdin.Close() // as the kernel does for a killed parent
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("what was guarded lives on")
	}
}

// Without the relay the server aborts within the first few of these kills.
func TestServerOutlivesKilledClients(t *testing.T) {
	t.Parallel()
	ch := startClickHouse(t, local.ClickHouseConfig{OnRestart: func(cause error) { t.Error(cause) }})
	query(t, ch, "CREATE TABLE default.numbers (n UInt64) ORDER BY n")
	for range 20 {
		cmd, lines := startRole(t, "inserter "+ch.Addr())
		for range 1 + rand.IntN(30) {
			if !lines.Scan() {
				t.Fatal("the inserter ended early")
			}
		}
		killRole(cmd)
	}
	query(t, ch, "SELECT 1")
	if n := ch.Restarts(); n != 0 {
		t.Errorf("restarts: got %d, want 0", n)
	}
}
