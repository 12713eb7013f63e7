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
GOVULNCHECK_VERSION := v1.9.0

# The API server that tests run, built once for each state of hack/kube's go.mod and go.sum.
KUBE     := $(CACHE)/kube/$(shell cat hack/kube/go.mod hack/kube/go.sum | sha256sum | cut -c1-16)
KUBE_BIN := $(addprefix $(KUBE)/,etcd kube-apiserver)
KUBE_VERSION := $(shell awk '$$1 == "k8s.io/kubernetes" {print $$2; exit}' hack/kube/go.mod)
KUBE_LDFLAGS := -s -w -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION) \
  -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(KUBE_VERSION)))

# The CNI plugins that tests run, likewise.
CNI     := $(CACHE)/cni/$(shell cat hack/cni/go.mod hack/cni/go.sum | sha256sum | cut -c1-16)
CNI_BIN := $(addprefix $(CNI)/,bridge host-local ptp)

.PHONY: help build cross demo kube cni test deps lint vuln generate generate-check unit race fuzz bench mutate floor clean

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

kube: $(KUBE_BIN) ## build etcd and kube-apiserver, which the tests run, into .cache/kube/bin

# The symbolic link is for people; tests take the binaries that belong to go.mod and go.sum. Output is moved into place
# last: what was cut short is built again.
$(KUBE)/%:
	@echo "building $* from its Go module into .cache/kube (minutes, once)"
	@mkdir -p $(KUBE) && ln -sfn $(notdir $(KUBE)) $(CACHE)/kube/bin
	@cd hack/kube && CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(KUBE_LDFLAGS)" -o $@.part \
	  $(if $(filter etcd,$*),go.etcd.io/etcd/server/v3,k8s.io/kubernetes/cmd/$*)
	@mv $@.part $@

cni: $(CNI_BIN) ## build the CNI plugins that the tests run into .cache/cni

$(CNI)/%:
	@echo "building the CNI plugin $* from its Go module into .cache/cni"
	@mkdir -p $(CNI)
	@cd hack/cni && CGO_ENABLED=0 $(GO) build -trimpath -o $@.part $$($(GO) list -f '{{.ImportPath}}' tool | grep /$*$$)
	@mv $@.part $@

test: deps kube cni build generate-check lint vuln cross unit race ## everything: generated files, lint, vulnerabilities, unit, kernel, Envoy, API server, race detector

lint: $(CACHE)/bin/golangci-lint ## go vet and golangci-lint
	$(GO) vet ./...
	$(CACHE)/bin/golangci-lint run ./...

$(CACHE)/bin/golangci-lint:
	@echo "installing golangci-lint $(GOLANGCI_VERSION) into .cache/bin"
	@GOBIN=$(CACHE)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

vuln: $(CACHE)/bin/govulncheck ## known vulnerabilities that the code reaches; says so where the database cannot be reached
	@hack/vuln $<

$(CACHE)/bin/govulncheck:
	@echo "installing govulncheck $(GOVULNCHECK_VERSION) into .cache/bin"
	@GOBIN=$(CACHE)/bin $(GO) install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)

generate: deps ## write generated files again: Go types, CRDs, reference, BPF objects
	$(GO) generate ./...

generate-check: generate ## fail when a generated file is not fresh
	@git diff --exit-code --stat -- schemas docs/reference datapath test/bench || { echo "generated files are stale: commit what 'make generate' wrote" >&2; exit 1; }

unit: ## every test, without the race detector
	$(GO) test -timeout 40m ./...

# The property and corpus tests run one goroutine over a great deal of input: the race detector would only slow them.
race: ## the tests under the race detector, in their short form
	CGO_ENABLED=1 $(GO) test -race -short -timeout 40m $$($(GO) list ./... | grep -vE '/test/(oracle|conformance|envoy|apiserver|bench)')

fuzz: ## each fuzz target for FUZZTIME (default 20s)
	@hack/fuzz $(or $(FUZZTIME),20s)

bench: build ## ratios from one run, as in docs/benchmarks.md
	@$(GO) run ./test/bench

mutate: ## mutants of the resolver that its tests kill; goes on where it was stopped
	@$(GO) run ./hack/mutate

floor: ## the kernel tests on Debian's 6.1, amd64 and arm64, and the refusals on 5.10, in an emulator: FLOOR holds flags
	@hack/deps floor
	@$(GO) run ./hack/floor $(FLOOR)

clean: ## remove what was built; keeps the cache of tools
	rm -rf $(BIN)
