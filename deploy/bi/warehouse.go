package bi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/deploy/local"
)

// A Stack is a filled warehouse on a real ClickHouse, and how a client reaches it.
type Stack struct {
	Host                 string
	NativePort, HTTPPort int
	Database             string // leadron: the dashboards name it
	User, Password       string // the reader: it sees each event once, and changes nothing; without a password

	// ClickHouse is the server; its user default may do everything.
	ClickHouse *local.ClickHouse
}

// Database is the only one of a process's warehouse.
const Database = "leadron"

// stack is the warehouse that the tests of one process share: none of them may change it.
var stack struct {
	once sync.Once
	s    *Stack
	err  error
}

// Warehouse is the warehouse of this test process, made at the first call. It stands on local.Shared, so TestMain begins with
// local.Init and ends with local.Tests(m). Its newest event happened a minute ago, its oldest 180 days before.
func Warehouse(t testing.TB) *Stack {
	t.Helper()
	ch := local.Shared(t)
	stack.once.Do(func() { stack.s, stack.err = newStack(context.Background(), ch) })
	if stack.err != nil {
		t.Fatalf("make the warehouse: %v", stack.err)
	}
	return stack.s
}

func newStack(ctx context.Context, ch *local.ClickHouse) (*Stack, error) {
	s := &Stack{Database: Database, User: "bi", ClickHouse: ch}
	err := errors.Join(split(ch.Addr(), &s.Host, &s.NativePort), split(ch.HTTPAddr(), &s.Host, &s.HTTPPort))
	if err != nil {
		return nil, err
	}
	conn, err := ch.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := setUp(ctx, conn); err != nil {
		return nil, err
	}
	if err := stopMerges(ctx, conn); err != nil {
		return nil, err
	}
	return s, fill(ctx, conn, time.Now().Add(-time.Minute))
}

func split(addr string, host *string, port *int) error {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	*host = h
	*port, err = strconv.Atoi(p)
	return err
}

// setUp is what `leadhouse backfill --catalog builtin` does.
func setUp(ctx context.Context, conn driver.Conn) error {
	b, err := backfill.New(backfill.Config{
		ClickHouse: conn, Database: Database, Catalog: backfill.Builtin, Version: "test",
		SettleFor: time.Nanosecond, // no sink runs
	})
	if err != nil {
		return err
	}
	_, err = b.Run(ctx)
	return err
}

// stopMerges keeps every duplicate where it was planted.
func stopMerges(ctx context.Context, conn driver.Conn) error {
	var tables []struct {
		Name string `ch:"name"`
	}
	err := conn.Select(ctx, &tables, "SELECT name FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree'", Database)
	if err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	for _, t := range tables {
		if err := conn.Exec(ctx, fmt.Sprintf("SYSTEM STOP MERGES %s.%s", Database, t.Name)); err != nil {
			return fmt.Errorf("stop the merges of %s: %w", t.Name, err)
		}
	}
	return nil
}

// Query asks as the user default and returns the answer in TSV, without its last line end.
func (s *Stack) Query(t testing.TB, sql string) string {
	t.Helper()
	answer, err := s.ClickHouse.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// Tables are the tables and views that a client should see, in the order of their names.
func (s *Stack) Tables(t testing.TB) []string {
	t.Helper()
	return strings.Fields(s.Query(t, "SELECT name FROM system.tables WHERE database = '"+s.Database+"' ORDER BY name"))
}

// Environ says to a client's test where the warehouse is, in variables that begin with BI_.
func (s *Stack) Environ() []string {
	return []string{
		"BI_HOST=" + s.Host, "BI_NATIVE_PORT=" + strconv.Itoa(s.NativePort), "BI_HTTP_PORT=" + strconv.Itoa(s.HTTPPort),
		"BI_DATABASE=" + s.Database, "BI_USER=" + s.User, "BI_PASSWORD=" + s.Password,
	}
}
