package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestMain(m *testing.M) {
	local.Init()
	becomePeer()
	goleak.VerifyTestMain(built{m})
}

// built removes the binary after the tests.
type built struct{ m *testing.M }

func (b built) Run() int {
	code := b.m.Run()
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
	}
	return code
}

// binary is leadhouse, built once for all tests that need it.
var binary struct {
	once sync.Once
	dir  string
	err  error
}

func leadhouse(t *testing.T) string {
	t.Helper()
	binary.once.Do(func() {
		if binary.dir, binary.err = os.MkdirTemp("", "leadhouse-bench-test-"); binary.err != nil { //nolint:usetesting // it outlives the first test
			return
		}
		build := exec.CommandContext(context.Background(), "go", "build", "-o", binary.dir, "github.com/leadhouse/leadhouse/cmd/leadhouse")
		if out, err := build.CombinedOutput(); err != nil {
			t.Logf("%s", out)
			binary.err = err
		}
	})
	if binary.err != nil {
		t.Fatalf("build leadhouse: %v", binary.err)
	}
	return filepath.Join(binary.dir, "leadhouse")
}
