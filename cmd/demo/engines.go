package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// engines are the Kafka and the ClickHouse that the demo runs on: embedded ones, or ones that the user runs already. On
// those **nothing that exists is touched**: topic, group and database are the demo's own, and must not exist yet.
type engines struct {
	brokers      []string
	topic, group string

	clickhouse         string // host:port, native
	http               string // host:port, "" for a server that the user runs: it may be anywhere
	username, password string
	database           string
	conn               driver.Conn

	ownKafka, ownClickHouse bool // the user's own

	kfake  *local.Kfake      // nil with the user's own
	server *local.ClickHouse // likewise
}

// The names that leadhouse takes by default, for the embedded engines, where nobody else's can be in the way.
const (
	defaultTopic    = "leadron.events"
	defaultGroup    = "leadhouse-sink"
	defaultDatabase = "leadron"
)

// startEngines starts the embedded engines, and looks at the user's own.
func startEngines(ctx context.Context, cfg config, tell func(string)) (e *engines, err error) {
	e = &engines{
		brokers: cfg.kafkaBrokers, topic: cfg.name, group: cfg.name, ownKafka: len(cfg.kafkaBrokers) > 0,
		clickhouse: cfg.clickhouseAddr, database: cfg.name, ownClickHouse: cfg.clickhouseAddr != "",
		username: cmp.Or(cfg.clickhouseUsername, "default"), password: cfg.clickhousePassword,
	}
	defer func() {
		if err != nil {
			e.stop()
		}
	}()
	if !e.ownClickHouse {
		if err := e.startClickHouse(ctx, cfg, tell); err != nil {
			return e, err
		}
	}
	if e.conn, err = e.dialClickHouse(ctx); err != nil {
		return e, err
	}
	if !e.ownKafka {
		if err := e.startKafka(cfg, tell); err != nil {
			return e, err
		}
	}
	return e, e.refuseTaken(ctx)
}

func (e *engines) startClickHouse(ctx context.Context, cfg config, tell func(string)) (err error) {
	e.server, err = local.StartClickHouse(ctx, local.ClickHouseConfig{
		Dir:        filepath.Join(cfg.workDir, "clickhouse"),
		NativePort: cfg.ports.clickhouse, HTTPPort: cfg.ports.clickhouseHTTP,
		LogFile:   filepath.Join(cfg.workDir, "clickhouse.log"),
		Progress:  tell,
		OnRestart: func(cause error) { tell("ClickHouse was started again: " + cause.Error()) },
	})
	if err != nil {
		return err
	}
	e.clickhouse, e.http = e.server.Addr(), e.server.HTTPAddr()
	e.username, e.password, e.database = "default", "", defaultDatabase
	return nil
}

func (e *engines) startKafka(cfg config, tell func(string)) (err error) {
	if e.kfake, err = local.StartKfake(local.KfakeConfig{Port: cfg.ports.kafka, Progress: tell}); err != nil {
		return err
	}
	e.brokers, e.topic, e.group = e.kfake.Brokers(), defaultTopic, defaultGroup
	return nil
}

// dialClickHouse connects for the demo's own questions.
func (e *engines) dialClickHouse(ctx context.Context) (driver.Conn, error) {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{e.clickhouse},
		Auth: clickhouse.Auth{Username: e.username, Password: e.password},
	})
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	if err := conn.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("ClickHouse at %s: %w", e.clickhouse, err), conn.Close())
	}
	return conn, nil
}

// refuseTaken looks for what stands under the demo's names on the user's engines, and names all of it.
func (e *engines) refuseTaken(ctx context.Context) error {
	var errs []error
	if e.ownClickHouse {
		var n uint64
		if err := e.conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = ?", e.database).Scan(&n); err != nil {
			return fmt.Errorf("look for the database %s: %w", e.database, err)
		}
		if n > 0 {
			errs = append(errs, fmt.Errorf("the database %s exists on %s", e.database, e.clickhouse))
		}
	}
	if e.ownKafka {
		errs = append(errs, e.refuseTakenInKafka(ctx))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the demo touches nothing that exists:\n%w\nLeft by another demo? Then drop it:\n%s\nOr take other names: --name leadhouse_demo_2", err, e.howToDrop())
	}
	return nil
}

func (e *engines) refuseTakenInKafka(ctx context.Context) error {
	client := &kafka.Client{Addr: kafka.TCP(e.brokers...), Transport: &kafka.Transport{MetadataTopics: []string{e.topic}}}
	defer client.Transport.(*kafka.Transport).CloseIdleConnections()

	var errs []error
	found, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{e.topic}})
	if err != nil {
		return fmt.Errorf("Kafka at %s: %w", strings.Join(e.brokers, ","), err) //nolint:staticcheck // a name
	}
	for _, t := range found.Topics {
		if !errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			errs = append(errs, fmt.Errorf("the topic %s exists on %s", e.topic, strings.Join(e.brokers, ",")))
		}
	}
	groups, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{e.group}})
	if err != nil {
		return fmt.Errorf("look for the group %s: %w", e.group, err)
	}
	for _, g := range groups.Groups {
		if g.GroupState != "Dead" { // Kafka's word for a group that it does not know
			errs = append(errs, fmt.Errorf("the group %s exists on %s", e.group, strings.Join(e.brokers, ",")))
		}
	}
	return errors.Join(errs...)
}

// howToDrop is what to type to be rid of what the demo leaves on the user's engines.
func (e *engines) howToDrop() string {
	var lines []string
	if e.ownClickHouse {
		lines = append(lines, e.client("")+" --query 'DROP DATABASE "+e.database+"'")
	}
	if e.ownKafka {
		b := strings.Join(e.brokers, ",")
		lines = append(lines,
			"kafka-topics.sh --bootstrap-server "+b+" --delete --topic "+e.topic,
			"kafka-consumer-groups.sh --bootstrap-server "+b+" --delete --group "+e.group)
	}
	return strings.Join(lines, "\n")
}

// client is a command line of ClickHouse's own client, for a user other than the one that owns the tables when given.
func (e *engines) client(as string) string {
	host, port, _ := net.SplitHostPort(e.clickhouse)
	line := "clickhouse client --host " + host + " --port " + port
	if user := cmp.Or(as, e.username); user != "default" {
		line += " --user " + user
	}
	if e.password != "" && as == "" {
		line += " --ask-password"
	}
	return line
}

// stop ends the embedded engines. It may be called more than once, and on engines that did not start.
func (e *engines) stop() {
	if e.conn != nil {
		_ = e.conn.Close()
	}
	if e.kfake != nil {
		e.kfake.Stop()
	}
	if e.server != nil {
		e.server.Stop()
	}
}
