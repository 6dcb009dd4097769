package local_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestMain(m *testing.M) {
	local.Init()
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(local.Tests(m))
}
