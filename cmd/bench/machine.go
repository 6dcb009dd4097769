package main

import (
	"debug/buildinfo"
	"fmt"
	"runtime"
	"strings"
)

// machine is what the figures are of.
type machine struct {
	cpu     string
	memory  uint64 // bytes
	load    string // average of the last minute, before anything was started; "" where it is not known
	build   string // Go and libraries of the measured binary
	engines string
}

// measuredLibraries are those whose version changes the figures.
var measuredLibraries = []string{
	"github.com/segmentio/kafka-go",
	"github.com/ClickHouse/clickhouse-go/v2",
	"github.com/ClickHouse/ch-go",
}

// describeMachine reads the hardware, and the versions out of the binary itself.
func describeMachine(leadhouse string) (machine, error) {
	m, err := hardware()
	if err != nil {
		return m, fmt.Errorf("describe the machine: %w", err)
	}
	info, err := buildinfo.ReadFile(leadhouse)
	if err != nil {
		return m, fmt.Errorf("read the versions in %s: %w", leadhouse, err)
	}
	parts := []string{info.GoVersion}
	for _, path := range measuredLibraries {
		for _, d := range info.Deps {
			if d.Path == path {
				name := strings.TrimSuffix(path, "/v2")
				parts = append(parts, name[strings.LastIndexByte(name, '/')+1:]+" "+d.Version)
			}
		}
	}
	m.build = strings.Join(parts, ", ")
	return m, nil
}

func (m machine) String() string {
	s := fmt.Sprintf("%d cores (%s), %.1f GiB, %s/%s", runtime.NumCPU(), m.cpu, float64(m.memory)/(1<<30), runtime.GOOS, runtime.GOARCH)
	if m.load != "" {
		s += "; load at the start " + m.load
	}
	return s + "\n" + m.engines + "; " + m.build
}
