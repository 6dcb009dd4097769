package deadletters_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/sink/deadletters"
)

// A replay in a process of its own, to be killed: this test's binary, told so by its environment.
const (
	childAddr     = "DEADLETTERS_TEST_CLICKHOUSE"
	childDatabase = "DEADLETTERS_TEST_DATABASE"
	childRows     = 20 // a chunk: small, so that a kill falls between many
)

func runChild() int {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{os.Getenv(childAddr)}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	result, err := replay(context.Background(), deadletters.Config{
		ClickHouse: conn, Database: os.Getenv(childDatabase), ChunkRows: childRows, Logger: zerolog.New(os.Stdout),
	}, openOnes)
	fmt.Println(result, err)
	if err != nil {
		return 1
	}
	return 0
}

// child starts one.
func (d *db) child(t *testing.T) *local.Program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := local.StartProgram(local.ProgramConfig{
		Path: self, Env: append(os.Environ(), childAddr+"="+d.ch.Addr(), childDatabase+"="+d.name),
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
