# Weir: build, test, demo, bench. `make help` lists the targets.
SHELL := /bin/bash
GO    ?= go
CACHE := $(CURDIR)/.cache
BIN   := $(CURDIR)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# STRICT=1 makes a test that this machine cannot run a failure instead of a skip with its reason.
STRICT ?= 0
export WEIR_STRICT := $(STRICT)
GOLANGCI_VERSION := v2.15.0

.PHONY: help build cross demo test deps lint generate generate-check unit race fuzz bench mutate clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/weir, bin/kubectl-weir and bin/weir-agent
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/weir ./cmd/weir
	CGO_ENABLED=0 GOOS=linux $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/weir-agent ./cmd/weir-agent
	@cp -f $(BIN)/weir $(BIN)/kubectl-weir

cross: ## check that the command line builds for every system it is for
	@for os in linux darwin windows; do for arch in amd64 arm64; do \
	  echo "building weir for $$os/$$arch"; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -o /dev/null ./cmd/weir || exit 1; done; done
	@echo "building weir-agent for linux/arm64"
	@CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/weir-agent

demo: build ## check, test and enforce the example shop on this machine's kernel
	@hack/deps kernel
	@hack/demo $(BIN)/weir

deps: ## install what the tests need, and say what
	@hack/deps test

test: deps build generate-check lint cross unit race ## everything: generated files, lint, unit, kernel, Envoy, race detector

lint: $(CACHE)/bin/golangci-lint ## go vet and golangci-lint
	$(GO) vet ./...
	$(CACHE)/bin/golangci-lint run ./...

$(CACHE)/bin/golangci-lint:
	@echo "installing golangci-lint $(GOLANGCI_VERSION) into .cache/bin"
	@GOBIN=$(CACHE)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

generate: deps ## write generated files again: Go types, CRDs, reference, BPF objects
	$(GO) generate ./...

generate-check: generate ## fail when a generated file is not fresh
	@git diff --exit-code --stat -- schemas docs/reference datapath test/bench || { echo "generated files are stale: commit what 'make generate' wrote" >&2; exit 1; }

unit: ## every test, without the race detector
	$(GO) test -timeout 40m ./...

# The property and corpus tests run one goroutine over a great deal of input: the race detector would only slow them.
race: ## the tests under the race detector, in their short form
	CGO_ENABLED=1 $(GO) test -race -short -timeout 40m $$($(GO) list ./... | grep -vE '/test/(oracle|conformance|envoy|bench)')

fuzz: ## each fuzz target for FUZZTIME (default 20s)
	@hack/fuzz $(or $(FUZZTIME),20s)

bench: build ## ratios from one run, as in docs/benchmarks.md
	@$(GO) run ./test/bench

mutate: ## mutants of the resolver that the property test kills
	@$(GO) run ./hack/mutate

clean: ## remove what was built; keeps the cache of tools
	rm -rf $(BIN)
