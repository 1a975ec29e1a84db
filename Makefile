# Targets are listed by `make`, each described by the ## behind its name.

SHELL := /bin/sh
# A user's PATH may lack the places of ip and nft (Debian), and of Go.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

PREFIX   ?= /usr/local
FUZZTIME ?= 30s
BENCH    ?= .
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

GOLANGCI_VERSION := v2.15.0

.DEFAULT_GOAL := help

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the static binaries into bin/
	@scripts/prerequisites build
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/...

.PHONY: test
test: ## check (or install) what the tests need, then go vet and every test, in namespaces of their own
	@scripts/prerequisites test
	go vet ./...
	go test -race ./...

.PHONY: test-vm
test-vm: ## run the kernel's and overlays' tests under Debian's 6.12 and 6.1 kernels, in virtual machines
	@scripts/prerequisites test-vm
	scripts/test-vm

.PHONY: lab
lab: build ## build, and show a cluster of nodes in network namespaces on this machine
	@scripts/prerequisites lab
	bin/plumb lab demo

.PHONY: bench
bench: ## time plumb beside ip and nft, and print the table of docs/benchmarks.md (BENCH=regexp)
	@scripts/prerequisites test
	go test -run '^$$' -bench '$(BENCH)' -benchtime 1x ./bench

.PHONY: bench-all
bench-all: ## run every package's own benchmarks too
	@scripts/prerequisites test
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME=30s
	@scripts/prerequisites test
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

.PHONY: lint
lint: ## run the linters and check the formatting
	@GOLANGCI_VERSION=$(GOLANGCI_VERSION) scripts/lint

.PHONY: fmt
fmt: ## format every Go file as lint wants it
	@GOLANGCI_VERSION=$(GOLANGCI_VERSION) scripts/lint fmt

.PHONY: install
install: | bin/plumb bin/plumb-cni ## install what make build made, and the names of plumb's route protocols
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/plumb bin/plumb-cni $(DESTDIR)$(PREFIX)/bin/
	install -d $(DESTDIR)/etc/iproute2/rt_protos.d
	install -m 0644 packaging/rt_protos.conf $(DESTDIR)/etc/iproute2/rt_protos.d/plumb.conf

bin/plumb bin/plumb-cni:
	@$(MAKE) build

.PHONY: clean
clean: ## remove bin/
	rm -rf bin
