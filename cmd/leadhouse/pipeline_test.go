package main_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadhouse/leadhouse/deploy/local"
)

const (
	topicName = "leadron.events"
	groupName = "leadhouse-sink"
	secret    = "rX7pL2mQ9vT4wZ8kB3nH"
)

// patience is how long a condition may take to come true: far above what it takes on a busy machine, so that running into
// it is a finding.
const patience = 90 * time.Second

// pipeline is ingest and sink as processes of the real binary, between kfake and the real ClickHouse.
type pipeline struct {
	t          *testing.T
	brokers    []string
	client     *kafka.Client
	clickhouse *local.ClickHouse
	database   string
	dir        string
	binary     string // the program; "": this test's own

	env     []string // of its processes, beside the common variables
	session []string // flags of the sink: short time-outs, for the ghosts of killed ones

	ingestAddr, ingestAdmin, sinkAdmin string
}

// newPipeline starts the embedded engines and sets up the warehouse; no process runs yet.
func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{kfake.GroupMinSessionTimeout(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	p := newPipelineOn(t, k.Brokers(), &kafka.Transport{})
	p.session = shortSession
	return p
}

var shortSession = []string{"--session-timeout", "1500ms", "--heartbeat-interval", "300ms", "--handover-timeout", "500ms"}

// newPipelineOn does the same on a Kafka that is there, which the test reaches by the transport.
func newPipelineOn(t *testing.T, brokers []string, transport *kafka.Transport) *pipeline {
	t.Helper()
	return newPipelineWith(t, local.Shared(t), brokers, transport)
}

// newPipelineWith does the same with a ClickHouse that the test may break.
func newPipelineWith(t *testing.T, ch *local.ClickHouse, brokers []string, transport *kafka.Transport) *pipeline {
	t.Helper()
	t.Cleanup(transport.CloseIdleConnections)
	p := &pipeline{
		t: t, brokers: brokers, clickhouse: ch, dir: t.TempDir(),
		client: &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport, Timeout: 10 * time.Second},
	}
	p.database = p.clickhouse.Database(t)
	p.ingestAddr, p.ingestAdmin, p.sinkAdmin = freeAddr(t), freeAddr(t), freeAddr(t)
	backfill := p.start("backfill", "--catalog", "builtin", "--settle-for", "100ms")
	if err := backfill.Err(); err != nil {
		t.Fatalf("backfill: %v\n%s", err, logOf(t, backfill))
	}
	return p
}

func freeAddr(t *testing.T) string {
	t.Helper()
	port, err := local.Port(0, "leadhouse", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strconv.Itoa(port)
}

// start runs a command of the program. Its settings come from variables, as in a container, and from flags.
func (p *pipeline) start(command string, flags ...string) *local.Program {
	p.t.Helper()
	program, err := local.StartProgram(local.ProgramConfig{
		Path: cmp.Or(p.binary, binary(p.t)),
		Args: append([]string{command}, flags...),
		Env: slices.Concat(os.Environ(), p.env, []string{
			"LEADHOUSE_KAFKA_BROKERS=" + strings.Join(p.brokers, ","),
			"LEADHOUSE_CLICKHOUSE_ADDR=" + p.clickhouse.Addr(),
			"LEADHOUSE_CLICKHOUSE_DATABASE=" + p.database,
			"LEADHOUSE_WEBHOOK_SECRETS=main=" + secret,
			"LEADHOUSE_LOG_LEVEL=debug",
			"LEADHOUSE_LOG_FORMAT=json",
		}),
		LogFile: filepath.Join(p.dir, command+".log"),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		program.Kill()
		if p.t.Failed() {
			p.t.Logf("the log of %s:\n%s", command, tail(logOf(p.t, program), 4000))
		}
	})
	return program
}

// startIngest returns when it is ready.
func (p *pipeline) startIngest(flags ...string) *local.Program {
	p.t.Helper()
	program := p.start("ingest", append([]string{
		"--listen", p.ingestAddr, "--admin-addr", p.ingestAdmin,
		"--kafka-create-topic", "--kafka-topic-partitions", strconv.Itoa(partitions), "--drain-delay", "0",
	}, flags...)...)
	p.awaitReady(program, p.ingestAdmin)
	return program
}

// startSink returns at once: it may have to wait for the ghost of one that was killed.
func (p *pipeline) startSink(flags ...string) *local.Program {
	p.t.Helper()
	return p.start("sink", slices.Concat([]string{"--admin-addr", p.sinkAdmin, "--batch-age", "100ms"}, p.session, flags)...)
}

func (p *pipeline) awaitReady(program *local.Program, admin string) {
	p.t.Helper()
	p.await("readiness of "+admin, func() (bool, string) {
		select {
		case <-program.Gone():
			p.t.Fatalf("it ended: %v\n%s", program.Err(), logOf(p.t, program))
		default:
		}
		status, body := get(p.t, "http://"+admin+"/readyz")
		return status == http.StatusOK, fmt.Sprintf("%d %s", status, body)
	})
}

// await polls a condition until it holds; state says what there is instead.
func (p *pipeline) await(what string, holds func() (ok bool, state string)) {
	p.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := holds()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("%s: not within %v; %s", what, patience, state)
		}
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true // no idle connection to a process that will be killed
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// query asks ClickHouse; DATABASE in it stands for the pipeline's.
func (p *pipeline) query(sql string) string {
	p.t.Helper()
	answer, err := p.clickhouse.Query(p.t.Context(), strings.ReplaceAll(sql, "DATABASE", p.database))
	if err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
	return strings.TrimSpace(answer)
}

func (p *pipeline) count(sql string) int64 {
	p.t.Helper()
	n, err := strconv.ParseInt(p.query(sql), 10, 64)
	if err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// partitions is how many --kafka-create-topic is told to make.
const partitions = 3

// ends are the offsets at which the partitions end: how many records each has.
func (p *pipeline) ends() map[int]int64 {
	p.t.Helper()
	ask := make([]kafka.OffsetRequest, partitions)
	for i := range ask {
		ask[i] = kafka.LastOffsetOf(i)
	}
	response, err := p.client.ListOffsets(p.t.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topicName: ask}})
	if err != nil {
		p.t.Fatal(err)
	}
	ends := map[int]int64{}
	for _, partition := range response.Topics[topicName] {
		if partition.Error != nil {
			p.t.Fatal(partition.Error)
		}
		ends[partition.Partition] = partition.LastOffset
	}
	return ends
}

// records is how many the topic has.
func (p *pipeline) records() (n int64) {
	p.t.Helper()
	for _, end := range p.ends() {
		n += end
	}
	return n
}

// committed are the group's offsets; -1 where there is none.
func (p *pipeline) committed() map[int]int64 {
	p.t.Helper()
	response, err := p.client.OffsetFetch(p.t.Context(), &kafka.OffsetFetchRequest{GroupID: groupName, Topics: map[string][]int{topicName: {0, 1, 2}}})
	if err != nil {
		p.t.Fatal(err)
	}
	committed := map[int]int64{}
	for _, partition := range response.Topics[topicName] {
		committed[partition.Partition] = partition.CommittedOffset
	}
	return committed
}

// awaitDrained waits until the ledger has every record of the topic.
func (p *pipeline) awaitDrained() {
	p.t.Helper()
	p.await("the ledger has every record", func() (bool, string) {
		have, want := p.count("SELECT count() FROM DATABASE.deliveries FINAL"), p.records()
		return have == want, fmt.Sprintf("%d of %d", have, want)
	})
}

// awaitCommitted waits until the group's offsets are the topic's end.
func (p *pipeline) awaitCommitted() {
	p.t.Helper()
	p.await("everything is committed", func() (bool, string) {
		committed := p.committed()
		for partition, end := range p.ends() {
			if end > 0 && committed[partition] != end {
				return false, fmt.Sprintf("partition %d: %d of %d", partition, committed[partition], end)
			}
		}
		return true, ""
	})
}

func (p *pipeline) sender(cfg local.SenderConfig) *local.Sender {
	p.t.Helper()
	cfg.URL, cfg.Secret = "http://"+p.ingestAddr+"/webhooks/leadron", secret
	s, err := local.NewSender(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

func logOf(t *testing.T, program *local.Program) string {
	t.Helper()
	text, err := program.Log()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func tail(text string, n int) string {
	if len(text) > n {
		return "…" + text[len(text)-n:]
	}
	return text
}
