package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/rs/zerolog"

	"github.com/leadhouse/leadhouse/ingest"
)

// leadhouse ingest
//
//	main ─ signal ctx ─▶ Server.Run ─┬─ public listener ── a goroutine a connection ─▶ queue of a partition
//	                                 ├─ admin listener: /healthz /readyz /metrics           │
//	                                 ├─ secret and certificate files, re-read               │
//	                                 ├─ start ─▶ follow the topic ─▶ drain                  │
//	                                 └─ a worker a partition: one Produce in flight ◀───────┘
//
// All of them are Server.Run's (ingest/server.go), which returns when the last has ended. The client's own goroutines, which
// poll metadata, end with its idle connections.
type ingestJob struct {
	cfg   ingest.Config
	kafka *kafkaSettings
	pprof bool
}

func newIngest() *command {
	j := &ingestJob{cfg: ingest.Defaults(), kafka: newKafkaSettings()}
	j.cfg.Scheme.Prefix = "" // follows from the algorithm, which may yet change
	c := &command{
		name:     "ingest",
		usage:    "take Leadron's webhooks and write them to Kafka",
		manual:   ingestManual,
		examples: ingestExamples,
		exits: `0   stopped by SIGINT or SIGTERM, and every delivery in flight was answered
1   it could not start (the topic, a port), a listener failed, or the drain took too long
64  the command line or the configuration is wrong: nothing was dialled, and a restart will not help`,
		settings: j.settings(),
		prepare:  j.prepare,
	}
	return c.withCommon()
}

const ingestManual = `Answers POST /webhooks/leadron. A delivery gets 202 only after Kafka has acknowledged it with acks=all; what is not signed with one of the secrets gets 401; when Kafka cannot take it, 503 with Retry-After, and Leadron sends it again.
Readiness is GET /readyz on the admin listener, liveness GET /healthz, metrics GET /metrics. On SIGTERM readiness fails, deliveries are still taken for a while, then those in flight are finished. A second signal kills at once.
Any number of instances may run side by side.`

const ingestExamples = `# one secret, in a variable; one broker without TLS; the topic is made at the first start
export LEADHOUSE_WEBHOOK_SECRETS="main=$(cat leadron-secret)"
leadhouse ingest --kafka-brokers kafka:9092 --kafka-create-topic

# a broker with TLS and a login, secrets from files
leadhouse ingest --kafka-brokers kafka:9093 --kafka-tls --kafka-sasl scram-sha-512 --kafka-username leadhouse \
  --kafka-password-file /run/secrets/kafka --webhook-secret-file /run/secrets/webhook`

func (j *ingestJob) settings() settings {
	ss := j.webhookSettings()
	ss = append(ss, j.limitSettings()...)
	ss = append(ss, j.kafka.settings(true)...)
	ss = append(ss, j.topicSettings()...)
	return append(ss, j.processSettings()...)
}

func (j *ingestJob) webhookSettings() settings {
	const group = "Webhooks"
	c := &j.cfg
	return settings{
		{
			name: "listen", group: group, field: "Addr", value: listen(&c.Addr),
			usage: "The public listener, for deliveries alone.",
		},
		{
			name: "path", group: group, field: "Path", value: text(&c.Path, "PATH"),
			usage: "Where deliveries are posted.",
		},
		{
			name: "webhook-secret-file", group: group, field: "Secrets", required: true, value: file(&c.SecretFile),
			usage:  "File with one id=value a line; re-read when it changes, so that a secret can be rotated without a restart. Several count at once. The ID is a name of your choice, for logs and metrics; the value is the secret as Leadron shows it, at least 16 bytes.",
			secret: &secret{name: "webhook-secrets", what: "the secrets", form: ", as id=value,id=value", use: j.takeSecrets},
		},
		{
			name: "signature-header", group: group, field: "Scheme.Header", value: text(&c.Scheme.Header, "NAME"),
			usage: "The header that has the signature.",
		},
		{
			name: "signature-algorithm", group: group, field: "Scheme.Algorithm", value: oneOf(&c.Scheme.Algorithm, "sha256", "sha384", "sha512"),
			usage: "The hash of the HMAC over the body.",
		},
		{
			name: "signature-encoding", group: group, field: "Scheme.Encoding", value: oneOf(&c.Scheme.Encoding, "hex", "base64"),
			usage: "How the signature is written: hex is lower case.",
		},
		{
			name: "signature-prefix", group: group, field: "Scheme.Prefix", value: text(&c.Scheme.Prefix, "TEXT"),
			usage: "What may stand before the signature, and need not. By default the algorithm and an equals sign: sha256=",
		},
		{
			name: "tls-cert", group: group, field: "TLSCertFile", value: file(&c.TLSCertFile), isFile: true,
			usage: "PEM file with the certificate chain of the public listener; re-read when it changes. Without it the listener speaks plain HTTP, for a proxy that ends TLS.",
		},
		{
			name: "tls-key", group: group, field: "TLSKeyFile", value: file(&c.TLSKeyFile), isFile: true,
			usage: "PEM file with the certificate's key.",
		},
	}
}

func (j *ingestJob) limitSettings() settings {
	const group = "Limits"
	c := &j.cfg
	return settings{
		{
			name: "max-body", group: group, field: "MaxBody", value: size(&c.MaxBody),
			usage: "The largest body; a larger one gets 413. The topic's max.message.bytes must have room for it.",
		},
		{
			name: "max-in-flight", group: group, field: "MaxInFlight", value: number(&c.MaxInFlight),
			usage: "Deliveries in work at a time; more get 503.",
		},
		{
			name: "max-in-flight-bytes", group: group, field: "MaxInFlightBytes", value: size(&c.MaxInFlightBytes),
			usage: "Bytes of bodies in work at a time; more get 503. It bounds the memory that anybody can make this process use.",
		},
		{
			name: "max-connections", group: group, field: "MaxConns", value: number(&c.MaxConns),
			usage: "Open connections on the public listener; more are closed.",
		},
		{
			name: "header-timeout", group: group, field: "HeaderTimeout", value: duration(&c.HeaderTimeout),
			usage: "How long a request's header may take.",
		},
		{
			name: "read-timeout", group: group, field: "ReadTimeout", value: duration(&c.ReadTimeout),
			usage: "How long a whole request may take; a slower one gets 408.",
		},
		{
			name: "idle-timeout", group: group, field: "IdleTimeout", value: duration(&c.IdleTimeout),
			usage: "How long a connection may be without a request. Let it be longer than that of the proxy before it.",
		},
		{
			name: "ack-timeout", group: group, field: "AckTimeout", value: duration(&c.AckTimeout),
			usage: "How long a delivery waits for Kafka before it gets 503.",
		},
		{
			name: "produce-timeout", group: group, field: "ProduceTimeout", value: duration(&c.ProduceTimeout),
			usage: "How long one write to Kafka may take. Longer than --ack-timeout: a write that was given up may have happened.",
		},
	}
}

func (j *ingestJob) topicSettings() settings {
	const group = "Kafka topic"
	t := &j.cfg.Topic
	return settings{
		topicSetting(&t.Name, "Topic.Name"),
		{
			name: "kafka-create-topic", group: group, field: "Topic.Create", value: toggle(&t.Create),
			usage: "Create the topic when there is none: cleanup.policy=delete, and where there are 3 brokers 3 replicas and min.insync.replicas=2.",
		},
		{
			name: "kafka-topic-partitions", group: group, field: "Topic.Partitions", value: number(&t.Partitions),
			usage: "Partitions of a topic that is created. As many sinks can share the work; later changes move keys.",
		},
		{
			name: "kafka-topic-replicas", group: group, field: "Topic.Replicas", value: number(&t.Replicas),
			usage: "Replicas of a topic that is created; no more than there are brokers.",
		},
		{
			name: "kafka-topic-retention", group: group, field: "Topic.Retention", value: duration(&t.Retention),
			usage: "How long a topic that is created keeps records: how long ClickHouse may be away.",
		},
	}
}

func (j *ingestJob) processSettings() settings {
	const group = "Process"
	c := &j.cfg
	return settings{
		{
			name: "admin-addr", group: group, field: "AdminAddr", value: listen(&c.AdminAddr),
			usage: "The listener of /healthz, /readyz and /metrics. Not for the public.",
		},
		pprofSetting(&j.pprof),
		{
			name: "start-timeout", group: group, field: "StartTimeout", value: duration(&c.StartTimeout),
			usage: "How long Kafka may be away at the start.",
		},
		{
			name: "drain-delay", group: group, field: "DrainDelay", value: delay(&c.DrainDelay),
			usage: "On a stop: how long deliveries are still taken after readiness fails, so that load balancers look elsewhere.",
		},
		{
			name: "drain-timeout", group: group, field: "DrainTimeout", value: duration(&c.DrainTimeout),
			usage: "On a stop: how long deliveries in flight may take after that. The two together must be below the time until something kills the process (Kubernetes: 30 s).",
		},
		{
			name: "file-reload-interval", group: group, field: "ReloadInterval", value: duration(&c.ReloadInterval),
			usage: "How often the secret and certificate files are looked at.",
		},
	}
}

// takeSecrets has the secrets of the variable, or the content of the file. A file's are only checked here: package ingest
// reads it itself, again and again.
func (j *ingestJob) takeSecrets(content string) (err error) {
	if j.cfg.SecretFile != "" {
		_, err = ingest.ParseSecretFile([]byte(content))
		return err
	}
	j.cfg.Secrets, err = ingest.ParseSecrets(content)
	return err
}

// checkCertificate reads the listener's certificate once, so that what is wrong with it is said with everything else.
func (j *ingestJob) checkCertificate() error {
	if j.cfg.TLSCertFile == "" || j.cfg.TLSKeyFile == "" {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(j.cfg.TLSCertFile, j.cfg.TLSKeyFile); err != nil {
		return fmt.Errorf("TLSCertFile, TLSKeyFile: %w", err)
	}
	return nil
}

func (j *ingestJob) prepare(log zerolog.Logger) (func(context.Context) error, error) {
	transport, kafkaErr := j.kafka.transport("leadhouse-ingest", j.cfg.Topic.Name)
	j.cfg.Brokers, j.cfg.Transport = j.kafka.brokers, transport
	j.cfg.Registry = newRegistry()
	j.cfg.Pprof = profiles(j.pprof)
	j.cfg.Logger = log
	server, err := ingest.New(j.cfg)
	if err = errors.Join(kafkaErr, j.checkCertificate(), err); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		defer transport.CloseIdleConnections()
		starting(log, j.kafka.risk())
		return server.Run(ctx)
	}, nil
}
