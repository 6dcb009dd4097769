package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	leadhouse "github.com/leadhouse/leadhouse/cmd/leadhouse"
	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestMain puts a `leadhouse` on the PATH of every test: this binary, which is the program when it is called by that name.
// So what is tested are processes, with real flags, variables, exit codes and signals.
func TestMain(m *testing.M) {
	local.Init()
	testscript.Main(leakCheck{local.Tests(m)}, map[string]func(){"leadhouse": leadhouse.Main})
}

type leakCheck struct{ tests local.TestRun }

func (c leakCheck) Run() int {
	code := c.tests.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// binary is where the program is.
func binary(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("leadhouse")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
