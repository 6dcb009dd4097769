package ingest

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// certificate is the public listener's, replaced while it is in use.
type certificate struct {
	current  atomic.Pointer[tls.Certificate]
	notAfter prometheus.Gauge
}

// use takes a certificate chain and its key in PEM, or refuses them when they do not belong together.
func (c *certificate) use(contents [][]byte) error {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return fmt.Errorf("read certificate and key: %w", err)
	}
	c.notAfter.Set(float64(pair.Leaf.NotAfter.Unix()))
	c.current.Store(&pair)
	return nil
}

// get is tls.Config.GetCertificate: connections keep the certificate they began with.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
