package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// kafkaSettings are how to reach Kafka.
type kafkaSettings struct {
	brokers            []string
	tls                tlsSettings
	mechanism          string
	username, password string
	passwordFile       string
}

const (
	saslNone   = "none"
	saslPlain  = "plain"
	saslSHA256 = "scram-sha-256"
	saslSHA512 = "scram-sha-512"
)

func newKafkaSettings() *kafkaSettings {
	return &kafkaSettings{tls: tlsSettings{prefix: "kafka"}, mechanism: saslNone}
}

func (k *kafkaSettings) settings(required bool) settings {
	const group = "Kafka"
	ss := settings{{
		name: "kafka-brokers", group: group, field: "Brokers", required: required, value: addresses(&k.brokers, "kafka-1:9092,kafka-2:9092"),
		usage: "Brokers to find the cluster by; one that answers is enough.",
	}}
	ss = append(ss, k.tls.settings(group, "Kafka")...)
	return append(
		ss,
		&setting{
			name: "kafka-sasl", group: group, value: oneOf(&k.mechanism, saslNone, saslPlain, saslSHA256, saslSHA512),
			usage: "How to log in. plain shows the password to whoever reads the line: use it with TLS.",
		},
		&setting{
			name: "kafka-username", group: group, value: text(&k.username, "NAME"),
			usage: "The SASL user. Ingest needs the rights Describe, DescribeConfigs and Write on the topic, and Create where it is to create it; sink needs Describe, DescribeConfigs and Read on the topic, and Read on the group.",
		},
		&setting{
			name: "kafka-password-file", group: group, value: file(&k.passwordFile),
			usage:  "File with the SASL password; a line end at its end does not count.",
			secret: &secret{name: "kafka-password", what: "the password", use: into(&k.password)},
		},
	)
}

// sasl is nil when there is no login.
func (k *kafkaSettings) sasl() (sasl.Mechanism, error) {
	if k.mechanism == saslNone {
		if k.username+k.password != "" {
			return nil, errors.New("--kafka-sasl is none, but there is a user or a password: say which mechanism, or take them out")
		}
		return nil, nil //nolint:nilnil // how kafka-go says "no SASL"
	}
	var errs []error
	if k.username == "" {
		errs = append(errs, fmt.Errorf("--kafka-username (or %s) is required with --kafka-sasl %s", variable("kafka-username"), k.mechanism))
	}
	if k.password == "" {
		errs = append(errs, fmt.Errorf("--kafka-password-file (or %s) is required with --kafka-sasl %s", variable("kafka-password"), k.mechanism))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	switch k.mechanism {
	case saslPlain:
		return plain.Mechanism{Username: k.username, Password: k.password}, nil
	case saslSHA256:
		return scramMechanism(scram.SHA256, k)
	default:
		return scramMechanism(scram.SHA512, k)
	}
}

// risk says that the password can be read on the line, if it can.
func (k *kafkaSettings) risk() string {
	if k.mechanism == saslPlain && !k.tls.on && !allLoopback(k.brokers) {
		return "--kafka-sasl plain without --kafka-tls: whoever reads the line reads the password"
	}
	return ""
}

func scramMechanism(algorithm scram.Algorithm, k *kafkaSettings) (sasl.Mechanism, error) {
	m, err := scram.Mechanism(algorithm, k.username, k.password)
	if err != nil {
		// Not the library's words: they may repeat what they object to.
		return nil, errors.New("the Kafka user or password has characters that SCRAM forbids (RFC 4013)")
	}
	return m, nil
}

// security is TLS and SASL, each nil when off.
func (k *kafkaSettings) security() (*tls.Config, sasl.Mechanism, error) {
	config, tlsErr := k.tls.config()
	mechanism, saslErr := k.sasl()
	return config, mechanism, errors.Join(tlsErr, saslErr)
}

const (
	// kafkaDialTimeout covers TCP, TLS and SASL to one broker.
	kafkaDialTimeout = 5 * time.Second

	// metadataTTL is how long a moved leader stays unknown. kafka-go uses it as the time-out of its metadata requests too,
	// so a slow broker forbids much less.
	metadataTTL = time.Second

	// kafkaIdleTimeout is below the brokers' own (connections.max.idle.ms, 10 minutes) and below what load balancers allow.
	kafkaIdleTimeout = time.Minute
)

// transport is for kafka.Client. Its metadata is that of one topic: kafka-go's default is all of them, once a second.
func (k *kafkaSettings) transport(clientID, topic string) (*kafka.Transport, error) {
	config, mechanism, err := k.security()
	return &kafka.Transport{
		Dial:           (&net.Dialer{Timeout: kafkaDialTimeout}).DialContext,
		DialTimeout:    kafkaDialTimeout,
		IdleTimeout:    kafkaIdleTimeout,
		MetadataTTL:    metadataTTL,
		MetadataTopics: []string{topic},
		ClientID:       clientID,
		TLS:            config,
		SASL:           mechanism,
	}, err
}

// dialer is for the consumer group and the fetches. Nothing here ends a SASL exchange with a broker that says nothing:
// package sink puts deadlines of its own on every connection (sink/dial.go).
func (k *kafkaSettings) dialer(clientID string) (*kafka.Dialer, error) {
	config, mechanism, err := k.security()
	return &kafka.Dialer{
		ClientID:      clientID,
		Timeout:       kafkaDialTimeout,
		DualStack:     true,
		TLS:           config,
		SASLMechanism: mechanism,
	}, err
}

// topicName is Kafka's rule.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// topicSetting is the topic's name, which three commands share.
func topicSetting(dst *string, field string) *setting {
	return &setting{
		name: "kafka-topic", group: "Kafka topic", field: field, value: name(dst, topicName, "a topic's name: letters, digits, '.', '_' and '-', at most 249"),
		usage: "The topic that carries the deliveries.",
	}
}
