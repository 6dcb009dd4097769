package ingest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/ingest"
)

func TestEveryWrongFieldIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := ingest.New(ingest.Config{
		Path: "webhooks", TLSCertFile: "only.crt", Brokers: []string{"noport"}, MaxBody: -1, MaxInFlight: -1, MaxInFlightBytes: 1,
		MaxConns: -1, HeaderTimeout: -1, AckTimeout: time.Minute, DrainDelay: -1, ReloadInterval: -1,
		Scheme: ingest.Scheme{Header: "no good", Algorithm: "md5", Encoding: "rot13", Prefix: strings.Repeat("x", 65)},
		Topic:  ingest.Topic{Name: "a/b", Partitions: -1, Retention: time.Second},
	})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, field := range []string{
		"Path", "TLSCertFile", "Secrets", "Brokers", "Transport", "MaxBody", "MaxInFlight:", "MaxInFlightBytes", "MaxConns",
		"HeaderTimeout", "ProduceTimeout", "DrainDelay", "ReloadInterval",
		"Scheme.Header", "Scheme.Algorithm", "Scheme.Encoding", "Scheme.Prefix", "Topic.Name", "Topic.Partitions", "Topic.Retention",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("error does not name %s:\n%v", field, err)
		}
	}
}

// Without a secret anybody could write to the warehouse: that refuses to boot, as does one that anybody could guess.
func TestNoSecretRefusesToBoot(t *testing.T) {
	t.Parallel()
	for name, secrets := range map[string][]ingest.Secret{
		"none":        nil,
		"zero":        {{}},
		"short":       {ingest.NewSecret("a", "fifteen-bytes-x")},
		"placeholder": {ingest.NewSecret("a", "changemechangeme")},
		"one of two":  {ingest.NewSecret("a", secret), ingest.NewSecret("b", strings.Repeat(" ", 20))},
	} {
		cfg, _ := config(t, []string{"127.0.0.1:1"})
		cfg.Listener.Close()
		cfg.AdminListener.Close()
		cfg.Secrets = secrets
		if _, err := ingest.New(cfg); err == nil || !strings.Contains(err.Error(), "Secrets") {
			t.Errorf("%s: got %v, want a refusal of Secrets", name, err)
		}
	}
}
