package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	const password, apiKey = "open-sesame-4Tq8", "ldr_sandbox_sk_a1b2c3d4e5f6g7h8i9j0"
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
	said := map[string]string{
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

// arguments are what the process list shows of a program.
func arguments(t *testing.T, program *local.Program) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", program.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
