package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/schema"
)

// clickhouseSettings are how to reach ClickHouse.
type clickhouseSettings struct {
	addrs              []string
	tls                tlsSettings
	username, password string
	passwordFile       string
	compression        string
	dialTimeout        time.Duration
}

func newClickhouseSettings() *clickhouseSettings {
	return &clickhouseSettings{
		tls: tlsSettings{prefix: "clickhouse"}, username: "default", compression: "lz4",
		dialTimeout: 5 * time.Second, // a host that is there answers in milliseconds, and the next one waits meanwhile
	}
}

func (c *clickhouseSettings) settings(required bool) settings {
	const group = "ClickHouse"
	ss := settings{{
		name: "clickhouse-addr", group: group, field: "ClickHouse", required: required, value: addresses(&c.addrs, "clickhouse-1:9000,clickhouse-2:9000"),
		usage: "Hosts with their native ports (9000, with TLS 9440). The first that answers is used; the others are for when it does not, so they must be replicas of one warehouse.",
	}}
	ss = append(ss, c.tls.settings(group, "ClickHouse")...)
	return append(
		ss,
		&setting{
			name: "clickhouse-username", group: group, value: text(&c.username, "NAME"),
			usage: "The user. Sink and deadletters need INSERT and SELECT on the database; backfill also CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE and ALTER VIEW.",
		},
		&setting{
			name: "clickhouse-password-file", group: group, value: file(&c.passwordFile),
			usage:  "File with the password; a line end at its end does not count.",
			secret: &secret{name: "clickhouse-password", what: "the password", use: into(&c.password)},
		},
		&setting{
			name: "clickhouse-compression", group: group, value: oneOf(&c.compression, "lz4", "zstd", "none"),
			usage: "Compression on the wire. zstd takes more CPU on both sides, and pays on a slow line.",
		},
		&setting{
			name: "clickhouse-dial-timeout", group: group, value: duration(&c.dialTimeout),
			usage: "How long one host may take to accept a connection.",
		},
	)
}

var compressions = map[string]clickhouse.CompressionMethod{
	"lz4":  clickhouse.CompressionLZ4,
	"zstd": clickhouse.CompressionZSTD,
	"none": clickhouse.CompressionNone,
}

// options are clickhouse-go's. conns is how many connections are used at a time.
//
// No database is selected: it may not exist yet, and the server would refuse the connection. All SQL names its database.
//
// No DialContext is set: clickhouse-go bounds the dialling of all hosts together with DialTimeout, but by a context that
// only a DialContext would see. With one, a first host that swallows packets would use up the second's time.
func (c *clickhouseSettings) options(job string, conns int) (*clickhouse.Options, error) {
	config, err := c.tls.config()
	options := &clickhouse.Options{
		Addr:        c.addrs,
		Auth:        clickhouse.Auth{Username: c.username, Password: c.password},
		TLS:         config,
		DialTimeout: c.dialTimeout,
		Compression: &clickhouse.Compression{Method: compressions[c.compression]},

		// One connection in reserve: one that is being closed still counts, and who finds none free waits for DialTimeout and
		// then fails.
		MaxOpenConns: conns + 1,
		MaxIdleConns: conns,

		// In order, so that a retry reaches the host that knows the insert's deduplication token. A connection to the second
		// host is given up after the lifetime, so that work returns to the first.
		ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		ConnMaxLifetime:  10 * time.Minute,
	}
	options.ClientInfo.Products = append(options.ClientInfo.Products, struct{ Name, Version string }{"leadhouse-" + job, build().version})
	return options, err
}

// risk says that the password can be read on the line, if it can.
func (c *clickhouseSettings) risk() string {
	if c.password != "" && !c.tls.on && !allLoopback(c.addrs) {
		return "a ClickHouse password without --clickhouse-tls: whoever reads the line reads it"
	}
	return ""
}

// open makes the pool. It dials nothing: a connection is made when the first query asks for one.
func (c *clickhouseSettings) open(job string, conns int) (driver.Conn, error) {
	options, err := c.options(job, conns)
	if err != nil {
		return nil, err
	}
	if len(c.addrs) == 0 {
		return nil, nil //nolint:nilnil // said already, where it is required
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	return conn, nil
}

// databaseSetting is the database's name, which three commands share.
func databaseSetting(dst *string) *setting {
	database := text(dst, "NAME")
	database.parse = func(t string) error {
		if err := schema.CheckDatabase(t); err != nil {
			return err
		}
		*dst = t
		return nil
	}
	return &setting{
		name: "clickhouse-database", group: "ClickHouse", field: "Database", value: database,
		usage: "The database of the warehouse.",
	}
}

// closing ends a job on ClickHouse: its error gets what to do about a certificate, and joins that of closing the connection.
func closing(err error, conn driver.Conn) error {
	if advice := certificateAdvice(err, "server", "clickhouse"); advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	return errors.Join(err, conn.Close())
}
