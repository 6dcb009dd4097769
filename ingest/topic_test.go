package ingest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

// settings are a topic's, as another client sees them.
func settings(t *testing.T, h *harness) map[string]string {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(h.kafka.Brokers()...), Transport: h.kept, Timeout: patience}
	response, err := client.DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range response.Resources[0].ConfigEntries {
		got[e.ConfigName] = e.ConfigValue
	}
	var m *kafka.MetadataResponse
	until(t, "found the topic", func() bool {
		m, err = client.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
		return err == nil
	})
	got["partitions"] = fmt.Sprint(len(m.Topics[0].Partitions))
	got["replicas"] = fmt.Sprint(len(m.Topics[0].Partitions[0].Replicas))
	return got
}

func TestAbsentTopicIsCreatedAsItShouldBe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		brokers, maxBody int
		want             map[string]string
	}{
		{1, 1 << 20, map[string]string{"replicas": "1", "min.insync.replicas": "1", "max.message.bytes": "1049600"}},
		{2, 1000, map[string]string{"replicas": "2", "min.insync.replicas": "1", "max.message.bytes": "1048588"}},
		{3, 5 << 20, map[string]string{"replicas": "3", "min.insync.replicas": "2", "max.message.bytes": "5243904"}},
		{4, 1 << 20, map[string]string{"replicas": "3", "min.insync.replicas": "2", "max.message.bytes": "1049600"}},
	} {
		t.Run(fmt.Sprint(c.brokers, " brokers"), func(t *testing.T) {
			t.Parallel()
			k := startKafka(t, local.KfakeConfig{Nodes: c.brokers}, 0, nil)
			h := start(t, k, func(cfg *ingest.Config) { cfg.Topic.Create, cfg.Topic.Partitions, cfg.MaxBody = true, 5, c.maxBody })
			c.want["partitions"], c.want["cleanup.policy"], c.want["retention.ms"] = "5", "delete", "1209600000"
			got := settings(t, h)
			for name, want := range c.want {
				if got[name] != want {
					t.Errorf("%s: got %q, want %q", name, got[name], want)
				}
			}
			if deserves := c.brokers >= 3; strings.Contains(h.logs.String(), `"warn"`) == deserves {
				t.Errorf("a warning about replicas: got the opposite:\n%s", h.logs)
			}
			wantStatus(t, h.deliver(event("evt_1", "ld_1")), 202)
			largest := event("evt_2", "ld_1")
			largest += strings.Repeat(" ", c.maxBody-len(largest))
			wantStatus(t, h.deliver(largest), 202)
			h.check()
		})
	}
}

// Several instances start at once on an empty cluster.
func TestTopicCreatedByAnotherInstanceMeanwhile(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 0, nil)
	var all []*harness
	for range 3 {
		all = append(all, launch(t, k, nil, func(c *ingest.Config) { c.Topic.Create = true }))
	}
	for _, h := range all {
		h.until("ready", func() bool { return h.get(h.admin+"/readyz") == 200 })
		wantStatus(t, h.deliver(event("evt_1", "ld_1")), 202)
	}
}

// runError starts a server that must refuse, and returns why.
func runError(t *testing.T, k broker, edit func(*ingest.Config)) error {
	t.Helper()
	cfg, transport := config(t, k.Brokers())
	edit(&cfg)
	server, err := ingest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Run(t.Context()) }()
	defer transport.CloseIdleConnections()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("it started, or still waits")
		return nil
	}
}

func TestStartIsRefusedWithAClearReason(t *testing.T) {
	t.Parallel()
	user := func(c *ingest.Config) {
		c.Transport.(*kafka.Transport).SASL = plain.Mechanism{Username: "u", Password: "wrong-8vM2qXz7"}
	}
	quick := func(c *ingest.Config) { c.StartTimeout = 300 * time.Millisecond }
	for _, c := range []struct {
		name       string
		partitions int
		configs    map[string]string
		opts       []kfake.Opt
		fault      *kfake.Fault
		edit       func(*ingest.Config)
		want       []string
	}{
		{"absent, not to be created", 0, nil, nil, nil, nil, []string{"leadron.events", "does not exist"}},
		{"compacted", 1, map[string]string{"cleanup.policy": "compact"}, nil, nil, nil, []string{"cleanup.policy", "compact", "must be delete"}},
		{"compacted and deleted", 1, map[string]string{"cleanup.policy": "compact,delete"}, nil, nil, nil, []string{"cleanup.policy"}},
		{"too small for the body limit", 1, map[string]string{"max.message.bytes": "1048588"}, nil, nil, nil, []string{"max.message.bytes=1048588", "1048576", "1049600"}},
		{"wrong password", 1, nil, []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right")}, nil, func(c *ingest.Config) { user(c); quick(c) }, []string{"check the TLS and SASL settings"}},
		{"no SASL where it is wanted", 1, nil, []kfake.Opt{kfake.EnableSASL()}, nil, quick, []string{"check the TLS and SASL settings"}},
		{"no right to see the settings", 1, nil, nil, &kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1}, nil, []string{"settings of topic", "DescribeConfigs"}},
		{"no right to create", 0, nil, nil, &kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.ClusterAuthorizationFailed, Count: -1}, func(c *ingest.Config) { c.Topic.Create = true }, []string{"create topic", "grant Create"}},
		{"refused by a policy", 0, nil, nil, &kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Count: -1}, func(c *ingest.Config) { c.Topic.Create = true }, []string{"create topic", "Policy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := startKafka(t, local.KfakeConfig{Options: c.opts}, c.partitions, c.configs)
			if c.fault != nil {
				k.Cluster().Fault(*c.fault)
			}
			err := runError(t, k, func(cfg *ingest.Config) {
				if c.edit != nil {
					c.edit(cfg)
				}
			})
			if err == nil {
				t.Fatal("Run returned no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "wrong-8vM2qXz7") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestKafkaAwayAtStartIsWaitedForThenRefused(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{DataDir: t.TempDir()}, 1, nil)
	k.Stop()
	err := runError(t, k, func(c *ingest.Config) { c.StartTimeout = 200 * time.Millisecond })
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v, want the refused connection", err)
	}
	h := launch(t, k, nil)
	h.until("waiting", func() bool { return strings.Contains(h.logs.String(), "does not answer yet") })
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), 503)
	if err := k.Reopen(); err != nil {
		t.Fatal(err)
	}
	h.until("ready", func() bool { return h.get(h.admin+"/readyz") == 200 })
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), 202)
	h.check()
}

func TestCheckCreatesNothingAndNamesEverything(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 0, nil)
	check := func(edit func(*ingest.Config)) error {
		cfg, transport := config(t, k.Brokers())
		defer transport.CloseIdleConnections()
		defer cfg.Listener.Close()
		defer cfg.AdminListener.Close()
		edit(&cfg)
		server, err := ingest.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return server.Check(t.Context())
	}
	if err := check(func(c *ingest.Config) { c.Topic.Create = true }); err != nil {
		t.Errorf("a topic that Run creates: got %v, want no error", err)
	}
	err := check(func(c *ingest.Config) { secretFile("/absent/secrets")(c) })
	for _, want := range []string{"/absent/secrets", "does not exist"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if err := k.CreateTopic(topic, 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	if err := check(func(*ingest.Config) {}); err == nil || !strings.Contains(err.Error(), "compact") {
		t.Errorf("compacted: got %v", err)
	}
}

func TestReadinessAsksTheBrokersLive(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{Nodes: 2}, 4, nil)
	for p := range int32(4) {
		if err := k.Cluster().MoveTopicPartition(topic, p, p%2); err != nil {
			t.Fatal(err)
		}
	}
	h := start(t, k)
	// One broker without an answer is not the end: the others' partitions still work.
	one := k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Nodes: []int32{0}, Err: kerr.LeaderNotAvailable, Count: -1})
	h.until("asked", func() bool { return h.get(h.admin+"/readyz") == 200 && one.Hits() > 0 })
	all := k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.LeaderNotAvailable, Count: -1})
	h.until("not ready", func() bool { return h.get(h.admin+"/readyz") == 503 })
	all.Remove()
	h.until("ready", func() bool { return h.get(h.admin+"/readyz") == 200 })
	k.Stop()
	h.until("not ready with Kafka gone", func() bool { return h.get(h.admin+"/readyz") == 503 })
	if got := h.get(h.admin + "/healthz"); got != 200 {
		t.Errorf("healthz with Kafka gone: got %d, want 200", got)
	}
}

func TestManyReadinessProbesAreOneQuestion(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	h := start(t, k)
	asked := k.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Observe: true, Count: -1})
	begin := time.Now()
	for range 100 {
		h.get(h.admin + "/readyz")
	}
	if most := int(time.Since(begin)/time.Second) + 1; asked.Hits() > most {
		t.Errorf("questions for 100 probes: got %d, want at most %d", asked.Hits(), most)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("x: %w", io.EOF), "TLS and SASL"},
		{fmt.Errorf("x: %w", io.ErrUnexpectedEOF), "TLS and SASL"},
		{errors.New("unexpected EOF: broker appears to be expecting TLS"), "TLS and SASL"},
		{fmt.Errorf("x: %w", kafka.IllegalSASLState), "does not speak SASL"},
		{fmt.Errorf("x: %w", kafka.UnsupportedSASLMechanism), "mechanism"},
		{kafka.TopicAuthorizationFailed, "ACL"},
		{fmt.Errorf("%w: Invalid username or password", kafka.SASLAuthenticationFailed), "user and password"}, // kfake closes instead
	} {
		got := ingest.Explain(c.err)
		if !strings.Contains(got.Error(), c.want) || !errors.Is(got, c.err) {
			t.Errorf("%v: got %v, want it with %q", c.err, got, c.want)
		}
	}
	plain := &net.OpError{Op: "dial", Err: errors.New("refused")}
	if got := ingest.Explain(plain); !errors.Is(got, plain) || got.Error() != plain.Error() {
		t.Errorf("got %v, want it as it was", got)
	}
	if ingest.Explain(nil) != nil {
		t.Error("nil became an error")
	}
}
