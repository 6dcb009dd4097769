package ingest_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		serveForParent()
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if measuredDir != "" {
			os.RemoveAll(measuredDir)
		}
		os.Exit(code)
	}))
}
