# privsync. `make demo` runs the main job on the embedded simulated server;
# `make test` runs everything that CI runs. Both need only Go, git and make.
SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS     := -s -w -X main.version=$(VERSION)
CORE        := ./policy ./planner ./executor ./mstrapi
FUZZTIME    ?= 30s
CHAOS       ?= 500
PREFIX      ?= $(or $(prefix),/usr/local)
DESTDIR     ?=

.PHONY: help build demo test check race chaos crash fuzz bench golden generate man release install clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

build: ## build bin/privsync
	@echo 'build bin/privsync; the first time takes a minute'
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/privsync ./cmd/privsync

demo: build ## the whole story on the embedded simulated server
	@echo 'run the main job on the simulated server inside the program: it takes seconds and touches nothing else'
	./bin/privsync demo

install: build man ## program, manual pages, completions, examples and schemas below PREFIX (/usr/local)
	@to='$(DESTDIR)$(PREFIX)'; echo "install below $$to"; \
	mkdir -p "$$to/bin" "$$to/share/man/man1" "$$to/share/man/man7" "$$to/share/doc/privsync" \
	  "$$to/share/bash-completion/completions" "$$to/share/zsh/site-functions" "$$to/share/fish/vendor_completions.d"; \
	install -m 0755 bin/privsync "$$to/bin/privsync"; \
	install -m 0644 dist/man/*.1 "$$to/share/man/man1/"; \
	install -m 0644 dist/man/*.7 "$$to/share/man/man7/"; \
	./bin/privsync completion bash >"$$to/share/bash-completion/completions/privsync"; \
	./bin/privsync completion zsh >"$$to/share/zsh/site-functions/_privsync"; \
	./bin/privsync completion fish >"$$to/share/fish/vendor_completions.d/privsync.fish"; \
	install -m 0644 LICENSE *.md "$$to/share/doc/privsync/"; \
	for f in $$(git ls-files examples schema | grep -v '\.go$$' | grep -v /testdata/); do \
	  mkdir -p "$$to/share/doc/privsync/$$(dirname $$f)"; install -m 0644 "$$f" "$$to/share/doc/privsync/$$f"; done

# A compiler and a linker that collect garbage less often take a fifth less time.
QUICK := GOGC=400

test: check race ## everything that CI runs; chaos and crash suites in their short form

check: ## format, vet, lint, module files
	@echo '[1/2] format, module files, vet and lint: a minute or two'
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt would change:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) mod verify
	$(GO) mod tidy -diff
	@! grep -nE '(^|[{;])\s*go [a-z(]|errgroup|panics\.Go' $(filter-out %_test.go,$(wildcard $(addsuffix /*.go,$(ALONE)))) || { echo 'these start goroutines: take their packages out of ALONE'; exit 1; }
	$(QUICK) $(GO) vet ./...
	$(QUICK) $(GO) tool staticcheck ./...

# Vet is not run again with each test: check has run all of it.
#
# Nothing runs concurrently in these packages (check looks), nor in what these tests of
# others do: the race detector would cost ten times the time for nothing.
ALONE := $(addprefix ./,clean document examples mstr schema signature $(addprefix cmd/privsync/internal/,history man release render topics))
APART := ^(TestPaddedDocuments|TestZoo|TestLimitsHoldForAllFiles|TestRecoverAfterACrashAnywhere)$$

race: ## every test once, under the race detector where anything can race; statement coverage of the core, at least 85 %
	@echo '[2/2] every test, with examples and import rules: about five minutes on two cores, a line for each package as it ends; the last and longest is cmd/privsync'
	$(QUICK) $(GO) test -vet=off -race -p 4 -coverpkg=./policy,./planner,./executor,./mstrapi -coverprofile=coverage.out -timeout 14m -skip '$(APART)' $(CORE)
	{ $(GO) test -vet=off -timeout 14m $(ALONE) && $(GO) test -tags man ./cmd/privsync -run '^TestManPages$$'; } & alone=$$!; bad=0; \
	$(QUICK) $(GO) test -vet=off -race -p 4 -parallel 10 -timeout 14m -skip '$(APART)' $$($(GO) list ./... | sed 's,^privsync,.,' | grep -vxF "$$(printf '%s\n' $(CORE) $(ALONE))") || bad=1; \
	wait $$alone || bad=1; exit $$bad
	$(GO) test -vet=off -run '$(APART)' ./policy ./executor ./cmd/privsync
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || echo "SKIPPED: the tests of the store in PostgreSQL, for there is none here (Debian's package postgresql)"
	@$(GO) tool cover -func=coverage.out | awk '/^total:/ {sub("%","",$$3); print "statement coverage of policy, planner, executor, mstrapi: " $$3 " %"; exit ($$3 < 85)}'

chaos: ## faults of every kind, alone and mixed, and none, on CHAOS random servers
	PRIVSYNC_CHAOS=$(CHAOS) PRIVSYNC_CASES=$(CHAOS) $(GO) test ./executor -run '^(TestChaos|TestEndToEnd)$$' -count=1 -timeout 30m -v | grep -vE '^ *(=== |--- PASS)'

crash: ## kill the program before, in and after every write, and at random moments
	PRIVSYNC_CRASH=all $(GO) test ./cmd/privsync -run '^(TestCrash|TestStore)$$' -count=1 -timeout 30m -v | grep -vE '^ *(=== |--- PASS)'

bench: ## measure against the limits: requests, speed, memory (BENCH="--json wall memory" for parts)
	$(GO) run ./cmd/privsync/internal/bench $(BENCH)
	$(GO) test -vet=off -run '^$$' -bench . -benchtime 200ms ./policy ./planner ./mstrapi/...

golden: ## renew golden files and generated documents
	$(GO) test $$(grep -rl 'flag.Bool("update"' --include='*_test.go' . | xargs -n1 dirname | sort -u) -run 'Golden|Script' -update -count=1

fuzz: ## each fuzz target for FUZZTIME
	@for t in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do d=$$(dirname $$t); \
	  for f in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$t); do echo "== $$d $$f"; \
	  $(GO) test $$d -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x || exit 1; done; done

man: ## manual pages in dist/man
	@rm -rf dist/man
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(GO) run -trimpath -ldflags '$(LDFLAGS)' -tags man ./cmd/privsync man dist/man

release: ## reproducible archives, bills of materials and SHA256SUMS in dist/ (SIGN_KEY=FILE signs the sums)
	$(GO) run ./cmd/privsync/internal/release -version '$(VERSION)' -time "$$(git log -1 --format=%ct)" -out dist $(if $(SIGN_KEY),--sign-key '$(SIGN_KEY)')

clean: ## remove what the build made
	rm -rf bin dist .build coverage.out
