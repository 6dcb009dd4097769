//go:build bi

package superset_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestMain(m *testing.M) {
	local.Init()
	goleak.VerifyTestMain(local.Tests(m))
}

var update = flag.Bool("update", false, "write the dashboard's files and its picture anew")
