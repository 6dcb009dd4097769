package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// The hidden commands: the first argument with which this binary starts itself as somebody to be compared with. The
// second is a JSON object.
const (
	httpPeerCommand   = "leadhouse-bench-http"
	insertPeerCommand = "leadhouse-bench-insert"
)

// becomePeer turns this process into a peer if it was started as such, and then never returns.
func becomePeer() {
	if len(os.Args) != 3 {
		return
	}
	var err error
	switch os.Args[1] {
	case httpPeerCommand:
		err = runPeer(serveHTTPPeer)
	case insertPeerCommand:
		err = runPeer(insertRows)
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
	os.Exit(exitOK)
}

func runPeer[T any](run func(T) error) error {
	var cfg T
	if err := json.Unmarshal([]byte(os.Args[2]), &cfg); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	return run(cfg)
}

// peerArgs are the arguments that make this binary a peer.
func peerArgs(command string, cfg any) ([]string, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("tell a peer what to do: %w", err)
	}
	return []string{command, string(text)}, nil
}
