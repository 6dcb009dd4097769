package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/sink"
)

// leadhouse sink
//
//	main ─ signal ctx ─▶ Sink.Run ─┬─ admin listener: /healthz /readyz /metrics
//	                               └─ consumer group, generation after generation
//	                                    ├─ a fetcher a partition ─▶ one batch ─▶ insert ─▶ commit
//	                                    └─ schema reload, lag
//
// All of them are Sink.Run's (sink/sink.go), which returns when the last has ended. The ClickHouse pool is this file's: it is
// closed when Run has returned.
type sinkJob struct {
	cfg        sink.Config
	kafka      *kafkaSettings
	clickhouse *clickhouseSettings
	pprof      bool
}

func newSink() *command {
	j := &sinkJob{cfg: sink.Defaults(), kafka: newKafkaSettings(), clickhouse: newClickhouseSettings()}
	j.cfg.AdminAddr = ":9091" // next to ingest's, on a machine that runs both
	c := &command{
		name:     "sink",
		usage:    "write the deliveries from Kafka into ClickHouse",
		manual:   sinkManual,
		examples: sinkExamples,
		exits: `0   stopped by SIGINT or SIGTERM; what was inserted is committed
1   somebody must decide, and the message says what: the topic was recreated or has lost records (--accept-new-topic), the topic is compacted, or ClickHouse refuses the user
64  the command line or the configuration is wrong: nothing was dialled, and a restart will not help`,
		settings: j.settings(),
		prepare:  j.prepare,
	}
	return c.withCommon()
}

const sinkManual = `Reads the topic as a consumer group, types each event for the columns that the warehouse has, and inserts in batches: one row per event ID, in every view and with FINAL. Offsets are committed only after all of a batch is in ClickHouse. While Kafka or ClickHouse is away it keeps what it has, waits, and says so in readiness.
What Kafka's retention removed before it was inserted is recorded, to the offset, and the sink goes on behind it; no sink of the group is ready, and metric leadhouse_sink_open_gap_offsets is not 0, until leadhouse verify --acknowledge has taken note. A topic that is not the one that was read up to now, because it was deleted and created again or has lost its end, stops the sink: see --accept-new-topic.
The tables must be there: leadhouse backfill makes them, and adds columns while sinks run.
Readiness is GET /readyz on the admin listener, liveness GET /healthz, metrics GET /metrics. On SIGTERM the last batch is inserted and committed. A second signal kills at once, and loses nothing: what is not committed is read again.
Any number of instances may run side by side; as many work as the topic has partitions.`

const sinkExamples = `leadhouse sink --kafka-brokers kafka:9092 --clickhouse-addr clickhouse:9000

# fresher rows, for more and smaller parts in ClickHouse
leadhouse sink --config /etc/leadhouse.yaml --batch-age 200ms

# once, with no other sink running, after the topic was deleted and created again
leadhouse sink --config /etc/leadhouse.yaml --accept-new-topic`

func (j *sinkJob) settings() settings {
	ss := j.kafka.settings(true)
	ss = append(ss, topicSetting(&j.cfg.Topic, "Topic"), groupSetting(&j.cfg.Group), acceptSetting(&j.cfg.AcceptNewTopic))
	ss = append(ss, j.clickhouse.settings(true)...)
	ss = append(ss, databaseSetting(&j.cfg.Database))
	ss = append(ss, j.batchSettings()...)
	return append(ss, j.processSettings()...)
}

// groupSetting is the group's name, which sink and check share.
func groupSetting(dst *string) *setting {
	return &setting{
		name: "kafka-group", group: "Kafka topic", field: "Group", value: text(dst, "NAME"),
		usage: "The consumer group whose offsets say how far the warehouse is. One for each warehouse.",
	}
}

// acceptSetting cannot stand in the file: accepting is an act, not a state.
func acceptSetting(dst *bool) *setting {
	return &setting{
		name: "accept-new-topic", group: "Kafka topic", field: "AcceptNewTopic", value: toggle(dst), noFile: true,
		usage: "After sink has stopped because the topic is not the one that it read up to now: begin with accepting it as it is, and read it from its start as a new epoch of the books. Events that are in ClickHouse already stay single. Every other sink of the group must be stopped. Where there is nothing to accept, it does nothing.",
	}
}

func (j *sinkJob) batchSettings() settings {
	const group = "Batches"
	c := &j.cfg
	return settings{
		{
			name: "batch-rows", group: group, field: "BatchRows", value: number(&c.BatchRows),
			usage: "Rows that end a batch.",
		},
		{
			name: "batch-bytes", group: group, field: "BatchBytes", value: size(&c.BatchBytes),
			usage: "Bytes of Kafka records that end a batch. Two batches are in memory at a time.",
		},
		{
			name: "batch-age", group: group, field: "BatchAge", value: duration(&c.BatchAge),
			usage: "How long after its first record a batch ends at the latest: the price of freshness is more and smaller parts in ClickHouse.",
		},
		{
			name: "insert-timeout", group: group, field: "InsertTimeout", value: duration(&c.InsertTimeout),
			usage: "How long one insert may take. After it the same rows are sent again, which ClickHouse recognizes.",
		},
		{
			name: "reject-percent", group: group, field: "RejectPercent", value: number(&c.RejectPercent),
			usage: "A row that ClickHouse refuses for its content becomes a dead letter, unless more than so many per cent of its table's last --reject-window rows were refused. Then it is rather the table that is wrong, as after adding a constraint: the sink stops to blame rows, keeps its offsets, is not ready, and tries again until they go in. 100 never stops.",
		},
		{
			name: "reject-window", group: group, field: "RejectWindow", value: number(&c.RejectWindow),
			usage: "How many of a table's last rows --reject-percent is of. A change that refuses everything makes dead letters of no more than --reject-percent of so many.",
		},
		{
			name: "retry-max", group: group, field: "RetryMax", value: duration(&c.RetryMax),
			usage: "The longest pause between two attempts at anything. The shortest is 100 ms.",
		},
		{
			name: "schema-reload-interval", group: group, field: "ReloadInterval", value: duration(&c.ReloadInterval),
			usage: "How often the sink looks which columns exist. backfill --settle-for must be longer than two of these.",
		},
	}
}

func (j *sinkJob) processSettings() settings {
	const group = "Process"
	c := &j.cfg
	return settings{
		{
			name: "admin-addr", group: group, field: "AdminAddr", value: listen(&c.AdminAddr),
			usage: "The listener of /healthz, /readyz and /metrics. Not for the public.",
		},
		pprofSetting(&j.pprof),
		{
			name: "session-timeout", group: group, field: "SessionTimeout", value: duration(&c.SessionTimeout),
			usage: "How long Kafka waits for a lost sink before others take its partitions. Kafka's least is 6 s.",
		},
		{
			name: "heartbeat-interval", group: group, field: "HeartbeatInterval", value: duration(&c.HeartbeatInterval),
			usage: "How often the sink tells Kafka that it lives, and so the time in which it notices that the group changes. At most a third of --session-timeout.",
		},
		{
			name: "handover-timeout", group: group, field: "HandoverTimeout", value: duration(&c.HandoverTimeout),
			usage: "How long a sink may go on inserting when the group changes. At most half of --session-timeout.",
		},
		{
			name: "shutdown-timeout", group: group, field: "ShutdownTimeout", value: duration(&c.ShutdownTimeout),
			usage: "On a stop: how long the last batch may take. Below the time until something kills the process (Kubernetes: 30 s), with some seconds for leaving the group.",
		},
	}
}

// sinkConns is how many connections the sink uses at a time: two inserts, the ledger's of the batch before, a schema reload,
// a look at a partition's ledger, and the pings of a probe and a scrape.
const sinkConns = 7

// sinkGC makes the collector run when the heap has grown by this share, in per cent. What a batch is typed into is large and
// lives for a second: Go's own 100 let 473 MiB come together where 60 makes it 382, for 3 % more CPU (make bench
// ARGS="sink --rounds 1", once each). GOGC, where it is set, wins.
const sinkGC = 60

func (j *sinkJob) prepare(log zerolog.Logger) (func(context.Context) error, error) {
	dialer, kafkaErr := j.kafka.dialer("leadhouse-sink")
	conn, clickhouseErr := j.clickhouse.open("sink", sinkConns)
	registry := newRegistry()
	j.cfg.Brokers, j.cfg.Dialer = j.kafka.brokers, dialer
	j.cfg.ClickHouse = conn
	j.cfg.Registerer, j.cfg.Gatherer = registry, registry
	j.cfg.Pprof = profiles(j.pprof)
	j.cfg.Logger = log
	s, err := sink.New(j.cfg)
	if err = errors.Join(kafkaErr, clickhouseErr, err); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(sinkGC)
		}
		starting(log, j.kafka.risk(), j.clickhouse.risk())
		return errors.Join(s.Run(ctx), conn.Close())
	}, nil
}
