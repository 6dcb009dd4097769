package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// stack is everything that runs: the engines, the stand-in for Leadron, and leadhouse.
type stack struct {
	*engines
	*leadhouse
	leadron *local.Leadron
	ports   ports
	tell    func(string)

	apiKey, secret                     string // for this run alone
	ingestAddr, ingestAdmin, sinkAdmin string
	ingest, sink                       *service
	warehouse                          warehouse
}

// secretID is what the secret is called in metrics and record headers.
const secretID = "demo"

// How fresh the schema is. The sink looks for new columns every second instead of every five, and backfill is sure after
// five seconds without a row of the old kind, instead of thirty: a minute is all the story has.
const (
	schemaReload = "1s"
	settleFor    = "5s" // longer than two reloads and a batch's age
)

// startStack starts engines and stand-in. leadhouse's processes start in the story.
func startStack(ctx context.Context, cfg config, fail func(error), tell func(string)) (s *stack, err error) {
	s = &stack{
		leadhouse: &leadhouse{binary: cfg.leadhouse, logDir: cfg.workDir, fail: fail},
		ports:     cfg.ports, tell: tell,
		apiKey: "ldr_sandbox_sk_" + rand.Text()[:20], secret: rand.Text(),
	}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	if s.engines, err = startEngines(ctx, cfg, tell); err != nil {
		return s, err
	}
	s.leadron, err = local.StartLeadron(local.LeadronConfig{
		Catalog: schema.BuiltinCatalog(), APIKeys: []string{s.apiKey}, Port: cfg.ports.leadron, Progress: tell,
	})
	return s, wrap("start the stand-in for Leadron", err)
}

// address chooses a port, at the last moment: until a service listens on it, it may be taken by others.
func (s *stack) address(want int, what string) (string, error) {
	port, err := local.Port(want, what, s.tell)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// backfill runs leadhouse backfill and returns what it printed.
func (s *stack) backfill(ctx context.Context) (string, error) {
	secrets := append(s.clickhouseSecrets(), "LEADHOUSE_LEADRON_API_KEY="+s.apiKey)
	return s.runOnce(ctx, "backfill", secrets, append(s.clickhouseArgs(),
		"--leadron-api-url", s.leadron.URL(), "--settle-for", settleFor)...)
}

// open connects to the database that backfill has made.
func (s *stack) open() error {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.clickhouse},
		Auth: clickhouse.Auth{Username: s.username, Password: s.password, Database: s.database},
	})
	if err != nil {
		return fmt.Errorf("open the warehouse: %w", err)
	}
	s.warehouse = warehouse{conn}
	return nil
}

// startPipeline starts ingest, which creates the topic, and then sink.
func (s *stack) startPipeline(ctx context.Context) error {
	if err := s.startIngest(ctx); err != nil {
		return err
	}
	return s.startSink(ctx)
}

func (s *stack) startIngest(ctx context.Context) (err error) {
	if s.ingestAddr, err = s.address(s.ports.ingest, "ingest"); err != nil {
		return err
	}
	if s.ingestAdmin, err = s.address(s.ports.ingestAdmin, "ingest, admin"); err != nil {
		return err
	}
	s.ingest, err = s.start("ingest", []string{"LEADHOUSE_WEBHOOK_SECRETS=" + secretID + "=" + s.secret},
		"--listen", s.ingestAddr, "--admin-addr", s.ingestAdmin,
		"--kafka-brokers", strings.Join(s.brokers, ","), "--kafka-topic", s.topic, "--kafka-create-topic",
		"--drain-delay", "0s") // no load balancer has to look elsewhere first
	if err != nil {
		return err
	}
	return ready(ctx, "ingest", s.ingestAdmin)
}

func (s *stack) startSink(ctx context.Context) (err error) {
	if s.sinkAdmin, err = s.address(s.ports.sinkAdmin, "sink, admin"); err != nil {
		return err
	}
	s.sink, err = s.start("sink", s.clickhouseSecrets(), append(s.clickhouseArgs(),
		"--kafka-brokers", strings.Join(s.brokers, ","), "--kafka-topic", s.topic, "--kafka-group", s.group,
		"--admin-addr", s.sinkAdmin, "--schema-reload-interval", schemaReload)...)
	if err != nil {
		return err
	}
	return ready(ctx, "sink", s.sinkAdmin)
}

func (s *stack) clickhouseArgs() []string {
	return []string{"--clickhouse-addr", s.clickhouse, "--clickhouse-username", s.username, "--clickhouse-database", s.database}
}

func (s *stack) clickhouseSecrets() []string {
	if s.password == "" {
		return nil
	}
	return []string{"LEADHOUSE_CLICKHOUSE_PASSWORD=" + s.password}
}

// webhooks is where Leadron posts deliveries.
func (s *stack) webhooks() string { return "http://" + s.ingestAddr + "/webhooks/leadron" }

// stop ends everything, the source first. It may be called on a stack that did not start.
func (s *stack) stop() {
	s.ingest.stop()
	s.sink.stop()
	if s.leadron != nil {
		s.leadron.Stop()
	}
	if s.warehouse.conn != nil {
		_ = s.warehouse.conn.Close()
	}
	if s.engines != nil {
		s.engines.stop()
	}
}

// clickhouseVersion is what the server says.
func (s *stack) clickhouseVersion(ctx context.Context) (version string, err error) {
	err = s.conn.QueryRow(ctx, "SELECT version()").Scan(&version)
	return version, wrap("ask ClickHouse's version", err)
}
