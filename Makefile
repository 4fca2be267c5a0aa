# zrsd: every habit of the project is one target here. `make` alone builds the binary.

GO           ?= go
BIN          := $(CURDIR)/bin
PKG          := ./...
FUZZTIME     ?= 30s
BENCHFLAGS   ?=

GOLANGCI     := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
STATICCHECK  := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.DEFAULT_GOAL := build
.PHONY: help build demo test race end-to-end vet lint fuzz bench longrun soak venv tools fmt clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## bin/zrsd, static
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/zrsd ./cmd/zrsd

demo: ## a ZEO client that writes, a primary, two secondaries, a kill -9, and the proof that all agree
	@sh integration/venv.sh zodb
	@$(GO) run ./integration/demo

test: build vet venv race end-to-end ## everything: build, vet, all packages with the race detector, real processes and Python peers

vet:
	$(GO) vet $(PKG)

race: ## all packages except the end-to-end tests, with the race detector
	$(GO) test -race -timeout 15m $$($(GO) list $(PKG) | grep -v /integration)

end-to-end: venv ## real zrsd processes, faults and Python peers
	$(GO) test -timeout 20m -parallel 4 ./integration/...

lint: tools ## golangci-lint and staticcheck
	$(BIN)/golangci-lint run $(PKG)
	$(BIN)/staticcheck $(PKG)

fmt: tools ## format all Go files
	$(BIN)/golangci-lint fmt $(PKG)

fuzz: ## every fuzz target for FUZZTIME each (default 30s)
	@for pkg in $$($(GO) list $(PKG)); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "== $$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

bench: build ## the reference figures in one run: a table, JSON, and Markdown for docs/performance.md
	$(GO) run ./integration/bench -zrsd $(BIN)/zrsd $(BENCHFLAGS)

longrun: venv ## the random crash and network stories, 200 rounds and more; prints the seeds
	ZRSD_LONG=1 $(GO) test -v -count=1 -timeout 6h -run Random ./integration

soak: venv ## ZEO clients under load, with kills, packs and hours of failovers, and all they saw compared with the history
	ZRSD_LONG=1 $(GO) test -v -count=1 -timeout 6h -run 'NoClientUnderLoad|Drills' ./integration

venv: ## the Python peers below .venv
	@sh integration/venv.sh zodb
	@sh integration/venv.sh zeo5
	@sh integration/venv.sh zrs

tools: $(BIN)/golangci-lint $(BIN)/staticcheck

$(BIN)/golangci-lint: Makefile
	GOBIN=$(BIN) $(GO) install $(GOLANGCI)
	@touch $@

$(BIN)/staticcheck: Makefile
	GOBIN=$(BIN) $(GO) install $(STATICCHECK)
	@touch $@

clean: ## remove what make produced
	rm -rf $(BIN) .venv
