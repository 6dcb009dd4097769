package ingest

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// maxHeader bounds a request's header. Ours needs under 1 KiB; proxies add some.
const maxHeader = 16 << 10

// newPublic is the server that faces the internet. HTTP/1.1 only: no webhook sender needs HTTP/2, and its floods
// (CVE-2023-44487, CVE-2023-45288) cannot happen.
func (s *Server) newPublic() *http.Server {
	// What net/http says by itself, such as failed TLS handshakes, anybody can cause: it is debug.
	quiet := slog.NewLogLogger(zerolog.NewSlogHandler(s.log), slog.LevelDebug)
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		ReadTimeout:       s.cfg.ReadTimeout,
		// From the end of the header on: the body, the wait for Kafka, and a moment for the answer itself.
		WriteTimeout:   s.cfg.ReadTimeout + s.cfg.AckTimeout + 5*time.Second,
		IdleTimeout:    s.cfg.IdleTimeout,
		MaxHeaderBytes: maxHeader,
		ConnState:      limitConns(s.cfg.MaxConns),
		ErrorLog:       quiet,
		Protocols:      http1(),
		// A 2xx is a receipt: net/http would answer "OPTIONS *" with 200 by itself.
		DisableGeneralOptionsHandler: true,
	}
	if s.cert != nil {
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.cert.get}
	}
	return server
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// limitConns closes connections beyond the limit as they come. One limit for all and none for an address: behind a load
// balancer all connections have the same one.
func limitConns(limit int) func(net.Conn, http.ConnState) {
	var open atomic.Int64
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > int64(limit) {
				c.Close() // net/http notices, and says StateClosed
			}
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		case http.StateActive, http.StateIdle: // as open as before
		}
	}
}

// newAdmin is the server for the operator's network alone.
func (s *Server) newAdmin() *http.Server {
	ready := &readiness{producer: s.producer, draining: &s.draining}
	s.cfg.Registry.MustRegister(ready.gauge())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok\n") //nolint:errcheck // the prober has left
	})
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{}))
	if s.cfg.Pprof != nil {
		mux.Handle(PprofPath, s.cfg.Pprof)
	}
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		ReadTimeout:       s.cfg.ReadTimeout,
		WriteTimeout:      30 * time.Second, // a scrape over a slow network
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(zerolog.NewSlogHandler(s.log), slog.LevelDebug),
	}
}
