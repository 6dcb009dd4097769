package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/leadhouse/leadhouse/schema"
)

// ClickHouse before 24.8 lacks what the tables and statements use; what is tested is 26.7.
const (
	leastMajor, leastMinor   = 24, 8
	testedMajor, testedMinor = 26, 7
)

// lookAtClickhouse asks every host by itself: the second one is to be there when the first is not.
func (j *checkJob) lookAtClickhouse(ctx context.Context) {
	if risk := j.clickhouse.risk(); risk != "" {
		j.report.warn("clickhouse", risk, "")
	}
	var answered driver.Conn
	for _, addr := range j.clickhouse.addrs {
		one := *j.clickhouse
		one.addrs = []string{addr}
		conn, err := one.open("check", 1)
		if err != nil {
			continue // the configuration is in order, or we would not be here
		}
		defer conn.Close()
		if j.greet(ctx, addr, conn) && answered == nil {
			answered = conn
		}
	}
	if answered == nil {
		j.report.skip("warehouse", "no ClickHouse answers")
		return
	}
	j.lookAtWarehouse(ctx, answered)
	j.lookAtRights(ctx, answered)
}

// greet connects and reads the version.
func (j *checkJob) greet(ctx context.Context, addr string, conn driver.Conn) bool {
	const what = "clickhouse"
	var v *driver.ServerVersion
	err := j.ask(ctx, func(context.Context) (err error) {
		v, err = conn.ServerVersion() // dials, within --clickhouse-dial-timeout
		return err
	})
	if err != nil {
		j.report.bad(what, addr+": "+err.Error(), clickhouseAdvice(err))
		return false
	}
	version := fmt.Sprintf("%d.%d.%d", v.Version.Major, v.Version.Minor, v.Version.Patch)
	switch have := v.Version.Major*1000 + v.Version.Minor; {
	case have < leastMajor*1000+leastMinor:
		j.report.bad(what, fmt.Sprintf("%s: version %s", addr, version), fmt.Sprintf("leadhouse needs %d.%d or newer.", leastMajor, leastMinor))
	case have < testedMajor*1000+testedMinor:
		j.report.warn(what, fmt.Sprintf("%s: version %s", addr, version), fmt.Sprintf("leadhouse is tested with %d.%d.", testedMajor, testedMinor))
	default:
		j.report.ok(what, "%s: version %s%s, as %s", addr, version, onTLS(j.clickhouse.tls.on), j.clickhouse.username)
	}
	return true
}

func onTLS(on bool) string {
	if on {
		return ", TLS"
	}
	return ""
}

// lookAtWarehouse reads the database as sink does at its start.
func (j *checkJob) lookAtWarehouse(ctx context.Context, conn driver.Conn) {
	const what = "warehouse"
	var w *schema.Warehouse
	err := j.ask(ctx, func(ctx context.Context) (err error) {
		w, err = schema.Load(ctx, conn, j.database)
		return err
	})
	switch {
	case errors.Is(err, schema.ErrNotSetUp):
		j.report.bad(what, err.Error(), "")
	case err != nil:
		j.report.bad(what, err.Error(), clickhouseAdvice(err))
	default:
		j.report.ok(what, "database %s: %d event tables, revision %d", w.Database, len(w.Tables), w.Revision)
		for _, warning := range w.Warnings {
			j.report.warn(what, warning, "")
		}
	}
}

// rights are what each job needs on the database, in ClickHouse's words.
var rights = []struct{ job, grants string }{
	{"sink", "SELECT, INSERT"},
	{"backfill", "SELECT, INSERT, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP VIEW, ALTER TABLE"},
}

// lookAtRights asks what the user may do. CHECK GRANT does nothing but answer.
func (j *checkJob) lookAtRights(ctx context.Context, conn driver.Conn) {
	const what = "clickhouse rights"
	for _, r := range rights {
		var granted uint8
		err := j.ask(ctx, func(ctx context.Context) error {
			return conn.QueryRow(ctx, fmt.Sprintf("CHECK GRANT %s ON %s.*", r.grants, j.database)).Scan(&granted)
		})
		exception, refused := errors.AsType[*clickhouse.Exception](err)
		switch {
		case refused && exception.Code == codeSyntaxError:
			j.report.skip(what, "this version has no CHECK GRANT")
			return
		case err != nil:
			j.report.bad(what, err.Error(), clickhouseAdvice(err))
			return
		case granted == 1:
			j.report.ok(what, "%s has enough for %s", j.clickhouse.username, r.job)
		case r.job == "backfill":
			// It may well run as somebody else.
			j.report.warn(what, fmt.Sprintf("%s has not enough for backfill", j.clickhouse.username), j.grant(r.grants))
		default:
			j.report.bad(what, fmt.Sprintf("%s has not enough for %s", j.clickhouse.username, r.job), j.grant(r.grants))
		}
	}
}

func (j *checkJob) grant(what string) string {
	return fmt.Sprintf("GRANT %s ON %s.* TO %s", what, j.database, j.clickhouse.username)
}

// ClickHouse's error codes (src/Common/ErrorCodes.cpp).
const (
	codeSyntaxError          = 62
	codeUnknownDatabase      = 81
	codeAuthenticationFailed = 516
	codeAccessDenied         = 497
)

func clickhouseAdvice(err error) string {
	exception, answered := errors.AsType[*clickhouse.Exception](err)
	certificate := certificateAdvice(err, "server", "clickhouse")
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, resolve := errors.AsType[*net.DNSError](err)
	switch {
	case answered && exception.Code == codeAuthenticationFailed:
		return "ClickHouse refuses the user or the password, or this machine's address for the user: --clickhouse-username, --clickhouse-password-file."
	case answered && exception.Code == codeAccessDenied:
		return "The user may not: see the rights in leadhouse sink -h, --clickhouse-username."
	case answered:
		return ""
	case certificate != "":
		return certificate
	case record:
		return "This port has no TLS: leave --clickhouse-tls out, or use the secure port, as a rule 9440."
	case strings.Contains(err.Error(), "unexpected packet"):
		return "What answers is not ClickHouse's native protocol: 9000 is its port, with TLS 9440; 8123 and 8443 are HTTP."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "The server closed the connection: is it the native port (9000, with TLS 9440), and does it agree with --clickhouse-tls?"
	case resolve:
		return "The name is not known here: --clickhouse-addr."
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "Nothing answers there in time: --clickhouse-addr, a firewall, or --clickhouse-tls against a port without it."
	}
	return "Is ClickHouse running there, and is it the native port (9000, with TLS 9440)? --clickhouse-addr"
}
