# Berth. Two commands are enough:
#   make run    install what is missing, build, start, and deploy a first app
#   make test   install what tests need and run them all

SHELL := bash
GO ?= go
TOOLS := .tools
LINT := $(TOOLS)/golangci-lint
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
WEB_SOURCES := $(shell find web/src web/static -type f 2>/dev/null) web/package-lock.json web/svelte.config.js web/vite.config.ts web/tsconfig.json

.PHONY: run test check format lint unit layers web-check bench fuzz perimeter soak build web clean help

help: ## Show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: ## Install what is missing, build, start, and deploy examples/hello
	@scripts/run.sh

test: ## Install what tests need and run them all
	@scripts/test.sh

check: format lint layers unit web-check ## Format, lint, layers and unit tests: what a change needs before it is pushed

format: $(LINT)
	@test -z "$$($(LINT) fmt --diff ./... | tee /dev/stderr)" || { echo 'not formatted: run $(LINT) fmt ./...'; exit 1; }

lint: $(LINT)
	$(LINT) run --allow-parallel-runners ./...

layers:
	$(GO) test .

unit:
	$(GO) test $$($(GO) list ./... | grep -v '/e2e')

web-check: web/node_modules/.package-lock.json
	cd web && npm run --silent check && npm test --silent

bench: build ## Trigger-to-live beside the engine's floor, and the gateway beside nginx
	@scripts/bench.sh

fuzz: web ## 15 seconds of new inputs for each fuzz test
	@scripts/fuzz.sh

perimeter: web ## Attack the built binary as other gateways were, and print what held
	@scripts/perimeter.sh

soak: build fuzz ## Fuzz, then 100 swaps under constant load on each engine
	@scripts/soak.sh

build: bin/berth ## Build dashboard and binary

.PHONY: bin/berth
bin/berth: web/build/index.html
	CGO_ENABLED=0 $(GO) build -ldflags '-s -w -X main.release=$(VERSION)' -o $@ ./cmd/berth

web: web/build/index.html ## Build the dashboard

web/build/index.html: $(WEB_SOURCES) | web/node_modules/.package-lock.json
	@echo 'building the dashboard'
	@mkdir -p $(TOOLS) && (cd web && npm run --silent build) >$(TOOLS)/web-build.log 2>&1 || { cat $(TOOLS)/web-build.log; exit 1; }
	@touch web/build/.gitkeep $@

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

$(LINT): tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	@echo 'building golangci-lint, once; this takes some minutes'
	$(GO) -C tools build -o ../$(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

clean: ## Remove what was built; data stays
	rm -rf bin web/build/* web/.svelte-kit web/node_modules e2e/browser/node_modules e2e/browser/test-results $(TOOLS)/golangci-lint
