package main_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

var update = flag.Bool("update", false, "write what the scripts see into testdata/scripts")

// TestScripts runs the command lines in testdata/scripts. Beside testscript's own commands they have:
//
//	exits CODE PROGRAM ARGS…        run, and want this exit code
//	kafka [sasl] [tls]              a broker of its own: its address in $KAFKA. Its user is leadhouse, its password open-sesame
//	topic NAME [SETTING=VALUE…]     a topic in it
//	commit TOPIC OFFSET             what sink's group has committed on the first partition
//	clickhouse                      the real ClickHouse: its address in $CLICKHOUSE, a database of its own in $DATABASE
//	clickhouse alone                one that no other test uses: the embedded one ends when a login fails
//	sql QUERY                       ask it, as in $DATABASE
//	leadron KEY                     the stand-in for Leadron's API: its address in $LEADRON
//	silent                          an address that accepts connections and never says a word, in $SILENT
//	tls-files                       a certificate for 127.0.0.1 and its key, in cert.pem and key.pem
func TestScripts(t *testing.T) {
	t.Parallel()
	s := &scripts{t: t}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/scripts",
		UpdateScripts: *update,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":      exits,
			"kafka":      s.kafka,
			"topic":      s.topic,
			"commit":     s.commit,
			"clickhouse": s.clickhouse,
			"sql":        s.sql,
			"leadron":    s.leadron,
			"silent":     silent,
			"tls-files":  s.tlsFiles,
		},
	})
}

type scripts struct {
	t       *testing.T
	brokers sync.Map // address → *local.Kfake, of all scripts
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func (s *scripts) kafka(ts *testscript.TestScript, _ bool, args []string) {
	var opts []kfake.Opt
	for _, a := range args {
		switch a {
		case "sasl":
			opts = append(opts, kfake.EnableSASL(),
				kfake.Superuser("PLAIN", "leadhouse", "open-sesame"),
				kfake.Superuser("SCRAM-SHA-256", "leadhouse", "open-sesame"))
		case "tls":
			opts = append(opts, kfake.TLS(testCertificate(s.t).serverConfig()))
		default:
			ts.Fatalf("no such broker: %s", a)
		}
	}
	k, err := local.StartKfake(local.KfakeConfig{Options: opts})
	ts.Check(err)
	ts.Defer(k.Stop)
	ts.Setenv("KAFKA", k.Brokers()[0])
	s.brokers.Store(k.Brokers()[0], k)
}

func (s *scripts) topic(ts *testscript.TestScript, _ bool, args []string) {
	configs := map[string]string{}
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		configs[key] = value
	}
	k, ok := s.brokers.Load(ts.Getenv("KAFKA"))
	if !ok {
		ts.Fatalf("no kafka yet")
	}
	ts.Check(k.(*local.Kfake).CreateTopic(args[0], 2, configs))
}

func (s *scripts) commit(ts *testscript.TestScript, _ bool, args []string) {
	offset, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(ts.Getenv("KAFKA")), Timeout: 10 * time.Second, Transport: transport}
	answer, err := client.OffsetCommit(context.Background(), &kafka.OffsetCommitRequest{
		GroupID: "leadhouse-sink", GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{args[0]: {{Offset: offset}}},
	})
	ts.Check(err)
	ts.Check(answer.Topics[args[0]][0].Error)
}

func (s *scripts) clickhouse(ts *testscript.TestScript, _ bool, args []string) {
	ch := local.Shared(s.t)
	if len(args) > 0 {
		own, err := local.StartClickHouse(context.Background(), local.ClickHouseConfig{})
		ts.Check(err)
		ts.Defer(own.Stop)
		ts.Setenv("CLICKHOUSE", own.Addr())
		return
	}
	ts.Setenv("CLICKHOUSE", ch.Addr())
	ts.Setenv("DATABASE", ch.Database(s.t))
}

func (s *scripts) sql(ts *testscript.TestScript, _ bool, args []string) {
	answer, err := local.Shared(s.t).Query(context.Background(), strings.ReplaceAll(args[0], "DATABASE", ts.Getenv("DATABASE")))
	ts.Check(err)
	fmt.Fprint(ts.Stdout(), answer)
}

func (s *scripts) leadron(ts *testscript.TestScript, _ bool, args []string) {
	l, err := local.StartLeadron(local.LeadronConfig{Catalog: schema.BuiltinCatalog(), APIKeys: args})
	ts.Check(err)
	ts.Defer(l.Stop)
	ts.Setenv("LEADRON", l.URL())
}

func (s *scripts) tlsFiles(ts *testscript.TestScript, _ bool, _ []string) {
	testCertificate(s.t).write(s.t, ts.MkAbs("cert.pem"), ts.MkAbs("key.pem"))
}

func silent(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var held []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			held = append(held, c)
		}
		for _, c := range held {
			c.Close()
		}
	}()
	ts.Defer(func() { l.Close(); <-done })
	ts.Setenv("SILENT", l.Addr().String())
}
