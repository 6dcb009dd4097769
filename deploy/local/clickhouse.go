package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// ClickHouseConfig says how the embedded server runs. Its zero value is a server on free ports with temporary data.
type ClickHouseConfig struct {
	// Dir holds the data, and outlives the server. Defaults to a temporary directory that Stop removes.
	Dir string

	// NativePort and HTTPPort are on 127.0.0.1. Default to free ones; one that is taken is reported to Progress and replaced.
	NativePort, HTTPPort int

	// MemoryLimit is the server's max_server_memory_usage in bytes. Defaults to ClickHouse's own: 90 % of the machine.
	MemoryLimit int64

	// Settings of the default user's profile, e.g. "max_threads": "2". Default to ClickHouse's own.
	Settings map[string]string

	// ServerXML is pasted into the server's configuration, below <clickhouse>: macros, remote_servers, query_log. Defaults to nothing.
	ServerXML string

	// LogFile gets the server's log. Defaults to clickhouse.log in Dir.
	LogFile string

	// LogLevel is ClickHouse's word: trace, debug, information, warning, error. Defaults to warning.
	LogLevel string

	// OnRestart is told why the server ended by itself, after it has been started again (or could not be: then the cause says that too). It must not call Stop. Defaults to nobody; Restarts counts in any case.
	OnRestart func(cause error)

	// Progress gets one line when something takes long or is not as asked. Defaults to nobody.
	Progress func(line string)

	// Binary is a clickhouse executable. Defaults to the one on the PATH, and without that to libchdb.
	Binary string

	// Library is a libchdb that is already there; then no binary is looked for. Defaults to the one of the npm package, fetched once.
	Library string

	// CacheDir keeps what was fetched. Defaults to leadhouse in the user's cache directory.
	CacheDir string
}

func (cfg *ClickHouseConfig) validate() error {
	var errs []error
	for name, port := range map[string]int{"NativePort": cfg.NativePort, "HTTPPort": cfg.HTTPPort} {
		if port < 0 || port > 65535 {
			errs = append(errs, fmt.Errorf("%s: %d is no port", name, port))
		}
	}
	if cfg.NativePort != 0 && cfg.NativePort == cfg.HTTPPort {
		errs = append(errs, fmt.Errorf("NativePort and HTTPPort are both %d", cfg.HTTPPort))
	}
	if cfg.MemoryLimit < 0 {
		errs = append(errs, fmt.Errorf("MemoryLimit: %d is negative", cfg.MemoryLimit))
	}
	if cfg.Binary != "" && cfg.Library != "" {
		errs = append(errs, errors.New("only one of Binary and Library may be set"))
	}
	if !initCalled.Load() {
		errs = append(errs, errors.New("local.Init has not been called: it must be the first statement of main (of TestMain)"))
	}
	return errors.Join(errs...)
}

// ClickHouse is a real server in a child process, under supervision: if it ends by itself it is started again on the same data and ports.
type ClickHouse struct {
	cfg      ClickHouseConfig
	id       string // of this server among all that may answer on its ports
	engine   engine
	native   int // the public native port, the relay's
	direct   int // the server's own
	http     int
	relay    *relay
	temp     *tempDir        // nil where Dir was given
	ctx      context.Context // ends when Stop begins
	cancel   context.CancelFunc
	watchers sync.WaitGroup

	// mu is held by everything that starts or ends the child: one such thing at a time.
	mu       sync.Mutex
	child    *process // nil while it is meant to be down
	restarts int
	logStart int64 // where in LogFile the last start's lines begin
}

// StartClickHouse starts a server and returns when it answers.
//
// The server is `clickhouse` from the PATH, or else libchdb from npm, fetched once for this user. When neither can be had the error names the ways out.
func StartClickHouse(ctx context.Context, cfg ClickHouseConfig) (*ClickHouse, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	engine, err := findEngine(ctx, cfg)
	if err != nil {
		return nil, err
	}
	c := &ClickHouse{cfg: cfg, engine: engine, id: fmt.Sprintf("%016x", rand.Uint64())}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.open(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

func (c *ClickHouse) open(ctx context.Context) error {
	if err := c.openDir(); err != nil {
		return err
	}

	// Between choosing a port and listening on it somebody else may take it: then others are tried.
	var err error
	for range 3 {
		if err = c.openOnPorts(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (c *ClickHouse) openDir() (err error) {
	if c.cfg.Dir == "" {
		if c.temp, err = makeTempDir(""); err != nil {
			return err
		}
		c.cfg.Dir = c.temp.path
	}
	if c.cfg.Dir, err = filepath.Abs(c.cfg.Dir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	c.cfg.LogFile = cmp.Or(c.cfg.LogFile, filepath.Join(c.cfg.Dir, "clickhouse.log"))
	return nil
}

func (c *ClickHouse) openOnPorts(ctx context.Context) (err error) {
	if c.native, err = Port(c.cfg.NativePort, "ClickHouse, native", c.cfg.Progress); err != nil {
		return err
	}
	if c.http, err = Port(c.cfg.HTTPPort, "ClickHouse, HTTP", c.cfg.Progress); err != nil {
		return err
	}
	if c.direct, err = freePort(); err != nil {
		return err
	}
	if err := c.Restart(ctx); err != nil {
		return err
	}
	if c.relay, err = startRelay(loopback(c.native), loopback(c.direct)); err != nil {
		c.Kill()
	}
	return err
}

// Addr is the native port, through the relay: for every client that may die.
func (c *ClickHouse) Addr() string { return loopback(c.native) }

// DirectAddr is the server's own native port, past the relay. For benchmarks: a client killed in the middle of an insert may take the server with it.
func (c *ClickHouse) DirectAddr() string { return loopback(c.direct) }

// HTTPAddr is host:port of the HTTP interface, with /play and /dashboard.
func (c *ClickHouse) HTTPAddr() string { return loopback(c.http) }

// Dir is where the data is.
func (c *ClickHouse) Dir() string { return c.cfg.Dir }

// LogFile is where the server's log goes.
func (c *ClickHouse) LogFile() string { return c.cfg.LogFile }

// PID is that of the server's process, 0 while it is down.
func (c *ClickHouse) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		return 0
	}
	return c.child.pid()
}

// Restarts counts the times that the server ended by itself.
func (c *ClickHouse) Restarts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.restarts
}

// Options are clickhouse-go's, for the user default and the database default, through the relay.
func (c *ClickHouse) Options() *clickhouse.Options {
	return &clickhouse.Options{
		Addr: []string{c.Addr()},
		Auth: clickhouse.Auth{Database: "default", Username: "default"},
	}
}

// Open connects as the user default. The caller closes the connection.
func (c *ClickHouse) Open(ctx context.Context) (driver.Conn, error) {
	conn, err := clickhouse.Open(c.Options())
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	if err := conn.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("ping ClickHouse: %w", err), conn.Close())
	}
	return conn, nil
}

// Restart starts the server on the same data and ports, after killing it if it runs, and returns when it answers.
func (c *ClickHouse) Restart(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return errors.New("restart ClickHouse: it has been stopped for good")
	}
	c.end((*process).kill)
	return c.launch(ctx)
}

// Kill ends the server as kill -9 does. It stays down until Restart.
func (c *ClickHouse) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end((*process).kill)
}

// Pause stops the server's process where it stands: connections stay, nothing answers.
func (c *ClickHouse) Pause() error { return c.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (c *ClickHouse) Continue() error { return c.signal(syscall.SIGCONT) }

// Stop ends the server in good order, and removes its data if they are temporary. It may be called more than once.
func (c *ClickHouse) Stop() {
	c.cancel() // a watcher that is starting it again gives up
	if c.relay != nil {
		c.relay.cut() // idle connections would hold up an orderly end for 5 s
	}
	c.mu.Lock()
	if c.temp != nil {
		c.end((*process).kill) // nobody will read what it would still write
	} else {
		c.end((*process).stop)
	}
	c.mu.Unlock()
	c.watchers.Wait()
	if c.relay != nil {
		c.relay.wait()
	}
	if c.temp != nil {
		_ = c.temp.remove() // the next sweep tries again
	}
}

func (c *ClickHouse) signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		return errors.New("ClickHouse is down")
	}
	return c.child.signal(sig)
}
