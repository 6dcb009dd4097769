package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// leadhouseBinary is built once for all tests.
var leadhouseBinary string

func TestMain(m *testing.M) {
	local.Init()
	goleak.VerifyTestMain(withBinary{local.Tests(m)})
}

type withBinary struct{ tests local.TestRun }

func (w withBinary) Run() int {
	dir, err := os.MkdirTemp("", "leadhouse-chaos-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		leadhouseBinary = filepath.Join(dir, "leadhouse")
		cmd := exec.Command("go", "build", "-o", leadhouseBinary, "github.com/leadhouse/leadhouse/cmd/leadhouse")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build leadhouse:", err)
		return 1
	}
	return w.tests.Run()
}
