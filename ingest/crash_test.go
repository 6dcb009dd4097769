package ingest_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

// asServer makes this test binary an ingest server, so that it can be killed like one. Its value is the broker's address.
const asServer = "INGEST_TEST_SERVER"

// serveForParent prints the address it listens on, and serves until it is killed.
func serveForParent() {
	var t mainT
	cfg, _ := config(&t, []string{os.Getenv(asServer)})
	server, err := ingest.New(cfg)
	if err != nil {
		panic(err)
	}
	fmt.Println(cfg.Listener.Addr())
	panic(server.Run(context.Background()))
}

// mainT is the little that config needs of a testing.TB where there is no test.
type mainT struct{ testing.TB }

func (*mainT) Helper()           {}
func (*mainT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestKillNineLosesNo2xx(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 3, nil)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), asServer+"="+k.Brokers()[0])
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}

	h := sender(t, k, "http://"+strings.TrimSpace(address)+path)
	var senders sync.WaitGroup
	var accepted atomic.Int64
	enough := make(chan struct{})
	for s := range 8 {
		senders.Go(func() {
			for i := 0; ; i++ { // 503 while the child reaches Kafka, then 202, then nothing
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
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-gone
	child.Wait()
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
