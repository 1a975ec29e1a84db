# Targets are listed by `make`, each described by the ## behind its name.

SHELL := /bin/sh
# A user's PATH may lack the places of ip and nft (Debian), and of Go.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

PREFIX   ?= /usr/local
BIN      ?= bin
FUZZTIME ?= 30s
# Packages whose tests run side by side: most of the time they wait, for the kernel
# and for protocols' timers.
PACKAGES ?= 3
BENCH    ?= .
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

GOLANGCI_VERSION := v2.15.0

.DEFAULT_GOAL := help

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the static binaries into BIN=bin
	@scripts/prerequisites build
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o $(BIN)/ ./cmd/...

# Go's own bound for a package is ten minutes, which a busy machine can need.
.PHONY: test
test: ## check (or install) what the tests need, then go vet and every test, in namespaces of their own
	@scripts/prerequisites test
	go vet ./...
	go test -race -timeout 30m -p $(PACKAGES) ./...

.PHONY: test-vm
test-vm: ## run the kernel's and overlays' tests under Debian's 6.12 and 6.1 kernels, in virtual machines
	@scripts/prerequisites test-vm
	scripts/test-vm

.PHONY: test-systemd
test-systemd: ## run the unit under a real systemd, in a container of namespaces (about ten seconds; root)
	@scripts/prerequisites test-systemd
	scripts/test-systemd

.PHONY: lab
lab: build ## build, and show a cluster of nodes in network namespaces on this machine
	@scripts/prerequisites lab
	$(BIN)/plumb lab demo

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
lint: ## run the linters, check the formatting and the copy of GoBGP
	@scripts/gobgp-copy check
	@GOLANGCI_VERSION=$(GOLANGCI_VERSION) scripts/lint

.PHONY: fmt
fmt: ## format every Go file as lint wants it
	@GOLANGCI_VERSION=$(GOLANGCI_VERSION) scripts/lint fmt

.PHONY: docs
docs: ## write docs/command-line.md and the manual pages anew, from the commands
	go test ./cmd/plumb -count=1 -run TestGeneratedDocuments -update

# Where things are installed; packagers set PREFIX=/usr and DESTDIR.
BINDIR   ?= $(PREFIX)/bin
SHAREDIR ?= $(PREFIX)/share
UNITDIR  ?= $(PREFIX)/lib/systemd/system
PROTODIR ?= /etc/iproute2/rt_protos.d

.PHONY: install
install: $(BIN)/plumb $(BIN)/plumb-cni ## install the programs, manual pages, completion, the systemd unit, rt_protos
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(SHAREDIR)/man/man1 $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PROTODIR) $(DESTDIR)/etc/plumb
	install -m 0755 $(BIN)/plumb $(BIN)/plumb-cni $(DESTDIR)$(BINDIR)/
	install -m 0644 packaging/man/*.1 $(DESTDIR)$(SHAREDIR)/man/man1/
	sed 's|@BINDIR@|$(BINDIR)|' packaging/plumb.service >$(DESTDIR)$(UNITDIR)/plumb.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/plumb.service
	install -m 0644 packaging/rt_protos.conf $(DESTDIR)$(PROTODIR)/plumb.conf
	install -d $(DESTDIR)$(SHAREDIR)/bash-completion/completions $(DESTDIR)$(SHAREDIR)/zsh/site-functions $(DESTDIR)$(SHAREDIR)/fish/vendor_completions.d
	$(BIN)/plumb completion bash >$(DESTDIR)$(SHAREDIR)/bash-completion/completions/plumb
	$(BIN)/plumb completion zsh >$(DESTDIR)$(SHAREDIR)/zsh/site-functions/_plumb
	$(BIN)/plumb completion fish >$(DESTDIR)$(SHAREDIR)/fish/vendor_completions.d/plumb.fish

.PHONY: uninstall
uninstall: ## remove what make install installed (plumb cleanup removes what plumb made in the kernel)
	rm -f $(DESTDIR)$(BINDIR)/plumb $(DESTDIR)$(BINDIR)/plumb-cni
	cd packaging/man && for page in *.1; do rm -f $(DESTDIR)$(SHAREDIR)/man/man1/$$page; done
	rm -f $(DESTDIR)$(UNITDIR)/plumb.service $(DESTDIR)$(PROTODIR)/plumb.conf
	rm -f $(DESTDIR)$(SHAREDIR)/bash-completion/completions/plumb $(DESTDIR)$(SHAREDIR)/zsh/site-functions/_plumb $(DESTDIR)$(SHAREDIR)/fish/vendor_completions.d/plumb.fish

# Built where the sources are newer, so that an upgrade does not install the old programs;
# not at every make install, which root may do without Go after a user's make build.
SOURCES := go.mod go.sum $(shell find agent bgp cmd cni kernel lab reconcile render state third_party trace \
	-type f ! -name '*_test.go' ! -path '*/testdata/*')

$(BIN)/plumb $(BIN)/plumb-cni &: $(SOURCES)
	@$(MAKE) build

.PHONY: clean
clean: ## remove BIN=bin
	rm -rf $(BIN)
