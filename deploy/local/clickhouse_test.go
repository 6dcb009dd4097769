package local_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestSharedServerAnswers(t *testing.T) {
	t.Parallel()
	ch := local.Shared(t)
	db := ch.Database(t)
	conn, err := ch.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "CREATE TABLE "+db+".x (n UInt64) ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	b, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+db+".x")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Column(0).Append([]uint64{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	got, err := ch.Query(t.Context(), "SELECT sum(n) FROM "+db+".x")
	if err != nil || got != "6" {
		t.Fatalf("sum: got %q, %v, want 6", got, err)
	}
}

func TestStartIsQuickAndStopLeavesNothing(t *testing.T) {
	t.Parallel()
	began := time.Now()
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{Progress: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %v", time.Since(began))
	pid := ch.PID()
	began = time.Now()
	ch.Stop()
	t.Logf("down after %v", time.Since(began))
	if _, err := os.Stat(ch.Dir()); !os.IsNotExist(err) {
		t.Errorf("data directory after Stop: %v", err)
	}
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil {
		t.Errorf("process after Stop: %s", b)
	}
}
