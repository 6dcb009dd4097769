package erase_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/backfill/erase"
	"github.com/leadhouse/leadhouse/deploy/local"
)

// A run in a process of its own, to be killed: this test's binary, told so by its environment.
const (
	childAddr     = "ERASE_TEST_CLICKHOUSE"
	childDatabase = "ERASE_TEST_DATABASE"
	childLeads    = "ERASE_TEST_LEADS"
)

func runChild() int {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{os.Getenv(childAddr)}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_, err = try(context.Background(), erase.Config{
		ClickHouse: conn, Database: os.Getenv(childDatabase), Leads: strings.Split(os.Getenv(childLeads), ","), SettleFor: time.Nanosecond,
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// child starts one.
func (d *db) child(t *testing.T, leads ...string) *local.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := local.StartProgram(local.ProgramConfig{
		Path: self, Env: append(os.Environ(), childAddr+"="+d.ch.Addr(), childDatabase+"="+d.name, childLeads+"="+strings.Join(leads, ",")),
		LogFile: filepath.Join(t.TempDir(), "child.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			log, _ := p.Log()
			t.Logf("the killed run said:\n%s", log)
		}
	})
	return p
}
