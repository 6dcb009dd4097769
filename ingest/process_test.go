package ingest_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/ingest"
)

// Some promises are a process's: what a kill leaves, what memory it takes. Then a test binary is the server, told so by a
// variable.
const asServer = "INGEST_TEST_SERVER"

// childConfig is what a test may set of its child's server; the rest is config's.
type childConfig struct {
	Broker                                  string
	MaxBody, MaxInFlightBytes, MaxConns     int
	HeaderTimeout, ReadTimeout, IdleTimeout time.Duration
	AckTimeout, ProduceTimeout              time.Duration
}

func (c childConfig) apply(cfg *ingest.Config) {
	cfg.MaxBody = cmp.Or(c.MaxBody, cfg.MaxBody)
	cfg.MaxInFlightBytes = cmp.Or(c.MaxInFlightBytes, cfg.MaxInFlightBytes)
	cfg.MaxConns = cmp.Or(c.MaxConns, cfg.MaxConns)
	cfg.HeaderTimeout = cmp.Or(c.HeaderTimeout, cfg.HeaderTimeout)
	cfg.ReadTimeout = cmp.Or(c.ReadTimeout, cfg.ReadTimeout)
	cfg.IdleTimeout = cmp.Or(c.IdleTimeout, cfg.IdleTimeout)
	cfg.AckTimeout = cmp.Or(c.AckTimeout, cfg.AckTimeout)
	cfg.ProduceTimeout = cmp.Or(c.ProduceTimeout, cfg.ProduceTimeout)
}

// serveForParent prints the addresses it listens on, and serves until it is killed or its parent is gone.
func serveForParent() {
	var t mainT
	var child childConfig
	if err := json.Unmarshal([]byte(os.Getenv(asServer)), &child); err != nil {
		panic(err)
	}
	cfg, _ := config(&t, []string{child.Broker})
	child.apply(&cfg)
	server, err := ingest.New(cfg)
	if err != nil {
		panic(err)
	}
	fmt.Println(cfg.Listener.Addr(), cfg.AdminListener.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		io.Copy(io.Discard, os.Stdin)
	}()
	if err := server.Run(ctx); err != nil {
		panic(err)
	}
}

// mainT is the little that config needs of a testing.TB where there is no test.
type mainT struct{ testing.TB }

func (*mainT) Helper()           {}
func (*mainT) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// child is a server in a process of its own, and its sender.
type child struct {
	*harness
	process *os.Process
	gone    chan struct{} // closed when it has ended
}

// startChild runs a test binary as a server. It ends with the test.
func startChild(t *testing.T, binary string, k broker, cfg childConfig) *child {
	t.Helper()
	cfg.Broker = k.Brokers()[0]
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), asServer+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // its end is ours
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{process: cmd.Process, gone: make(chan struct{})}
	address := make(chan string, 1)
	go func() {
		defer close(c.gone)
		line, _ := bufio.NewReader(out).ReadString('\n')
		address <- line
		io.Copy(io.Discard, out)
		cmd.Wait() // it was killed
		in.Close()
	}()
	t.Cleanup(func() { c.process.Kill(); <-c.gone })
	public, admin, ok := strings.Cut(strings.TrimSpace(<-address), " ")
	if !ok {
		t.Fatal("the server did not start")
	}
	c.harness = sender(t, k, "http://"+public+path)
	c.admin = "http://" + admin
	c.until("ready", func() bool { return c.get(c.admin+"/readyz") == 200 })
	return c
}

// scrape is the value of one series of the child's metrics.
func (c *child) scrape(series string) (value float64) {
	c.t.Helper()
	response, err := c.client.Get(c.admin + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			fmt.Sscan(rest, &value)
		}
	}
	return value
}

// requests counts the child's answers by their reason.
func (c *child) requests(code int, reason string) int {
	c.t.Helper()
	return int(c.scrape(fmt.Sprintf(`leadhouse_ingest_requests_total{code="%d",reason=%q}`, code, reason)))
}

// measured builds this package's test binary once more: without the race detector, whose shadow memory would be what is
// measured, and with counters in schema, which say what of it was reached.
var measured = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ingest-test-")
	if err != nil {
		return "", err
	}
	measuredDir = dir
	path := filepath.Join(dir, "ingest.test")
	build := exec.Command("go", "test", "-c", "-cover", "-coverpkg=github.com/leadhouse/leadhouse/schema", "-o", path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	return path, nil
})

var measuredDir string // TestMain removes it

func measuredBinary(t *testing.T) string {
	t.Helper()
	path, err := measured()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
