//go:build kafka

package main_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// TestKafkaPipeline is the way from HTTP to SELECT, with processes killed on it, on a real Apache Kafka.
func TestKafkaPipeline(t *testing.T) {
	k := startApache(t, local.ApacheConfig{Properties: []string{"group.min.session.timeout.ms=1000"}})
	p := newPipelineOn(t, k.Brokers(), &kafka.Transport{})
	p.session = shortSession
	p.testKills(t)
}

// TestKafkaCheck is what check says to the errors of a real broker.
func TestKafkaCheck(t *testing.T) {
	login := freeAddr(t)
	k := startApache(t, local.ApacheConfig{
		Listeners: []string{"SASL_PLAINTEXT://" + login},
		Properties: []string{
			"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256",
			`listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_leadhouse="open-sesame";`,
			`listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;`,
		},
		Format: []string{"--add-scram", "SCRAM-SHA-256=[name=leadhouse,password=open-sesame]"},
	})
	if err := k.CreateTopic(topicName, 1, map[string]string{"max.message.bytes": "2000000"}); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		addr, password string
		flags          []string
		want           string
	}{
		"no login":                    {addr: k.Brokers()[0], want: "✓ kafka group"},
		"plain":                       {login, "open-sesame", []string{"--kafka-sasl", "plain"}, "✓ kafka group"},
		"plain, wrong password":       {login, "hunter2", []string{"--kafka-sasl", "plain"}, "refuses the user or the password"},
		"scram":                       {login, "open-sesame", []string{"--kafka-sasl", "scram-sha-256"}, "✓ kafka group"},
		"scram, wrong password":       {login, "hunter2", []string{"--kafka-sasl", "scram-sha-256"}, "refuses the user or the password"},
		"another mechanism":           {login, "open-sesame", []string{"--kafka-sasl", "scram-sha-512"}, "offers other mechanisms"},
		"a login where there is none": {k.Brokers()[0], "open-sesame", []string{"--kafka-sasl", "plain"}, "This listener has no login"},
		"no login where there is one": {addr: login, want: "closed the connection"},
		"TLS where there is none":     {addr: login, flags: []string{"--kafka-tls"}, want: "✗ kafka "},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"check", "--only", "kafka", "--kafka-brokers", test.addr}, test.flags...)
			if test.password != "" {
				args = append(args, "--kafka-username", "leadhouse")
			}
			cmd := exec.CommandContext(t.Context(), binary(t), args...)
			cmd.Env = append(os.Environ(), "LEADHOUSE_KAFKA_PASSWORD="+test.password)
			out, _ := cmd.CombinedOutput() // the exit code is what the lines say
			if !strings.Contains(string(out), test.want) {
				t.Errorf("want %q in\n%s", test.want, out)
			}
		})
	}
}

func startApache(t *testing.T, cfg local.ApacheConfig) *local.Apache {
	t.Helper()
	cfg.Progress = func(line string) { t.Log(line) }
	k, err := local.StartApache(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	return k
}
