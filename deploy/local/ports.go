package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports that we choose lie below those that Linux (32768–) and macOS (49152–) give to outgoing connections: an engine that is away for a while finds its port still free when it comes back.
const (
	firstPort = 20000
	lastPort  = 32000
)

// freePort is a port of 127.0.0.1 that nobody listens on now. Chosen at random, so that processes that start at the same moment do not all try the same.
func freePort() (int, error) {
	for range 200 {
		if p := firstPort + rand.IntN(lastPort-firstPort); portFree(p) {
			return p, nil
		}
	}
	return 0, errors.New("no free port found")
}

// Port is the wanted port of 127.0.0.1 if it is free; otherwise, or when none (0) is wanted, another. It says which one was taken.
func Port(want int, what string, progress func(string)) (int, error) {
	if want != 0 && portFree(want) {
		return want, nil
	}
	p, err := freePort()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	if want != 0 {
		progress(fmt.Sprintf("port %d (%s) is taken: using %d", want, what, p))
	}
	return p, nil
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
