package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// rig is what the benches stand on: the engines, and the means to start processes beside them.
type rig struct {
	config
	self   string // this binary, which is also the peers
	dir    string // of the logs
	broker broker
	server *local.ClickHouse
	conn   driver.Conn // past the relay of deploy/local, as everything that is measured
	fail   context.CancelCauseFunc
	say    func(format string, args ...any)

	removeDir func() error
	names     int    // used up by name
	journeys  string // the topic that is full of them; "" until it is
}

// broker is a Kafka of deploy/local: the real one, or kfake. What it keeps goes with Stop.
type broker interface {
	Brokers() []string
	CreateTopic(name string, partitions int, configs map[string]string) error
	Stop()
}

// partitions of every topic here: what ingest gives a topic that it creates.
const partitions = 6

// openRig starts the engines. fail ends the run when a process ends by itself.
func openRig(ctx context.Context, cfg config, fail context.CancelCauseFunc, say func(string, ...any)) (r *rig, err error) {
	r = &rig{config: cfg, fail: fail, say: say}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if err := r.openDir(); err != nil {
		return nil, err
	}
	if err := r.startClickHouse(ctx); err != nil {
		return nil, err
	}
	if r.kafka == kafkaKfake {
		r.broker, err = startKfake()
	} else {
		r.broker, err = r.startApache(ctx)
	}
	return r, err
}

func (r *rig) openDir() (err error) {
	if r.workDir == "" {
		r.dir, r.removeDir, err = local.TempDir()
		return err
	}
	r.dir = r.workDir
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("--work-dir: %w", err)
	}
	return nil
}

func (r *rig) startClickHouse(ctx context.Context) (err error) {
	r.server, err = local.StartClickHouse(ctx, local.ClickHouseConfig{
		LogFile:   filepath.Join(r.dir, "clickhouse.log"),
		Progress:  func(line string) { r.say("%s", line) },
		OnRestart: func(cause error) { r.fail(cause) }, // figures from before and after are not of one server
	})
	if err != nil {
		return err
	}
	r.conn, err = clickhouse.Open(&clickhouse.Options{
		Addr: []string{r.server.DirectAddr()},
		Auth: clickhouse.Auth{Username: "default"},
		// A query that reads 20 million rows with FINAL takes seconds; one that takes minutes hangs.
		ReadTimeout: 10 * time.Minute,
	})
	if err != nil {
		return fmt.Errorf("open ClickHouse: %w", err)
	}
	return nil
}

func startKfake() (broker, error) {
	k, err := local.StartKfake(local.KfakeConfig{})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func (r *rig) startApache(ctx context.Context) (broker, error) {
	a, err := local.StartApache(ctx, local.ApacheConfig{
		LogFile: filepath.Join(r.dir, "kafka.log"),
		HeapMiB: 1024, // as Kafka's own start script has it
		// A topic that is deleted makes room at once, not after a minute.
		Properties: []string{"log.segment.delete.delay.ms=1000"},
		Progress:   func(line string) { r.say("%s", line) },
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// engines says what runs.
func (r *rig) engines(ctx context.Context) (string, error) {
	var version string
	if err := r.conn.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		return "", fmt.Errorf("ask ClickHouse's version: %w", err)
	}
	if a, ok := r.broker.(*local.Apache); ok {
		return fmt.Sprintf("ClickHouse %s, Apache Kafka %s", version, a.Version()), nil
	}
	kfake := "kfake"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasSuffix(d.Path, "/kfake") {
				kfake += " " + d.Version
			}
		}
	}
	return fmt.Sprintf("ClickHouse %s, %s in this process: NO MEASURE OF ANYTHING", version, kfake), nil
}

// name is one that has not been used on these engines.
func (r *rig) name(what string) string {
	r.names++
	return fmt.Sprintf("bench_%s_%d", what, r.names)
}

// backfill runs leadhouse backfill to its end.
func (r *rig) backfill(ctx context.Context, addr, database, catalog string) (usage, error) {
	p, err := r.startBackfill(addr, database, catalog)
	if err != nil {
		return usage{}, err
	}
	return p.wait(ctx)
}

func (r *rig) startBackfill(addr, database, catalog string, args ...string) (*process, error) {
	return r.launch("backfill", r.leadhouse, nil, append([]string{
		"backfill", "--clickhouse-addr", addr, "--clickhouse-database", database, "--catalog", catalog,
		// No sink runs beside it that might still write rows of the old kind: the least that can be waited for.
		"--settle-for", "10ms",
	}, args...)...)
}

// setUp makes a database with the tables of the catalog in the binary.
func (r *rig) setUp(ctx context.Context, database string) error {
	_, err := r.backfill(ctx, r.server.DirectAddr(), database, "builtin")
	return err
}

// drop removes a database and returns when ClickHouse is done with it, so that it does not weigh on who is next.
func (r *rig) drop(ctx context.Context, database string) error {
	if err := r.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+database+" SYNC"); err != nil {
		return fmt.Errorf("drop %s: %w", database, err)
	}
	return r.quiet(ctx)
}

// quiet waits until ClickHouse merges nothing.
func (r *rig) quiet(ctx context.Context) error {
	return await(ctx, "ClickHouse to be done with its merges", 10*time.Minute, 100*time.Millisecond, func(ctx context.Context) (bool, error) {
		n, err := r.count(ctx, "SELECT count() FROM system.merges")
		return n == 0, err
	})
}

// count asks for one number.
func (r *rig) count(ctx context.Context, query string, args ...any) (n uint64, err error) {
	if err := r.conn.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	return n, nil
}

// freeAddr is an address that nobody listens on now.
func freeAddr() (string, error) {
	port, err := local.Port(0, "a process of the bench", func(string) {})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// close ends the engines, and removes what they kept.
func (r *rig) close() {
	if r.conn != nil {
		_ = r.conn.Close()
	}
	if r.broker != nil {
		r.broker.Stop()
	}
	if r.server != nil {
		r.server.Stop()
	}
	if r.removeDir != nil {
		if err := r.removeDir(); err != nil && !errors.Is(err, os.ErrNotExist) {
			r.say("%v", err)
		}
	}
}
