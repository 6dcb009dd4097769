package backfill_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/backfill"
	"github.com/leadhouse/leadhouse/deploy/local"
)

// A run in a process of its own, to be killed: this test's binary, told so by its environment.
const (
	childAddr     = "BACKFILL_TEST_CLICKHOUSE"
	childDatabase = "BACKFILL_TEST_DATABASE"
	childCatalog  = "BACKFILL_TEST_CATALOG"
	childTables   = "BACKFILL_TEST_TABLES" // Config.MaterializeViews, where it is set
	childRows     = 1_000                  // a chunk: small, so that a kill falls between many
)

func runChild() int {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{os.Getenv(childAddr)}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var materialize *bool
	if text, ok := os.LookupEnv(childTables); ok {
		materialize = new(text == "true")
	}
	_, out, err := tryRun(context.Background(), backfill.Config{
		MaterializeViews: materialize, MaterializeEvery: time.Hour,
		ClickHouse: conn, Database: os.Getenv(childDatabase), Catalog: os.Getenv(childCatalog),
		ChunkRows: childRows, SettleFor: time.Nanosecond, Logger: zerolog.New(os.Stdout),
	})
	fmt.Println(out, err)
	if err != nil {
		return 1
	}
	return 0
}

// child starts one.
func (d db) child(t *testing.T, catalog string, env ...string) *local.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := local.StartProgram(local.ProgramConfig{
		Path: self, Env: append(append(os.Environ(), childAddr+"="+d.ch.Addr(), childDatabase+"="+d.name, childCatalog+"="+catalog), env...),
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
