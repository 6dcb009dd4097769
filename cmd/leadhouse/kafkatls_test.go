//go:build kafka

package main_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestKafkaTLS is TestTLS and TestTLSRefused on a real Kafka's own listeners: its TLS is Java's, and its answers to a
// wrong login are its own.
func TestKafkaTLS(t *testing.T) {
	ca, stranger := newAuthority(t, "authority"), newAuthority(t, "stranger")
	good, expired, login := freeAddr(t), freeAddr(t), freeAddr(t)
	k := startApache(t, local.ApacheConfig{
		Listeners: []string{"SSL://" + good, "SASL_SSL://" + login, "EXPIRED://" + expired},
		Properties: slices.Concat(
			[]string{
				"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,EXPIRED:SSL",
				"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "group.min.session.timeout.ms=1000",
				`listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_leadhouse="` + password + `";`,
				`listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;`,
				`listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;`,
			},
			ca.keystore("ssl", ca.server(), "required"), ca.keystore("sasl_ssl", ca.server(), "none"), ca.keystore("expired", ca.expired(), "none"),
		),
		Format: []string{
			"--add-scram", "SCRAM-SHA-256=[name=leadhouse,password=" + password + "]",
			"--add-scram", "SCRAM-SHA-512=[name=leadhouse,password=" + password + "]",
		},
	})
	clientCert, clientKey := ca.client()
	for name, test := range map[string]struct {
		addr string
		env  []string
	}{
		"TLS with a client certificate": {good, []string{"LEADHOUSE_KAFKA_TLS_CERT=" + clientCert, "LEADHOUSE_KAFKA_TLS_KEY=" + clientKey}},
		"PLAIN":                         {login, loginAs("plain", password)},
		"SCRAM-SHA-256":                 {login, loginAs("scram-sha-256", password)},
		"SCRAM-SHA-512":                 {login, loginAs("scram-sha-512", password)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { deleteTopic(t, k.Brokers()) }) // once the processes are gone
			p := newPipelineOn(t, []string{test.addr}, &kafka.Transport{})
			p.client.Addr = kafka.TCP(k.Brokers()...) // the test itself asks without TLS
			p.env = append(test.env, "LEADHOUSE_KAFKA_TLS=true", "LEADHOUSE_KAFKA_TLS_CA="+ca.file)
			p.session = shortSession
			p.carry(300)
		})
	}

	if err := k.CreateTopic(topicName, 1, map[string]string{"max.message.bytes": "2000000"}); err != nil {
		t.Fatal(err)
	}
	tls := func(authority, addr string, more ...string) []string {
		return append([]string{"--kafka-tls", "--kafka-tls-ca", authority, "--kafka-brokers", addr}, more...)
	}
	strangersCert, strangersKey := stranger.client()
	user := []string{"--kafka-username", "leadhouse"}
	for name, test := range map[string]struct {
		flags []string
		env   []string
		want  string // in the daemons' words
		check string
	}{
		"unknown authority":               {tls(stranger.file, login), nil, "set the CA file", "--kafka-tls-ca"},
		"expired":                         {tls(ca.file, expired), nil, "needs a new certificate", "needs a new certificate"},
		"another host":                    {tls(ca.file, good, "--kafka-tls-server-name", "kafka.example"), nil, "is for another name", "--kafka-tls-server-name"},
		"no client certificate":           {tls(ca.file, good), nil, "asks for a client certificate", "--kafka-tls-cert"},
		"a stranger's client certificate": {tls(ca.file, good, "--kafka-tls-cert", strangersCert, "--kafka-tls-key", strangersKey), nil, "asks for a client certificate", "--kafka-tls-cert"},
		"PLAIN, wrong password":           {tls(ca.file, login, user...), loginAs("plain", wrongPassword), "does not accept the SASL user and password", "refuses the user or the password"},
		"SCRAM-SHA-256, wrong password":   {tls(ca.file, login, user...), loginAs("scram-sha-256", wrongPassword), "does not accept the SASL user and password", "refuses the user or the password"},
		"SCRAM-SHA-512, wrong password":   {tls(ca.file, login, user...), loginAs("scram-sha-512", wrongPassword), "does not accept the SASL user and password", "refuses the user or the password"},
	} {
		t.Run(name, func(t *testing.T) {
			r := refusal{t, test.env}
			r.says(test.want, "ingest", append(test.flags, "--start-timeout", "1m")...)
			r.says(test.want, "sink", append(test.flags, "--clickhouse-addr", "127.0.0.1:1")...)
			r.says(test.check, "check", test.flags...)
		})
	}
}

// deleteTopic also takes away what groups have committed of the topic.
func deleteTopic(t *testing.T, brokers []string) {
	t.Helper()
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(brokers...), Transport: transport}
	answer, err := client.DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{topicName}})
	if err == nil {
		err = answer.Errors[topicName]
	}
	if err != nil {
		t.Errorf("delete the topic: %v", err)
	}
}

func loginAs(mechanism, password string) []string {
	return []string{"LEADHOUSE_KAFKA_SASL=" + mechanism, "LEADHOUSE_KAFKA_USERNAME=leadhouse", "LEADHOUSE_KAFKA_PASSWORD=" + password}
}

// keystore are a listener's properties: its certificate, and whether it asks clients for one of the same authority.
func (a *authority) keystore(listener string, c *certificate, clients string) []string {
	prefix := "listener.name." + listener + ".ssl."
	return []string{
		prefix + "keystore.type=PEM", prefix + "keystore.location=" + a.write(strings.ToLower(listener)+"-server.pem", c.key, c.cert),
		prefix + "truststore.type=PEM", prefix + "truststore.location=" + a.file,
		prefix + "client.auth=" + clients,
	}
}
