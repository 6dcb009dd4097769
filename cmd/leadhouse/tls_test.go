package main_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadhouse/leadhouse/deploy/local"
)

const password = "open-sesame-4Tq8"

// TestTLS is the whole way over TLS on both sides, each with a client certificate, and with a login at Kafka: every
// command, as it runs in production. What each then says to a listener that it must not trust is TestTLSRefused.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "authority")
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{
				kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "leadhouse", password), kfake.TLS(ca.mutual()),
				kfake.Superuser("PLAIN", "test", password),
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(k.Stop)
			testSecured(t, ca, k.Brokers(), ca.transport(), mechanism)
		})
	}
}

// transport is the test's own way to a Kafka that wants a client certificate and a login.
func (a *authority) transport() *kafka.Transport {
	a.t.Helper()
	pair, err := tls.LoadX509KeyPair(a.client())
	if err != nil {
		a.t.Fatal(err)
	}
	return &kafka.Transport{
		TLS:  &tls.Config{RootCAs: a.pool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		SASL: plain.Mechanism{Username: "test", Password: password},
	}
}

// testSecured runs deliveries through ingest and sink, and the other commands, over TLS to both engines.
func testSecured(t *testing.T, ca *authority, brokers []string, transport *kafka.Transport, mechanism string) {
	p := newPipelineOn(t, brokers, transport)
	front, err := local.StartTerminator(p.clickhouse.Addr(), ca.mutual())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Stop)
	p.env = ca.environment("leadhouse", password, mechanism)
	clickhouse := []string{"--clickhouse-addr", front.Addr()}

	p.carry(300, clickhouse...)

	plan := p.start("backfill", append(clickhouse, "--plan", "--catalog", "builtin")...)
	if err := plan.Err(); err != nil {
		t.Errorf("backfill: %v\n%s", err, logOf(t, plan))
	}
	check := p.start("check", append(clickhouse, "--only", "kafka", "--only", "clickhouse")...)
	if err := check.Err(); err != nil {
		t.Errorf("check: %v", err)
	}
	said := logOf(t, check)
	for _, want := range []string{", TLS, " + mechanism + " as leadhouse", ", TLS, as default", "✓ kafka group", "✓ warehouse"} {
		if !strings.Contains(said, want) {
			t.Errorf("check does not say %q:\n%s", want, said)
		}
	}
	if refused := front.Refused(); len(refused) > 0 {
		t.Errorf("handshakes failed: %v", refused)
	}
}

// carry sends deliveries through ingest and a sink with these flags, and checks every promise.
func (p *pipeline) carry(deliveries int, sinkFlags ...string) {
	p.t.Helper()
	sink := p.startSink(sinkFlags...)
	p.startIngest() // creates the topic
	p.awaitReady(sink, p.sinkAdmin)
	sender, sent := p.load(local.SenderConfig{Duplicates: 0.05, Forged: 0.02, Rate: 1000}, deliveries)
	if err := <-sent; err != nil {
		p.t.Fatal(err)
	}
	p.awaitDrained()
	p.awaitCommitted()
	p.check(sender.Journal())
	p.checkAllSent(sender, deliveries)
}

// environment is how a container is told of TLS on both sides and of a login at Kafka.
func (a *authority) environment(user, password, mechanism string) []string {
	certFile, keyFile := a.client()
	env := []string{"LEADHOUSE_KAFKA_SASL=" + mechanism, "LEADHOUSE_KAFKA_USERNAME=" + user, "LEADHOUSE_KAFKA_PASSWORD=" + password}
	for _, engine := range []string{"KAFKA", "CLICKHOUSE"} {
		env = append(env, "LEADHOUSE_"+engine+"_TLS=true", "LEADHOUSE_"+engine+"_TLS_CA="+a.file,
			"LEADHOUSE_"+engine+"_TLS_CERT="+certFile, "LEADHOUSE_"+engine+"_TLS_KEY="+keyFile)
	}
	return env
}

// TestTLSRefused is what each command says to a listener that it must not trust, or that does not trust it: an error that
// names the way out, at once, and no secret in it. A sink whose ClickHouse is so never joins its group.
func TestTLSRefused(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t, "authority"), newAuthority(t, "stranger")
	strangersCert, strangersKey := stranger.client()
	for name, test := range map[string]struct {
		listener  *tls.Config
		cert, key string // the client's
		want      string // in the daemons' words
		advice    string // with the setting: PREFIX stands for kafka or clickhouse
	}{
		"unknown authority":               {stranger.server().serverConfig(), "", "", "set the CA file", "--PREFIX-tls-ca"},
		"expired":                         {ca.expired().serverConfig(), "", "", "needs a new certificate", "needs a new certificate"},
		"another host":                    {ca.elsewhere().serverConfig(), "", "", "is for another name", "--PREFIX-tls-server-name"},
		"no client certificate":           {ca.mutual(), "", "", "asks for a client certificate", "--PREFIX-tls-cert"},
		"a stranger's client certificate": {ca.mutual(), strangersCert, strangersKey, "asks for a client certificate", "--PREFIX-tls-cert"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front, err := local.StartTerminator(local.Shared(t).Addr(), test.listener)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(front.Stop)
			flags := func(prefix string) []string {
				return []string{"--" + prefix + "-tls", "--" + prefix + "-tls-ca", ca.file, "--" + prefix + "-tls-cert", test.cert, "--" + prefix + "-tls-key", test.key}
			}
			onKafka := append(flags("kafka"), "--kafka-brokers", startTLSKafka(t, test.listener))
			onClickhouse := append(flags("clickhouse"), "--clickhouse-addr", front.Addr())
			advice := func(prefix string) string { return strings.ReplaceAll(test.advice, "PREFIX", prefix) }

			r := refusal{t: t}
			r.says(test.want, "ingest", onKafka...)
			r.says(test.want, "sink", append(onKafka, "--clickhouse-addr", "127.0.0.1:1")...)
			r.says(test.want, "sink", append(onClickhouse, "--kafka-brokers", startTLSKafka(t, nil))...)
			r.says(advice("clickhouse"), "backfill", append(onClickhouse, "--catalog", "builtin")...)
			r.says(advice("kafka"), "check", onKafka...)
			r.says(advice("clickhouse"), "check", onClickhouse...)
		})
	}
}

// TestTLSWrongPassword is a login refused within TLS.
func TestTLSWrongPassword(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "authority")
	k := startTLSKafka(t, ca.server().serverConfig(), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "leadhouse", password))
	// A server of its own: the embedded one ends when a login fails.
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	front, err := local.StartTerminator(ch.Addr(), ca.server().serverConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Stop)
	onKafka := []string{"--kafka-tls", "--kafka-tls-ca", ca.file, "--kafka-brokers", k, "--kafka-sasl", "scram-sha-512", "--kafka-username", "leadhouse"}
	r := refusal{t, []string{"LEADHOUSE_KAFKA_PASSWORD=" + wrongPassword}}
	// kfake closes the connection; what a real Kafka says is TestKafkaTLS's.
	r.says("check the TLS and SASL settings", "ingest", append(onKafka, "--start-timeout", "1s")...)
	r.says("look at the password", "check", onKafka...)

	onClickhouse := []string{"--clickhouse-tls", "--clickhouse-tls-ca", ca.file, "--clickhouse-addr", front.Addr(), "--clickhouse-username", "nobody"}
	r = refusal{t, []string{"LEADHOUSE_CLICKHOUSE_PASSWORD=" + wrongPassword}}
	for command, test := range map[string]struct {
		flags []string
		want  string
	}{
		"sink":     {[]string{"--kafka-brokers", startTLSKafka(t, nil)}, "Authentication failed"},
		"backfill": {[]string{"--catalog", "builtin"}, "Authentication failed"},
		"check":    {nil, "refuses the user or the password"},
	} {
		if err := ch.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.says(test.want, command, slices.Concat(onClickhouse, test.flags)...)
	}
}

const wrongPassword = "hunter2-9Rb3"

// startTLSKafka is the address of a Kafka with the topic; nil: without TLS.
func startTLSKafka(t *testing.T, config *tls.Config, opts ...kfake.Opt) string {
	t.Helper()
	if config != nil {
		opts = append(opts, kfake.TLS(config))
	}
	k, err := local.StartKfake(local.KfakeConfig{Options: opts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	if err := k.CreateTopic(topicName, 1, map[string]string{"max.message.bytes": "2000000"}); err != nil {
		t.Fatal(err)
	}
	return k.Brokers()[0]
}

// refusal runs commands that are to fail.
type refusal struct {
	t   *testing.T
	env []string
}

// says runs a command and wants it to end by itself with exit code 1, the words, and no secret.
func (r refusal) says(want, command string, flags ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(r.t), append([]string{command}, flags...)...)
	cmd.Env = slices.Concat(os.Environ(), r.env, []string{"LEADHOUSE_LOG_LEVEL=debug", "LEADHOUSE_LOG_FORMAT=json"})
	switch command {
	case "ingest":
		cmd.Env = append(cmd.Env, "LEADHOUSE_WEBHOOK_SECRETS=main="+secret, "LEADHOUSE_LISTEN="+freeAddr(r.t), "LEADHOUSE_ADMIN_ADDR="+freeAddr(r.t))
	case "sink":
		cmd.Env = append(cmd.Env, "LEADHOUSE_ADMIN_ADDR="+freeAddr(r.t))
	}
	out, err := cmd.CombinedOutput()
	said := strings.Join(strings.Fields(string(out)), " ") // check breaks lines
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		r.t.Errorf("%s: %v, want exit code 1; it says %s", command, err, said)
	}
	if !strings.Contains(said, want) {
		r.t.Errorf("%s does not say %q but %s", command, want, said)
	}
	for _, hidden := range []string{secret, password, wrongPassword} {
		if strings.Contains(said, hidden) {
			r.t.Errorf("%s shows a secret: %s", command, said)
		}
	}
}

// TestTLSCertificateExpires: ClickHouse comes back with a certificate that has expired. A sink that runs keeps what it has,
// commits nothing, and says in readiness what is wrong; with a good certificate everything goes in.
func TestTLSCertificateExpires(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "authority")
	good, expired := ca.server().serverConfig(), ca.expired().serverConfig()
	var current atomic.Pointer[tls.Config]
	current.Store(good)
	ch, err := local.StartClickHouse(t.Context(), local.ClickHouseConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ch.Stop)
	front, err := local.StartTerminator(ch.Addr(), &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return current.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Stop)
	k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{kfake.GroupMinSessionTimeout(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	p := newPipelineWith(t, ch, k.Brokers(), &kafka.Transport{})
	p.session = shortSession
	onClickhouse := []string{"--clickhouse-tls", "--clickhouse-tls-ca", ca.file, "--clickhouse-addr", front.Addr(), "--retry-max", "500ms"}
	p.carry(300, onClickhouse...)

	ch.Kill() // cuts the connections that are there
	current.Store(expired)
	if err := ch.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := p.committed()
	sender, sent := p.load(local.SenderConfig{Rate: 1000}, 600)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	p.await("readiness names the certificate", func() (bool, string) {
		status, body := get(t, "http://"+p.sinkAdmin+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"part":"insert"`) && strings.Contains(body, "needs a new certificate"), body
	})
	for partition, offset := range p.committed() {
		if offset != before[partition] {
			t.Errorf("partition %d: committed %d, and %d before", partition, offset, before[partition])
		}
	}
	current.Store(good)
	p.awaitDrained()
	p.awaitCommitted()
	p.check(sender.Journal())
}
