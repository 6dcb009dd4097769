package bi

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestAnEnvironmentIsMadeOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache", "x")
	var made atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := once(dir, func() error { made.Add(1); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("made %d times", n)
	}
}

func TestAnUnfinishedEnvironmentIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "x")
	half := filepath.Join(dir, "half")
	cut := errors.New("the network is away")
	if err := once(dir, func() error { return errors.Join(os.WriteFile(half, nil, 0o600), cut) }); !errors.Is(err, cut) {
		t.Fatalf("got %v, want %v", err, cut)
	}
	for range 2 { // the second finds it finished
		err := once(dir, func() error {
			if _, err := os.Stat(half); err == nil {
				t.Error("what was left half done is still there")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
