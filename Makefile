# zrsd: every habit of the project is one target here. `make` alone builds the binary.

GO           ?= go
BIN          := $(CURDIR)/bin
PKG          := ./...
TAGS         := $(shell cat packaging/tags)
FUZZTIME     ?= 30s
BENCHFLAGS   ?=
VERSION      ?= $(shell git describe --tags --exact-match 2>/dev/null)
BASE         ?= HEAD
BENCHPKG     ?= ./filestorage ./zeo/... ./protocol

GOLANGCI     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BENCHSTAT    := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
VERSITYGW    := github.com/versity/versitygw/cmd/versitygw@v1.8.0
PROMTOOL     ?= $(GO) tool -modfile=packaging/prometheus/promtool.mod promtool
STATICCHECK  := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: help versitygw kafka build generate alerts demo test race end-to-end vet lint fuzz mutants bench benchcmp release reproducible packages wheel container helm longrun blobcache soak venv tools fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/zrsd, static
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -tags $(TAGS) -o $(BIN)/zrsd ./cmd/zrsd

demo: ## a ZEO client that writes, a primary, two secondaries, a kill -9, and the proof that all agree
	@sh integration/venv.sh zodb
	@$(GO) run ./integration/demo

test: build vet venv race end-to-end ## everything: build, vet, all packages with the race detector, real processes and Python peers

vet:
	$(GO) vet $(PKG)

versitygw: $(BIN)/versitygw ## bin/versitygw, the S3 server of the tests

$(BIN)/versitygw: Makefile
	GOBIN=$(BIN) $(GO) install $(VERSITYGW)
	@touch $@

kafka: $(BIN)/kafka/fetched ## bin/kafka, the broker of the tests, by Maven; without Maven these are skipped

$(BIN)/kafka/fetched: internal/feed/kafkatest/pom.xml
	@if command -v mvn >/dev/null; then rm -rf $(@D) && \
		mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory=$(@D) && touch $@; \
	else echo "there is no mvn: tests with Kafka are skipped"; fi

race: versitygw kafka ## all packages except the end-to-end tests, with the race detector
	$(GO) test -race -timeout 15m $$($(GO) list $(PKG) | grep -v /integration)

end-to-end: venv versitygw kafka ## real zrsd processes, faults and Python peers
	@mkdir -p $(BIN) && rm -f $(BIN)/run-again.txt
	ZRSD_RUN_AGAIN=$(BIN)/run-again.txt $(GO) test -timeout 20m -parallel 4 ./integration/...; status=$$?; \
		if [ -f $(BIN)/run-again.txt ]; then cat $(BIN)/run-again.txt; fi; exit $$status

lint: tools ## golangci-lint and staticcheck
	$(BIN)/golangci-lint run $(PKG)
	$(BIN)/staticcheck $(PKG)

fmt: tools ## format all Go files
	$(BIN)/golangci-lint fmt $(PKG)

generate: ## the parts of docs/ that are made from tables in the code
	$(GO) test ./internal/warning -run 'TestTheRunbook|TestTheAlertRules' -update
	$(GO) test ./internal/admin -run 'TestThePageOfMetrics' -update

alerts: ## the tests of the alert rules, by promtool: the first build takes long, PROMTOOL=promtool takes an installed one
	$(PROMTOOL) test rules packaging/prometheus/zrsd.rules.test.yml

fuzz: ## every fuzz target for FUZZTIME each (default 30s)
	@for pkg in $$($(GO) list $(PKG)); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

mutants: ## change the code in small ways that docs/mutants.md names, and say what no test notices. Takes hours
	@rm -rf $(BIN)/mutants && git worktree prune && git worktree add -q --detach $(BIN)/mutants HEAD
	@$(GO) build -o $(BIN)/try-mutants ./integration/mutants
	@cd $(BIN)/mutants && sed -n 's/^    mutants //p' docs/mutants.md | { status=0; while read -r args; do \
		eval "$(BIN)/try-mutants $$args" || status=1; done; exit $$status; }; status=$$?; \
		cd $(CURDIR) && git worktree remove --force $(BIN)/mutants; exit $$status

bench: build ## the reference figures in one run: a table, JSON, and Markdown for docs/performance.md
	$(GO) run ./integration/bench -zrsd $(BIN)/zrsd $(BENCHFLAGS)

benchcmp: ## the Go benchmarks of BENCHPKG at commit BASE and here, ten runs a side, compared by benchstat
	@rm -rf $(BIN)/base && git worktree prune && git worktree add -q --detach $(BIN)/base $(BASE)
	cd $(BIN)/base && $(GO) test -run '^$$' -bench . -benchmem -count 10 $(BENCHPKG) > $(BIN)/bench-base.txt
	$(GO) test -run '^$$' -bench . -benchmem -count 10 $(BENCHPKG) > $(BIN)/bench-here.txt
	@git worktree remove --force $(BIN)/base
	$(GO) run $(BENCHSTAT) $(BIN)/bench-base.txt $(BIN)/bench-here.txt

release: ## static binaries of the tag VERSION for linux/amd64 and arm64, SBOMs, checksums, and its section of CHANGELOG.md, in bin/release
	@test -n "$(VERSION)" || { echo "no tag at this commit: git tag v0.9.0, or make release VERSION=v0.9.0"; exit 2; }
	@rm -rf $(BIN)/release && mkdir -p $(BIN)/release
	@GO="$(GO)" VERSION=$(VERSION) sh packaging/release.sh $(BIN)/release
	@awk -v want="## $(VERSION:v%=%)" 'index($$0, "## ") == 1 {on = index($$0, want) == 1} on' CHANGELOG.md > $(BIN)/release/CHANGES.md
	@test -s $(BIN)/release/CHANGES.md || { echo "CHANGELOG.md has no section '## $(VERSION:v%=%)'"; exit 2; }

reproducible: ## the release of this commit, built in two clones, must be the same bytes; both binaries serve a client (arm64 in an emulator)
	@sh integration/venv.sh zodb
	GO="$(GO)" sh packaging/tests/release.sh

packages: ## deb and rpm packages of this commit in bin/packages, installed in a throwaway system (as root, on Debian)
	@sh integration/venv.sh zodb
	@rm -rf $(BIN)/packages $(BIN)/packages-before
	GO="$(GO)" sh packaging/packages.sh $(BIN)/packages
	GO="$(GO)" VERSION=v0.0.0-alpha ARCHS=amd64 sh packaging/packages.sh $(BIN)/packages-before
	sh packaging/tests/packages.sh $(BIN)/packages-before $(BIN)/packages

wheel: ## Python wheels of this commit in bin/wheels, installed in an environment, with a buildout of plone.recipe.zeoserver
	@sh integration/venv.sh zodb
	@rm -rf $(BIN)/wheels
	GO="$(GO)" sh packaging/wheel/build.sh $(BIN)/wheels
	sh packaging/tests/wheel.sh $(BIN)/wheels

container: ## the container image of this commit, built without a registry and run as plone-zeo is (as root, with Debian's buildah and podman)
	@sh integration/venv.sh zodb
	@rm -rf $(BIN)/container && mkdir -p $(BIN)/container
	GO="$(GO)" sh packaging/tests/container-image.sh $(BIN)/container "v$$(sh packaging/version.sh)"
	sh packaging/tests/container.sh $(BIN)/container
	@rm -rf $(BIN)/container

helm: build ## the Helm chart, linted, rendered, and held against the schemas of the API of Kubernetes
	GO="$(GO)" sh packaging/tests/helm.sh $(BIN)/zrsd

longrun: venv ## the random crash and network stories, 200 rounds and more; prints the seeds
	ZRSD_LONG=1 $(GO) test -v -count=1 -timeout 6h -run Random ./integration

blobcache: venv ## 100,000 blobs behind a blob cache for 1,000 of them, ten real readers, kills
	ZRSD_LONG=1 $(GO) test -v -count=1 -timeout 2h -run ReadersOfABlobCache ./integration

soak: venv ## hours of failovers with real clients, both encodings, sync and async, with and without etcd, and all they saw compared
	ZRSD_LONG=1 $(GO) test -v -count=1 -timeout 6h -run 'NoClientUnderLoad|Drills|ManyFailures' ./integration

venv: ## the Python peers below .venv
	@sh integration/venv.sh zodb
	@sh integration/venv.sh zeo5
	@sh integration/venv.sh zrs
	@sh integration/venv.sh tools

tools: $(BIN)/golangci-lint $(BIN)/staticcheck

$(BIN)/golangci-lint: Makefile
	GOBIN=$(BIN) $(GO) install $(GOLANGCI)
	@touch $@

$(BIN)/staticcheck: Makefile
	GOBIN=$(BIN) $(GO) install $(STATICCHECK)
	@touch $@

clean: ## remove what make produced
	rm -rf $(BIN) .venv
