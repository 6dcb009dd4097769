package main_test

import (
	"net/http"
	"testing"
	"time"
)

// Profiles are there when they are asked for, on the admin listener, for longer than the listener's timeouts; without the
// setting, and on the public listener always, they are not.
func TestProfilesAreOnTheAdminListenerAndOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	p := newPipeline(t)
	const path = "/debug/pprof/"
	status := func(addr, page string) int {
		code, _ := get(t, "http://"+addr+path+page)
		return code
	}

	ingest, sink := p.startIngest(), p.startSink()
	p.awaitReady(sink, p.sinkAdmin)
	for _, page := range []string{"", "heap", "profile?seconds=1", "cmdline"} {
		for _, addr := range []string{p.ingestAddr, p.ingestAdmin, p.sinkAdmin} {
			if got := status(addr, page); got != http.StatusNotFound {
				t.Errorf("without the setting: %s on %s: %d", page, addr, got)
			}
		}
	}
	ingest.Stop()
	sink.Stop()

	ingest, sink = p.startIngest("--admin-pprof", "--read-timeout", "500ms"), p.startSink("--admin-pprof")
	p.awaitReady(sink, p.sinkAdmin)
	const long = "profile?seconds=2"
	for _, page := range []string{"", "heap", "goroutine?debug=1", long, "trace?seconds=1"} {
		for _, addr := range []string{p.ingestAdmin, p.sinkAdmin} {
			began := time.Now()
			if got := status(addr, page); got != http.StatusOK {
				t.Errorf("%s on %s: %d", page, addr, got)
			}
			if took := time.Since(began); page == long && took < 2*time.Second {
				t.Errorf("a profile of 2 s on %s was cut off after %v", addr, took)
			}
		}
		if got := status(p.ingestAddr, page); got != http.StatusNotFound {
			t.Errorf("%s on the public listener: %d", page, got)
		}
	}
	ingest.Stop()
	sink.Stop()
}
