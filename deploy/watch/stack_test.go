//go:build deploy

package watch_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"iter"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
)

// patience is how long a condition may take to come true: far above what it takes on a busy machine, so that running into
// it is a finding.
const patience = 2 * time.Minute

const secret = "rX7pL2mQ9vT4wZ8kB3nH"

// A stack is the real processes, ingest twice (the second with TLS), and a real Prometheus that scrapes them and a real
// ClickHouse with this folder's files.
type stack struct {
	*testing.T
	dir        string
	binary     string
	env        []string
	kafka      *local.Kfake
	clickhouse *local.ClickHouse

	ingest, ingestAdmin, tls, tlsAdmin, sinkAdmin, prometheus string
}

// clickhouseXML is ClickHouse's own endpoint for Prometheus, on its HTTP port: the embedded server opens no other.
const clickhouseXML = `<http_handlers><rule><url>/metrics</url><methods>GET</methods><handler><type>prometheus</type>
<metrics>true</metrics><events>true</events><asynchronous_metrics>true</asynchronous_metrics></handler></rule><defaults/></http_handlers>`

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{T: t, dir: t.TempDir()}
	for _, addr := range []*string{&s.ingest, &s.ingestAdmin, &s.tls, &s.tlsAdmin, &s.sinkAdmin, &s.prometheus} {
		port, err := local.Port(0, "leadhouse", func(string) {})
		s.fatal(err)
		*addr = "127.0.0.1:" + strconv.Itoa(port)
	}
	s.build()
	var err error
	s.kafka, err = local.StartKfake(local.KfakeConfig{})
	s.fatal(err)
	t.Cleanup(s.kafka.Stop)
	s.clickhouse, err = local.StartClickHouse(t.Context(), local.ClickHouseConfig{ServerXML: clickhouseXML})
	s.fatal(err)
	t.Cleanup(s.clickhouse.Stop)
	s.startPipeline()
	s.startPrometheus()
	return s
}

func (s *stack) fatal(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *stack) build() {
	s.Helper()
	s.binary = filepath.Join(s.dir, "leadhouse")
	cmd := exec.CommandContext(s.Context(), "go", "build", "-o", s.binary, "../../cmd/leadhouse")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("build: %v\n%s", err, out)
	}
}

func (s *stack) startPipeline() {
	s.Helper()
	s.env = append(os.Environ(),
		"LEADHOUSE_KAFKA_BROKERS="+strings.Join(s.kafka.Brokers(), ","), "LEADHOUSE_CLICKHOUSE_ADDR="+s.clickhouse.Addr(),
		"LEADHOUSE_WEBHOOK_SECRETS=main="+secret, "LEADHOUSE_KAFKA_CREATE_TOPIC=true", "LEADHOUSE_KAFKA_TOPIC_PARTITIONS=3", "LEADHOUSE_LOG_FORMAT=json")
	s.fatal(s.start("backfill", "--catalog", "builtin", "--settle-for", "100ms").Err())
	s.start("ingest", "--listen", s.ingest, "--admin-addr", s.ingestAdmin, "--drain-delay", "0")
	cert, key := s.certificate()
	s.start("ingest", "--listen", s.tls, "--admin-addr", s.tlsAdmin, "--drain-delay", "0", "--tls-cert", cert, "--tls-key", key)
	s.start("sink", "--admin-addr", s.sinkAdmin)
	for _, admin := range []string{s.ingestAdmin, s.tlsAdmin, s.sinkAdmin} {
		s.await("readiness of "+admin, func() (bool, string) {
			status, body := s.get("http://" + admin + "/readyz")
			return status == http.StatusOK, body
		})
	}
}

func (s *stack) start(command string, flags ...string) *local.Program {
	s.Helper()
	p, err := local.StartProgram(local.ProgramConfig{
		Path: s.binary, Args: append([]string{command}, flags...), Env: s.env, LogFile: filepath.Join(s.dir, command+".log"),
	})
	s.fatal(err)
	s.Cleanup(func() {
		p.Stop()
		s.show(command, p)
	})
	return p
}

func (s *stack) show(what string, p *local.Program) {
	if text, err := p.Log(); s.Failed() && err == nil {
		s.Logf("the log of %s:\n%s", what, text[max(0, len(text)-4000):])
	}
}

// certificate is one for 90 days, as ACME's are.
func (s *stack) certificate() (cert, key string) {
	s.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.fatal(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(90 * 24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	s.fatal(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	s.fatal(err)
	cert, key = filepath.Join(s.dir, "cert.pem"), filepath.Join(s.dir, "key.pem")
	s.fatal(os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	s.fatal(os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return cert, key
}

// startPrometheus starts Debian's with prometheus.yml, of which only the targets and the pace are others.
func (s *stack) startPrometheus() {
	s.Helper()
	text, err := os.ReadFile("prometheus/prometheus.yml")
	s.fatal(err)
	config := string(text)
	for from, to := range map[string]string{
		"[ingest:9090]": "[" + s.ingestAdmin + ", " + s.tlsAdmin + "]", "[sink:9091]": "[" + s.sinkAdmin + "]",
		"[clickhouse:9363]": "[" + s.clickhouse.HTTPAddr() + "]", "scrape_interval: 15s": "scrape_interval: 1s",
		"evaluation_interval: 15s": "evaluation_interval: 1s", "scrape_timeout: 10s": "scrape_timeout: 1s",
	} {
		if strings.Count(config, from) != 1 {
			s.Fatalf("prometheus.yml has %s %d times", from, strings.Count(config, from))
		}
		config = strings.Replace(config, from, to, 1)
	}
	file := filepath.Join(s.dir, "prometheus.yml")
	s.fatal(os.WriteFile(file, []byte(config), 0o600))
	for _, rules := range matching(s.T, "prometheus/*.rules.yml") {
		text, err := os.ReadFile(rules)
		s.fatal(err)
		s.fatal(os.WriteFile(filepath.Join(s.dir, filepath.Base(rules)), text, 0o600))
	}
	p, err := local.StartProgram(local.ProgramConfig{
		Path: debian(s.T, "prometheus"), LogFile: filepath.Join(s.dir, "prometheus.log"),
		Args: []string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(s.dir, "tsdb"), "--web.listen-address=" + s.prometheus},
	})
	s.fatal(err)
	s.Cleanup(func() {
		p.Stop()
		s.show("prometheus", p)
	})
	// Samples enough for a rate, and every rule looked at more than once.
	s.await("Prometheus has scraped everything", func() (bool, string) {
		n := len(s.query("count_over_time(up[1m]) > 5"))
		return n == 4, strconv.Itoa(n) + " of 4 targets"
	})
}

// await polls a condition until it holds; state says what there is instead.
func (s *stack) await(what string, holds func() (ok bool, state string)) {
	s.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, state := holds()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("%s: not within %v; %s", what, patience, state)
		}
	}
}

func (s *stack) get(url string) (status int, body string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	s.fatal(err)
	req.Close = true
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

// A sample is a series of an instant query's answer.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

// api asks Prometheus; a query that it does not understand is an error.
func (s *stack) api(path string, into any) error {
	status, body := s.get("http://" + s.prometheus + "/api/v1/" + path)
	var answer struct {
		Error string
		Data  json.RawMessage
	}
	if status == 0 || json.Unmarshal([]byte(body), &answer) != nil {
		return fmt.Errorf("no answer: %s", body)
	}
	if answer.Error != "" {
		return fmt.Errorf("%d: %s", status, answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

func (s *stack) ask(expr string) ([]sample, error) {
	var data struct{ Result []sample }
	err := s.api("query?query="+url.QueryEscape(expr), &data)
	return data.Result, err
}

// query is ask for where Prometheus may still be starting.
func (s *stack) query(expr string) []sample {
	result, _ := s.ask(expr)
	return result
}

// traffic is deliveries of every kind over a quarter of a minute, for rates, until all of them are in ClickHouse.
func (s *stack) traffic() {
	s.Helper()
	journal := s.send(slices.Values(slices.AppendSeq(local.Malformed(9), local.Journeys{Seed: 1, Events: 1500}.All())))
	s.await("every delivery is in ClickHouse", func() (bool, string) {
		n, err := s.clickhouse.Query(s.Context(), "SELECT count() FROM leadron.deliveries FINAL")
		s.fatal(err)
		got, err := strconv.Atoi(n)
		s.fatal(err)
		return got >= journal.Accepted(), n
	})
}

func (s *stack) send(deliveries iter.Seq[local.Delivery]) *local.Journal {
	s.Helper()
	sender, err := local.NewSender(local.SenderConfig{
		URL: "http://" + s.ingest + "/webhooks/leadron", Secret: secret, Rate: 100, Duplicates: .05, Forged: .02,
	})
	s.fatal(err)
	s.fatal(sender.Run(s.Context(), deliveries))
	return sender.Journal()
}
