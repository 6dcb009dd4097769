package watch_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestMain(m *testing.M) {
	local.Init()
	goleak.VerifyTestMain(local.Tests(m))
}
