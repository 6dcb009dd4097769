package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

const (
	topic      = "leadron.events"
	groupID    = "leadhouse-sink"
	database   = "leadron"
	partitions = 6 // two for each sink
)

// How the processes are set up. Time-outs are as short as they may be: the run's time is for faults, not for waiting.
const (
	// settleFor is longer than two reloads and a batch's age. A sink that is frozen for longer leaves rows typed with old
	// columns, which the last backfill types.
	schemaReload = "500ms"
	settleFor    = "2s"
)

// stack is everything that runs: the engines, the links, and leadhouse.
type stack struct {
	config
	dir        string // of logs and data
	secret     string // for this run alone
	say        func(format string, args ...any)
	apache     *local.Apache // nil with kfake
	kfake      *local.Kfake
	clickhouse *local.ClickHouse
	links      map[string]*local.Proxy
	workers    map[string]*worker
	client     *kafka.Client // past the links
	conn       driver.Conn   // past the links
	crashes    atomic.Int64  // of ClickHouse, by itself
	fallen     collected     // processes that ended by themselves

	catalog   atomic.Value // file of the one that backfill has now; ""
	removeDir func() error // nil where --work-dir is the user's
}

// collected are errors from many goroutines.
type collected struct {
	mu   sync.Mutex
	errs []error
}

func (c *collected) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (c *collected) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

// startStack starts the engines, makes the tables, and starts leadhouse.
func startStack(ctx context.Context, cfg config, say func(string, ...any)) (s *stack, err error) {
	s = &stack{config: cfg, say: say, secret: rand.Text(), links: map[string]*local.Proxy{}, workers: map[string]*worker{}}
	s.catalog.Store("builtin")
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	for _, step := range []func(context.Context) error{
		s.openDir, s.startLinks, s.startClickHouse, s.startKafka, s.createTables, s.startWorkers,
	} {
		if err := step(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *stack) openDir(context.Context) (err error) {
	if s.workDir == "" {
		s.dir, s.removeDir, err = local.TempDir()
		return err
	}
	s.dir = s.workDir
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("--work-dir: %w", err)
	}
	found, err := os.ReadDir(s.dir)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%s is not empty", s.dir)
	}
	if err != nil {
		return fmt.Errorf("--work-dir: %w", err)
	}
	return nil
}

func (s *stack) startLinks(context.Context) error {
	for _, name := range links {
		p, err := local.StartProxy(local.ProxyConfig{})
		if err != nil {
			return err
		}
		s.links[name] = p
	}
	return nil
}

func (s *stack) startClickHouse(ctx context.Context) (err error) {
	s.clickhouse, err = local.StartClickHouse(ctx, local.ClickHouseConfig{
		Dir:      filepath.Join(s.dir, "clickhouse"),
		LogFile:  filepath.Join(s.dir, "clickhouse.log"),
		Progress: func(line string) { s.say("%s", line) },
		OnRestart: func(cause error) {
			s.crashes.Add(1)
			s.say("%v", cause)
		},
	})
	if err != nil {
		return err
	}
	s.links[toClickHouse].SetUpstreams(s.clickhouse.Addr())
	s.conn, err = s.clickhouse.Open(ctx)
	return err
}

func (s *stack) startKafka(ctx context.Context) (err error) {
	if s.kafka == kafkaKfake {
		err = s.startKfake()
	} else {
		err = s.startApache(ctx)
	}
	if err != nil {
		return err
	}
	s.client = &kafka.Client{Addr: kafka.TCP(s.brokers()...), Timeout: 10 * time.Second, Transport: &kafka.Transport{}}
	return nil
}

// startApache starts a broker that gives its clients, by the listener they come to, the address of the link they came
// through: clients find brokers by what they are told, not by where they asked first.
func (s *stack) startApache(ctx context.Context) (err error) {
	port, err := local.Port(0, "Kafka", func(string) {})
	if err != nil {
		return err
	}
	var listeners []string
	advertised := []string{"PLAINTEXT://" + loopback(port)}
	for _, l := range []struct{ name, link string }{{"PRODUCE", toProduce}, {"CONSUME", toConsume}} {
		behind, err := local.Port(0, "Kafka", func(string) {})
		if err != nil {
			return err
		}
		s.links[l.link].SetUpstreams(loopback(behind))
		listeners = append(listeners, l.name+"://"+loopback(behind))
		advertised = append(advertised, l.name+"://"+s.links[l.link].Addr())
	}
	s.apache, err = local.StartApache(ctx, local.ApacheConfig{
		Dir: filepath.Join(s.dir, "kafka"), LogFile: filepath.Join(s.dir, "kafka.log"),
		Port: port, Listeners: listeners,
		Properties: []string{
			"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PRODUCE:PLAINTEXT,CONSUME:PLAINTEXT",
			"advertised.listeners=" + strings.Join(advertised, ","),
		},
		Progress: func(line string) { s.say("%s", line) },
	})
	return err
}

// startKfake starts the embedded broker, which tells everybody the one address that it believes to have.
func (s *stack) startKfake() (err error) {
	s.kfake, err = local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address) //nolint:noctx // as long as kfake lives
			if err != nil {
				return nil, err
			}
			return advertising{l, s.links[toConsume]}, nil
		}),
	}})
	if err == nil {
		s.links[toConsume].SetUpstreams(s.kfake.Brokers()...)
		s.links[toProduce].SetUpstreams(s.kfake.Brokers()...)
	}
	return err
}

// advertising is a listener behind a link that says it is the link.
type advertising struct {
	net.Listener
	link *local.Proxy
}

func (a advertising) Addr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", a.link.Addr()) // host:port of a listener: always one
	return addr
}

func (s *stack) brokers() []string {
	if s.apache != nil {
		return s.apache.Brokers()
	}
	return s.kfake.Brokers()
}

func (s *stack) createTables(ctx context.Context) error {
	return s.backfill(ctx, "backfill")
}

// backfill runs leadhouse backfill to its end, through the link. Faults may keep it from ClickHouse for a while: that is
// its own to get over.
func (s *stack) backfill(ctx context.Context, name string) error {
	return s.runOnce(ctx, name, s.backfillArgs()...)
}

func (s *stack) backfillArgs() []string {
	return []string{
		"backfill", "--catalog", s.catalog.Load().(string), "--clickhouse-addr", s.links[toClickHouse].Addr(),
		"--clickhouse-database", database, "--settle-for", settleFor, "--retry-max", "2s",
	}
}

// growCatalog makes what the next backfill reads know more.
func (s *stack) growCatalog() error {
	grown, err := local.GrowCatalog(schema.BuiltinCatalog())
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "catalog.json")
	if err := os.WriteFile(file, grown, 0o600); err != nil {
		return fmt.Errorf("write the catalog: %w", err)
	}
	s.catalog.Store(file)
	return nil
}

func (s *stack) startWorkers(ctx context.Context) error {
	var upstreams []string
	for _, name := range append(append([]string{}, ingests...), sinks...) {
		admin, err := address()
		if err != nil {
			return err
		}
		w := &worker{name: name, path: s.leadhouse, logDir: s.dir, env: environment("LEADHOUSE_WEBHOOK_SECRETS=chaos=" + s.secret), ended: s.fallen.add}
		if strings.HasPrefix(name, "ingest") {
			listen, err := address()
			if err != nil {
				return err
			}
			upstreams = append(upstreams, listen)
			w.args = s.ingestArgs(listen, admin)
		} else {
			w.args = s.sinkArgs(admin)
		}
		s.workers[name] = w
		if err := w.start(); err != nil {
			return err
		}
		if err := s.ready(ctx, w, admin); err != nil {
			return err
		}
	}
	s.links[toLeadron].SetUpstreams(upstreams...)
	return nil
}

func (s *stack) ingestArgs(listen, admin string) []string {
	return []string{
		"ingest", "--listen", listen, "--admin-addr", admin,
		"--kafka-brokers", s.links[toProduce].Addr(), "--kafka-topic", topic,
		"--kafka-create-topic", "--kafka-topic-partitions", strconv.Itoa(partitions),
		"--ack-timeout", "4s", "--produce-timeout", "10s",
		"--start-timeout", "5m", "--drain-delay", "0s",
	}
}

func (s *stack) sinkArgs(admin string) []string {
	return []string{
		"sink", "--admin-addr", admin,
		"--kafka-brokers", s.links[toConsume].Addr(), "--kafka-topic", topic, "--kafka-group", groupID,
		"--clickhouse-addr", s.links[toClickHouse].Addr(), "--clickhouse-database", database,
		"--session-timeout", sessionTimeout.String(), "--heartbeat-interval", "500ms", "--handover-timeout", "2s",
		"--batch-age", "300ms", "--batch-rows", "5000", "--insert-timeout", "10s", "--retry-max", "2s",
		"--schema-reload-interval", schemaReload,
	}
}

// ready waits until a worker says so on its admin listener.
func (s *stack) ready(ctx context.Context, w *worker, admin string) error {
	return await(ctx, w.name+" to be ready", 2*time.Minute, func(ctx context.Context) (bool, error) {
		status, err := get(ctx, "http://"+admin+"/readyz")
		return status == 200, errors.Join(err, s.fallen.err())
	})
}

// address is one that nobody listens on now.
func address() (string, error) {
	port, err := local.Port(0, "a process", func(string) {})
	return loopback(port), err
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// webhooks is where Leadron posts deliveries.
func (s *stack) webhooks() string { return "http://" + s.links[toLeadron].Addr() + "/webhooks/leadron" }

// stop ends everything. It may be called on a stack that did not start.
func (s *stack) stop() {
	var ends errgroup.Group
	for _, w := range s.workers {
		ends.Go(func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.kill()
			return nil
		})
	}
	_ = ends.Wait()
	for _, p := range s.links {
		p.Stop()
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
	if s.client != nil {
		s.client.Transport.(*kafka.Transport).CloseIdleConnections()
	}
	if s.kfake != nil {
		s.kfake.Stop()
	}
	if s.apache != nil {
		s.apache.Kill() // nobody will read what it would still write
		s.apache.Stop()
	}
	if s.clickhouse != nil {
		s.clickhouse.Kill()
		s.clickhouse.Stop()
	}
}
