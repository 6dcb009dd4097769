package ingest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leadhouse/leadhouse/deploy/local"
	"github.com/leadhouse/leadhouse/ingest"
)

const other = "Wq81mPz0LdYx7Kt2"

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func secretFile(path string) func(*ingest.Config) {
	return func(c *ingest.Config) { c.Secrets, c.SecretFile = nil, path }
}

func (h *harness) signedWith(secret, body string) int {
	return h.send(body, "X-Leadron-Signature: "+signWith(secret, body)).status
}

func TestSecretFileIsReadAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets")
	write(t, file, "old="+secret+"\n")
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), secretFile(file))
	body := event("evt_1", "ld_1")
	if got := h.signedWith(other, body); got != 401 {
		t.Errorf("new secret before the change: got %d, want 401", got)
	}
	write(t, file, "old="+secret+"\nnew="+other+"\n")
	h.verified[body] = true
	h.until("new secret in use", func() bool { return h.signedWith(other, body) == 202 })
	if got := h.signedWith(secret, body); got != 202 {
		t.Errorf("old secret while both are there: got %d, want 202", got)
	}
	write(t, file, "new="+other+"\n")
	h.until("old secret refused", func() bool { return h.signedWith(secret, body) == 401 })
	if got := h.signedWith(other, body); got != 202 {
		t.Errorf("new secret: got %d, want 202", got)
	}
	ids := map[string]bool{}
	for _, r := range h.check() {
		ids[r.headers["signature-secret-id"]] = true
	}
	if !ids["old"] || !ids["new"] {
		t.Errorf("secret IDs in the records: got %v, want old and new", ids)
	}
	if n := h.metric(`leadhouse_ingest_reloads_total{file="secrets",result="ok"}`); n != 2 {
		t.Errorf("reloads: got %v, want 2", n)
	}
}

func TestBadSecretFileKeepsTheOldSecretsAndSaysSo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets")
	write(t, file, "a="+secret+"\n")
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), secretFile(file))
	body := event("evt_1", "ld_1")
	bad := `leadhouse_ingest_reloads_total{file="secrets",result="bad"}`
	var told float64
	for _, text := range []string{"", "a=short\n", "# nothing\n", "a=changemechangeme\n", other + "\n"} {
		write(t, file, text)
		told++
		h.until("told", func() bool { return h.metric(bad) == told })
		if got := h.signedWith(secret, body); got != 202 {
			t.Errorf("with %q in the file: got %d, want 202", text, got)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	write(t, file+"~", "b="+other+"\n")
	if got := h.signedWith(secret, body); got != 202 {
		t.Errorf("without the file: got %d, want 202", got)
	}
	if err := os.Rename(file+"~", file); err != nil {
		t.Fatal(err)
	}
	h.verified[body] = true
	h.until("good one in use", func() bool { return h.signedWith(other, body) == 202 })
	if log := h.logs.String(); !strings.Contains(log, "the old content stays in use") || strings.Contains(log, other) {
		t.Errorf("log: want a line, and no content:\n%s", log)
	}
	h.check()
}

// Kubernetes mounts a secret as file -> ..data/file with ..data -> ..<time>, and swaps the middle link.
func TestSecretFileBehindSwappedSymlinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mount := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "secrets"), text)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", "a="+secret+"\n")
	file := filepath.Join(dir, "secrets")
	if err := os.Symlink(filepath.Join("..data", "secrets"), file); err != nil {
		t.Fatal(err)
	}
	h := start(t, startKafka(t, local.KfakeConfig{}, 1, nil), secretFile(file))
	body := event("evt_1", "ld_1")
	h.verified[body] = true
	if got := h.signedWith(secret, body); got != 202 {
		t.Errorf("before: got %d, want 202", got)
	}
	mount("..2", "a="+other+"\n")
	h.until("new secret in use", func() bool { return h.signedWith(other, body) == 202 })
	h.check()
}

// A file may be read while it is being written, and half a secret file is a valid one.
func TestHalfWrittenFileIsNotTaken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	bad := errors.New("bad")
	var inUse []string
	load, look := ingest.Watch(file, func(content string) error {
		if content == "bad" {
			return bad
		}
		inUse = append(inUse, content)
		return nil
	})
	write(t, file, "a")
	if err := load(); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		content string
		want    error
	}{
		{"a", ingest.ErrSame},
		{"a b", ingest.ErrSame}, // half of what follows
		{"a b c", ingest.ErrSame},
		{"a b c", nil},
		{"a b c", ingest.ErrSame},
		{"bad", ingest.ErrSame},
		{"bad", bad},
		{"bad", ingest.ErrSame}, // said once
		{"a b c", ingest.ErrSame},
		{"a b c", nil},
		{"", ingest.ErrSame}, // truncated, and written again
		{"a b c", ingest.ErrSame},
		{"a b c", ingest.ErrSame},
	} {
		write(t, file, step.content)
		if got := look(); !errors.Is(got, step.want) {
			t.Errorf("look %d, at %q: got %v, want %v", i, step.content, got, step.want)
		}
	}
	if got := strings.Join(inUse, "|"); got != "a|a b c|a b c" {
		t.Errorf("in use: got %s", got)
	}
}

func TestUnusableFilesRefuseToStart(t *testing.T) {
	t.Parallel()
	k := startKafka(t, local.KfakeConfig{}, 1, nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "short"), "a=short\n")
	write(t, filepath.Join(dir, "cert"), "no certificate")
	for name, edit := range map[string]func(*ingest.Config){
		"absent secrets": secretFile(filepath.Join(dir, "absent")),
		"short secret":   secretFile(filepath.Join(dir, "short")),
		"bad certificate": func(c *ingest.Config) {
			c.TLSCertFile, c.TLSKeyFile = filepath.Join(dir, "cert"), filepath.Join(dir, "cert")
		},
	} {
		cfg, transport := config(t, k.Brokers())
		edit(&cfg)
		server, err := ingest.New(cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := server.Run(t.Context()); err == nil {
			t.Errorf("%s: Run returned no error", name)
		}
		transport.CloseIdleConnections()
		if _, err := net.Dial("tcp", cfg.Listener.Addr().String()); err == nil {
			t.Errorf("%s: the listener is still open", name)
		}
	}
}

// certificate writes a self-signed one, and returns it.
func certificate(t *testing.T, certFile, keyFile, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTLSListenerAndCertificateReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, certFile, keyFile, "first"))
	h := launch(t, startKafka(t, local.KfakeConfig{}, 1, nil), nil, func(c *ingest.Config) { c.TLSCertFile, c.TLSKeyFile = certFile, keyFile })
	transport := h.client.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.DisableKeepAlives = true // a connection keeps its certificate
	h.until("ready", func() bool { return h.get(h.admin+"/readyz") == 200 })

	served := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(h.url, path), "https://"), &tls.Config{
			RootCAs: roots, NextProtos: []string{"h2", "http/1.1"},
		})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			t.Errorf("protocol: got %q, want http/1.1", p)
		}
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Errorf("served: got %s, want first", got)
	}
	wantStatus(t, h.deliver(event("evt_1", "ld_1")), 202)

	// A certificate without its key: the old pair stays.
	certificate(t, certFile, filepath.Join(dir, "elsewhere"), "orphan")
	h.until("told", func() bool { return h.metric(`leadhouse_ingest_reloads_total{file="certificate",result="bad"}`) >= 1 })
	if got := served(); got != "first" {
		t.Errorf("served with a bad pair in the files: got %s, want first", got)
	}

	roots.AddCert(certificate(t, certFile, keyFile, "second"))
	h.until("second served", func() bool { return served() == "second" })
	wantStatus(t, h.deliver(event("evt_2", "ld_1")), 202)
	if got := h.metric("leadhouse_ingest_certificate_not_after_timestamp_seconds"); got < float64(time.Now().Unix()) {
		t.Errorf("certificate's end: got %v, want an hour from now", got)
	}
	h.check()
}
