package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
)

// shared is the server that the tests of one process use together.
var shared struct {
	once sync.Once
	ch   *ClickHouse
	err  error
}

// Shared is the ClickHouse of this test process, started at the first call: a database of one's own (Database) is all that a test needs. A test that kills or pauses the server starts one for itself.
//
// It ends with Tests.Run:
//
//	func TestMain(m *testing.M) {
//		local.Init()
//		goleak.VerifyTestMain(local.Tests(m))
//	}
func Shared(t testing.TB) *ClickHouse {
	t.Helper()
	shared.once.Do(func() {
		shared.ch, shared.err = StartClickHouse(context.Background(), ClickHouseConfig{
			Progress:  toStderr,
			OnRestart: func(cause error) { toStderr(cause.Error()) },
		})
	})
	if shared.err != nil {
		t.Fatalf("start the shared ClickHouse: %v", shared.err)
	}
	return shared.ch
}

// Database creates a database for one test and drops it at the test's end.
func (c *ClickHouse) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("%s_%08x", databaseName(t.Name()), rand.Uint32())
	if _, err := c.Query(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create the test's database: %v", err)
	}
	t.Cleanup(func() {
		// The server may have been ended by the test: then its data go anyway.
		if _, err := c.Query(context.Background(), "DROP DATABASE IF EXISTS "+name+" SYNC"); err != nil {
			t.Logf("drop %s: %v", name, err)
		}
	})
	return name
}

// testDatabases is how the names of tests' databases begin: the user bi may read them, and leadron.
const testDatabases = "t_"

// databaseName makes an identifier of a test's name, short enough for a file's name.
func databaseName(test string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return testDatabases + name[:min(len(name), 40)]
}

// A TestRun runs a package's tests and then ends the shared server. It is a goleak.TestingM.
type TestRun struct{ m *testing.M }

// Tests wraps a package's tests.
func Tests(m *testing.M) TestRun { return TestRun{m} }

// Run runs the tests and returns the code to exit with.
func (r TestRun) Run() int {
	code := r.m.Run()
	if shared.ch != nil {
		if n := shared.ch.Restarts(); n > 0 {
			toStderr(fmt.Sprintf("the shared ClickHouse ended by itself %d times in these tests", n))
		}
		shared.ch.Stop()
	}
	return code
}

func toStderr(line string) { fmt.Fprintln(os.Stderr, "local:", line) }
