package main

import (
	"net/http"
	"net/http/pprof"
)

// pprofSetting is off by default: a profile costs CPU, and a heap dump holds what the process holds.
func pprofSetting(dst *bool) *setting {
	return &setting{
		name: "admin-pprof", group: "Process", value: toggle(dst),
		usage: "Serve Go's profiles on the admin listener, at /debug/pprof/. A profile costs CPU, and whoever reaches the listener can take one.",
	}
}

// profiles are the handlers of package net/http/pprof, or none. That package adds itself to http.DefaultServeMux when it is
// imported, which no listener of ours serves.
func profiles(on bool) http.Handler {
	if !on {
		return nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
