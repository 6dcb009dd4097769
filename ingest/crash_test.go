package ingest_test

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestKillNineLosesNo2xx(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 3, nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := startChild(t, self, k, childConfig{})
	var senders sync.WaitGroup
	var accepted atomic.Int64
	enough := make(chan struct{})
	for s := range 8 {
		senders.Go(func() {
			for i := 0; ; i++ {
				got := h.deliver(event(fmt.Sprintf("evt_%d_%d", s, i), fmt.Sprintf("ld_%d", i%5)))
				if got.status == 0 {
					return // killed
				}
				if got.status == 202 && accepted.Add(1) == 300 {
					close(enough)
				}
			}
		})
	}
	gone := make(chan struct{})
	go func() { senders.Wait(); close(gone) }()
	select {
	case <-enough:
	case <-gone:
		t.Error("the server went away by itself")
	}
	if err := h.process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-gone
	stored := map[string]bool{}
	for _, r := range h.records() {
		stored[r.value] = true
	}
	for _, body := range h.accepted {
		if !stored[body] {
			t.Errorf("answered 2xx before the kill, but not in Kafka: %s", body)
		}
	}
}
