package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/leadhouse/leadhouse/deploy/clickhouse/dashboard"
)

// signpost is a short address that leads to a long one: the link to the dashboard carries all its queries, and would fill a
// terminal.
type signpost struct {
	server *http.Server
	url    string
	gone   chan error
}

// startSignpost serves the way to the dashboard of ClickHouse's HTTP interface.
func (s *story) startSignpost(ctx context.Context, user string) (*signpost, error) {
	link, err := dashboard.Link("http://"+s.http, user, s.database)
	if err != nil {
		return nil, fmt.Errorf("make the dashboard's link: %w", err)
	}
	addr, err := s.address(s.ports.dashboard, "the dashboard's short address")
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve the dashboard's short address: %w", err)
	}
	p := &signpost{
		server: &http.Server{Handler: http.RedirectHandler(link, http.StatusFound), ReadHeaderTimeout: 10 * time.Second},
		url:    "http://" + addr, gone: make(chan error, 1),
	}
	go func() { p.gone <- p.server.Serve(listener) }()
	return p, nil
}

// stop ends it. It may be called on nil.
func (p *signpost) stop() error {
	if p == nil {
		return nil
	}
	err := p.server.Close()
	if served := <-p.gone; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
