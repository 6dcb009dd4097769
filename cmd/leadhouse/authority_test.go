package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for the listeners and clients of one test.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM of the certificate: what --…-tls-ca takes
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := template(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	made := a.sign(template, nil)
	block, _ := pem.Decode(made.cert)
	var err error
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	a.file = a.write(name+".pem", made.cert)
	return a
}

// server is a certificate for 127.0.0.1.
func (a *authority) server() *certificate {
	c := template("server")
	c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return a.sign(c, a.cert)
}

// expired is one that was for 127.0.0.1 until an hour ago.
func (a *authority) expired() *certificate {
	c := template("server")
	c.IPAddresses, c.NotBefore, c.NotAfter = []net.IP{net.IPv4(127, 0, 0, 1)}, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
	return a.sign(c, a.cert)
}

// elsewhere is one for another host.
func (a *authority) elsewhere() *certificate {
	c := template("server")
	c.DNSNames = []string{"engine.example"}
	return a.sign(c, a.cert)
}

// client is one to show to a server that asks: its files.
func (a *authority) client() (certFile, keyFile string) {
	c := template("leadhouse")
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	made := a.sign(c, a.cert)
	return a.write("client.pem", made.cert), a.write("client-key.pem", made.key)
}

// pool is for a server that wants clients of this authority.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// mutual is a server's configuration that asks for a client certificate of this authority.
func (a *authority) mutual() *tls.Config {
	config := a.server().serverConfig()
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, a.pool()
	return config
}

func (a *authority) write(name string, content ...[]byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	var all []byte
	for _, c := range content {
		all = append(all, c...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

// sign makes a certificate under a parent; nil: under itself, and then its key is the authority's.
func (a *authority) sign(c, parent *x509.Certificate) *certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if parent == nil {
		parent, signer, a.key = c, key, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &certificate{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}
