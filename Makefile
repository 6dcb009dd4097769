# What a developer and CI run. `make` alone lists it.

GO       ?= go
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT  := mvdan.cc/gofumpt@v0.12.0
VULN     := golang.org/x/vuln/cmd/govulncheck@v1.9.0
FUZZTIME ?= 60s
ARGS     ?=

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
DATE    ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)

# The race detector needs a C compiler. Without one the tests run all the same, and say so.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

.DEFAULT_GOAL := help
.PHONY: help build demo test test-kafka test-bi test-deploy lint fmt fuzz vuln bench bench-queries chaos clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/leadhouse, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/leadhouse ./cmd/leadhouse

demo: build ## signed webhooks become typed rows, on this machine, in half a minute (ARGS=--once: exit after the tables)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/demo ./cmd/demo
	bin/demo $(ARGS)

test: ## every test on the real ClickHouse, with the race detector; fetches what it needs
	@$(if $(RACE),:,echo 'no C compiler: the tests run WITHOUT the race detector')
	$(GO) vet ./...
	$(GO) test $(RACE) -timeout 15m ./...

test-kafka: ## the pipeline and kafka-go's traps on a real Apache Kafka (needs a JDK and Maven)
	$(GO) test $(RACE) -timeout 15m -count=1 -tags kafka -run 'Kafka|Apache' ./...

test-bi: ## the real BI clients and dashboards against planted duplicates (needs a JDK, Maven, Python 3 and Chromium)
	$(GO) test $(RACE) -timeout 30m -count=1 -p 1 -tags bi ./deploy/bi ./deploy/clickhouse/... ./deploy/dbt/... ./deploy/grafana ./deploy/superset

test-deploy: ## what is in deploy against the real tools: Prometheus and its promtool (Debian's), Grafana's types (npm)
	$(GO) test $(RACE) -timeout 20m -count=1 -tags deploy ./deploy/...

lint: ## golangci-lint and gofumpt
	$(GO) run $(GOLANGCI) run ./...
	@test -z "$$($(GO) run $(GOFUMPT) -l .)" || { echo 'not formatted by gofumpt: make fmt'; $(GO) run $(GOFUMPT) -l .; exit 1; }

fmt: ## format
	$(GO) run $(GOFUMPT) -w .

# A target has one core: fuzzing is bound by it, and a machine has at least two.
fuzz: ## every fuzz target for FUZZTIME (60s), two at a time
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z]*' . | sed 's|/[^/]*:func||' | xargs -P 2 -n 2 sh -c ' \
		out=$$($(GO) test -run "^$$" -fuzz "^$$1\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x -parallel 1 $$0 2>&1); code=$$?; \
		echo "$$0 $$1"; echo "$$out" | if [ $$code = 0 ]; then tail -n 3; else cat; fi; exit $$code'

vuln: ## known vulnerabilities in what is called of Go and the dependencies (asks Go's database)
	$(GO) run $(VULN) ./...

bench: build ## what leadhouse costs, against limits and peers of the same run (needs a JDK and Maven; ARGS=-h: the manual)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/bench ./cmd/bench
	bin/bench $(ARGS)

bench-queries: ## every view and every question of the README over 20 million events, against tables without duplicates
	$(MAKE) bench ARGS='queries $(ARGS)'

chaos: build ## faults at random in the whole pipeline under load; then every receipt is looked for (needs a JDK and Maven; ARGS=-h: the manual)
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/chaos ./cmd/chaos
	bin/chaos $(ARGS)

clean: ## what was built here
	rm -rf bin
