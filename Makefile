# Tools at their pinned versions, built into .cache/bin.
staticcheck   := honnef.co/go/tools/cmd/staticcheck@v0.8.2
golangci-lint := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
govulncheck   := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# The race detector needs a C compiler; without one the tests still run.
RACE      := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 1
FUZZTIME  ?= 30s
PYTHON    ?= python3

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

build: ## bin/scry, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/scry ./cmd/scry

test: ## all tests; those that need a real Kafka or Redis skip when it is absent
	go test $(RACE) ./...

test-services: ## all tests with a real Kafka (Java 17, Maven) and Redis (redis-server); nothing skips for want of them
	SCRY_REQUIRE_SERVICES=1 scripts/kafka.sh with go test $(RACE) -count=1 -timeout 20m ./...
	SCRY_REQUIRE_SERVICES=1 SCRY_TEST_GUARANTEE=exactly_once go test $(RACE) -count=1 -skip TestFaults ./stream

faults: ## what is promised, while things break: real brokers, Redis, processes (FAULTS=all for every combination)
	cd internal/faults && go test -tags faults -count=1 -timeout 60m -parallel 6 -run 'TestFaults|TestSabotage|TestDocs'

chaos: ## the same faults mixed at random: T=10m SEED=1 (repeats the choices of another run)
	cd internal/faults && CHAOS=$(or $(T),10m) SEED=$(SEED) go test -tags faults -count=1 -timeout 0 -v -run TestChaos

bench: ## benchmarks: BENCH=regexp BENCHTIME=1s COUNT=1; compare runs with benchstat
	go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./...

bench-models: build .cache/bench-models/done ## models timed beside XGBoost, LightGBM and ONNX Runtime (PYTHON=python3.12, about 5 minutes)
	.cache/bench-models/bin/python scripts/bench-models/bench_models.py bin/scry

fuzz: ## every fuzz target for FUZZTIME=30s
	scripts/fuzz.sh $(FUZZTIME)

lint: .cache/bin/staticcheck .cache/bin/golangci-lint ## go vet, staticcheck, golangci-lint (gofmt and import directions too)
	go vet ./...
	.cache/bin/staticcheck ./...
	.cache/bin/golangci-lint run
	go vet -tags faults ./stream ./internal/faults
	.cache/bin/golangci-lint run --build-tags faults ./stream ./internal/faults

vuln: .cache/bin/govulncheck ## known vulnerabilities in what the code calls
	.cache/bin/govulncheck ./...

generate: ## generated files, such as the config's schema and reference
	go generate ./...

dist: ## release archives for six systems in dist/, with checksums and SBOMs: VERSION=v1.2.3
	scripts/dist.sh

clean: ## what was built or fetched
	rm -rf bin dist .cache

.cache/bench-models/done: scripts/bench-models/requirements.txt
	$(PYTHON) -m venv --clear .cache/bench-models
	.cache/bench-models/bin/pip -q install -r $<
	@touch $@

.cache/bin/%: Makefile
	GOBIN=$(CURDIR)/.cache/bin go install $($*)
	@touch $@

.PHONY: help build test test-services faults chaos bench bench-models fuzz lint vuln generate dist clean
.DEFAULT_GOAL := help
