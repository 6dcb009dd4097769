package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/urfave/cli/v2"
)

// Set by the linker: -X main.version=v1.2.3. Without it, as with `go install`, they come from what Go records.
var version, commit, date string

type buildInfo struct{ version, commit, date string }

// build says what this binary was built from.
func build() buildInfo {
	b := buildInfo{version, commit, date}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b.orUnknown()
	}
	if b.version == "" {
		b.version = info.Main.Version
	}
	recorded := map[string]string{}
	for _, s := range info.Settings {
		recorded[s.Key] = s.Value
	}
	if b.commit == "" {
		b.commit = recorded["vcs.revision"]
		if recorded["vcs.modified"] == "true" {
			b.commit += ", and uncommitted changes"
		}
	}
	if b.date == "" {
		b.date = recorded["vcs.time"]
	}
	return b.orUnknown()
}

func (b buildInfo) orUnknown() buildInfo {
	for _, s := range []*string{&b.version, &b.commit, &b.date} {
		if *s == "" {
			*s = "unknown"
		}
	}
	return b
}

// linked are the libraries whose version matters to whoever reads a bug report.
var linked = []string{
	"github.com/segmentio/kafka-go",
	"github.com/ClickHouse/clickhouse-go/v2",
	"github.com/ClickHouse/ch-go",
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:               "version",
		Usage:              "print what this binary was built from, and exit",
		HideHelpCommand:    true,
		CustomHelpTemplate: versionHelp,
		OnUsageError:       usageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return misuse("leadhouse version", "it takes no arguments")
			}
			b := build()
			w := c.App.Writer
			fmt.Fprintf(w, "leadhouse %s\n", b.version)
			fmt.Fprintf(w, "  commit  %s\n  date    %s\n  go      %s %s/%s\n", b.commit, b.date, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return nil
			}
			for _, dep := range info.Deps {
				for _, path := range linked {
					if dep.Path == path {
						fmt.Fprintf(w, "  %s %s\n", dep.Path, dep.Version)
					}
				}
			}
			return nil
		},
	}
}

const versionHelp = `leadhouse version: print what this binary was built from, and exit

Usage:
  leadhouse version

It prints the version, the commit and its date, the Go version, and the versions of the libraries that speak to Kafka and
ClickHouse.
`

// newRegistry is the metrics of one process: the job's own are added to it.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	b := build()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "leadhouse_build_info",
		Help:        "Always 1; the labels say what this process was built from.",
		ConstLabels: prometheus.Labels{"version": b.version, "commit": b.commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
