package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/schema"
)

// TestSecrecy runs the whole way with a secret of every kind, over TLS and with a login where there is one, and looks for
// the secrets in the process list, in the logs at their loudest, and in what the listeners say.
func TestSecrecy(t *testing.T) {
	t.Parallel()
	const apiKey = "ldr_sandbox_sk_a1b2c3d4e5f6g7h8i9j0"
	leadron, err := local.StartLeadron(local.LeadronConfig{Catalog: schema.BuiltinCatalog(), APIKeys: []string{apiKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(leadron.Stop)
	k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "leadhouse", password), kfake.TLS(testCertificate(t).serverConfig()),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	login, err := scram.Mechanism(scram.SHA512, "leadhouse", password)
	if err != nil {
		t.Fatal(err)
	}
	p := newPipelineOn(t, k.Brokers(), &kafka.Transport{TLS: testCertificate(t).clientConfig(), SASL: login})
	cert, key := filepath.Join(p.dir, "cert.pem"), filepath.Join(p.dir, "key.pem")
	testCertificate(t).write(t, cert, key)
	passwordFile := filepath.Join(p.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(password+"\n"), 0o644); err != nil { // to be warned about
		t.Fatal(err)
	}
	p.env = []string{
		"LEADHOUSE_KAFKA_TLS=true", "LEADHOUSE_KAFKA_TLS_CA=" + cert,
		"LEADHOUSE_KAFKA_SASL=scram-sha-512", "LEADHOUSE_KAFKA_USERNAME=leadhouse",
	}

	sink := p.start("sink", "--admin-addr", p.sinkAdmin, "--kafka-password-file", passwordFile, "--batch-age", "100ms")
	p.env = append(p.env, "LEADHOUSE_KAFKA_PASSWORD="+password+"\n") // as from a Kubernetes Secret made of a file
	ingest := p.startIngest()
	p.awaitReady(sink, p.sinkAdmin)
	for _, body := range exampleBodies(t) {
		if status := p.post(body, local.Sign(secret, body)); status != http.StatusAccepted {
			t.Fatalf("POST gave %d, want 202", status)
		}
		p.post(body, local.Sign("not-the-secret-at-all", body))
	}
	p.awaitDrained()
	p.env = append(p.env, "LEADHOUSE_LEADRON_API_KEY="+apiKey, "LEADHOUSE_LEADRON_API_URL="+leadron.URL())
	backfill, check := p.start("backfill", "--settle-for", "100ms"), p.start("check")
	for _, program := range []*local.Program{backfill, check} {
		if err := program.Err(); err != nil {
			t.Fatalf("%v\n%s", err, logOf(t, program))
		}
	}

	_, ingestMetrics := get(t, "http://"+p.ingestAdmin+"/metrics")
	_, sinkMetrics := get(t, "http://"+p.sinkAdmin+"/metrics")
	_, ingestReady := get(t, "http://"+p.ingestAdmin+"/readyz")
	_, sinkReady := get(t, "http://"+p.sinkAdmin+"/readyz")
	said := map[string]string{
		"ingest's readiness": ingestReady, "sink's readiness": sinkReady,
		"ingest's arguments": arguments(t, ingest), "sink's arguments": arguments(t, sink),
		"ingest's log": logOf(t, ingest), "sink's log": logOf(t, sink), "backfill's log": logOf(t, backfill), "check's output": logOf(t, check),
		"ingest's metrics": ingestMetrics, "sink's metrics": sinkMetrics,
	}
	signature := local.Sign(secret, exampleBodies(t)[0])
	for where, text := range said {
		if text == "" {
			t.Errorf("%s: nothing there to look at", where)
		}
		for what, hidden := range map[string]string{
			"the webhook secret": secret, "the Kafka password": password, "the API key": apiKey, "a signature": signature, "a payload": "jane@acme.com",
		} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s: %s is in it:\n%s", where, what, tail(text, 2000))
			}
		}
	}
	for _, admin := range []string{p.ingestAdmin, p.sinkAdmin} { // what net/http/pprof would add shows the command line and memory
		if status, _ := get(t, "http://"+admin+"/debug/pprof/cmdline"); status != http.StatusNotFound {
			t.Errorf("%s/debug/pprof/cmdline: got %d, want 404", admin, status)
		}
	}
	if want := "every user of this machine can read the file"; !strings.Contains(said["sink's log"], want) {
		t.Errorf("sink's log does not warn that %s", want)
	}
	for _, metric := range []string{"leadhouse_build_info{", "go_goroutines", "process_resident_memory_bytes", "leadhouse_sink_"} {
		if !strings.Contains(sinkMetrics, metric) {
			t.Errorf("sink's metrics lack %s", metric)
		}
	}
	for _, metric := range []string{"leadhouse_build_info{", "go_goroutines", "process_resident_memory_bytes", "leadhouse_ingest_"} {
		if !strings.Contains(ingestMetrics, metric) {
			t.Errorf("ingest's metrics lack %s", metric)
		}
	}
}

// TestSecrecyOfErrors gives every command secrets that are wrong in every way, and looks for them in what it says.
func TestSecrecyOfErrors(t *testing.T) {
	t.Parallel()
	const hidden = "dOnT-sHoW-tHiS-9x8y7z"
	leadron, err := local.StartLeadron(local.LeadronConfig{Catalog: schema.BuiltinCatalog(), APIKeys: []string{"another"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(leadron.Stop)
	k, err := local.StartKfake(local.KfakeConfig{Options: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "leadhouse", "another")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Stop)
	config := filepath.Join(t.TempDir(), "leadhouse.yaml")
	if err := os.WriteFile(config, []byte("kafka-password: "+hidden+"\nsink:\n  clickhouse-password: "+hidden+"\nwebhook-secrets: main="+hidden+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	brokers := []string{"LEADHOUSE_KAFKA_BROKERS=" + k.Brokers()[0], "LEADHOUSE_CLICKHOUSE_ADDR=127.0.0.1:1", "LEADHOUSE_WEBHOOK_SECRETS=main=" + secret}
	login := append(slices.Clone(brokers), "LEADHOUSE_KAFKA_SASL=scram-sha-512", "LEADHOUSE_KAFKA_USERNAME=leadhouse", "LEADHOUSE_KAFKA_PASSWORD="+hidden)
	api := []string{"LEADHOUSE_LEADRON_API_URL=" + leadron.URL(), "LEADHOUSE_LEADRON_API_KEY=" + hidden, "LEADHOUSE_CLICKHOUSE_ADDR=127.0.0.1:1"}
	for name, c := range map[string]struct {
		env  []string
		args []string
	}{
		"a login that Kafka refuses, ingest":       {login, []string{"ingest", "--listen", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--start-timeout", "1s"}},
		"a login that Kafka refuses, sink":         {login, []string{"sink", "--admin-addr", "127.0.0.1:0"}},
		"a login that Kafka refuses, check":        {append(login, "LEADHOUSE_CLICKHOUSE_PASSWORD="+hidden), []string{"check"}},
		"a key that the API refuses":               {api, []string{"backfill", "--plan"}},
		"a password for a ClickHouse that is away": {[]string{"LEADHOUSE_CLICKHOUSE_ADDR=127.0.0.1:1", "LEADHOUSE_CLICKHOUSE_PASSWORD=" + hidden}, []string{"backfill", "--catalog", "builtin", "--plan"}},
		"a short secret beside it":                 {append(brokers, "LEADHOUSE_WEBHOOK_SECRETS=main="+hidden+",next=short"), []string{"ingest"}},
		"a secret without an ID":                   {append(brokers, "LEADHOUSE_WEBHOOK_SECRETS="+hidden), []string{"ingest"}},
		"a secret as a path":                       {append(brokers, "LEADHOUSE_WEBHOOK_SECRETS=", "LEADHOUSE_WEBHOOK_SECRET_FILE="+hidden), []string{"ingest"}},
		"a secret in the file, ingest":             {brokers, []string{"ingest", "--config", config}},
		"a secret in the file, sink":               {brokers, []string{"sink", "--config", config}},
		"a secret as a flag":                       {brokers, []string{"sink", "--kafka-password", hidden}},
		"a secret as a flag, with =":               {brokers, []string{"sink", "--kafka-password=" + hidden}},
		"a secret as a word":                       {brokers, []string{"sink", hidden}},
		"a secret in the brokers":                  {append(brokers, "LEADHOUSE_KAFKA_BROKERS=leadhouse:"+hidden+"@kafka:9092"), []string{"sink"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := local.StartProgram(local.ProgramConfig{
				Path: binary(t), Args: c.args, Env: append(append(os.Environ(), "LEADHOUSE_LOG_LEVEL=debug", "LEADHOUSE_LOG_FORMAT=json"), c.env...),
				LogFile: filepath.Join(t.TempDir(), "log"),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer program.Kill()
			awaitTold(t, program)
			if out := logOf(t, program); strings.Contains(out, hidden) {
				t.Errorf("the secret is in it:\n%s", out)
			}
		})
	}
}

// awaitTold waits until a program has ended with an error, or says that it tries again.
func awaitTold(t *testing.T, program *local.Program) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		select {
		case <-program.Gone():
			if program.ExitCode() == 0 || logOf(t, program) == "" {
				t.Fatalf("it ended with code %d, want a failure that is told:\n%s", program.ExitCode(), logOf(t, program))
			}
			return
		case <-deadline:
			t.Fatalf("it goes on:\n%s", logOf(t, program))
		case <-tick.C:
			if strings.Contains(logOf(t, program), "trying again") {
				return
			}
		}
	}
}

// arguments are what the process list shows of a program.
func arguments(t *testing.T, program *local.Program) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", program.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
