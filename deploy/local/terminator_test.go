package local_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/leadhouse/leadhouse/deploy/local"
)

func TestTerminatorSpeaksTLSForClickHouse(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil) // for its certificate of 127.0.0.1
	defer server.Close()
	front, err := local.StartTerminator(local.Shared(t).Addr(), &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer front.Stop()
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	for name, roots := range map[string]*x509.CertPool{"known": known, "unknown": x509.NewCertPool()} {
		conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{front.Addr()}, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(t.Context()); (err == nil) != (name == "known") {
			t.Errorf("%s authority: %v", name, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "one handshake has failed on this side too", func() bool { return len(front.Refused()) == 1 })
}
