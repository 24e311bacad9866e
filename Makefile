# Nautilus TEE. Needs git, node, npm, make, gcc; the pinned Deno comes from npm when PATH has another.
DENO := tools/deno.sh

.DEFAULT_GOAL := help
.PHONY: help run dev test test-compile test-optee test-kube move-test bench load build demo ok fmt clean

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "ARGS=... is passed on: make test ARGS='store/ --filter txn', make bench ARGS=--short"

run: ## Start the master with the simulation TEE on 127.0.0.1:8080, data in ./data
	@tools/run.sh $(ARGS)

dev: ## The same, started again whenever a source changes
	@tools/run.sh --watch $(ARGS)

test: ## Run every test
	@$(DENO) run --quiet --frozen -A tools/run_tests.ts $(ARGS)

test-compile: ## Build form (a) with DENORT_BIN and run the integration tests on it
	@$(DENO) run --quiet --frozen -A tools/test_compile.ts $(ARGS)

test-optee: ## The TrustZone backend on real OP-TEE in QEMU (opt-in; downloads Debian packages)
	@$(DENO) run --quiet --frozen -A tests/optee/main.ts

test-kube: ## A real Kubernetes on the master and behind it (opt-in; builds it with Go, 6 minutes once)
	@sh tests/kubernetes/build.sh dist/kubernetes
	@NAUTILUS_TEST_KUBE_APISERVER=$(CURDIR)/dist/kubernetes/kube-apiserver $(DENO) run --quiet --frozen -A \
		tools/run_tests.ts tests/integration/kube_apiserver_test.ts tests/integration/kube_apiserver_worker_test.ts

move-test: ## Build and test the on-chain package (SUI_FRAMEWORK=folder; says so without)
	@$(DENO) run --quiet --frozen -A sui/move/run_tests.ts

bench: ## Run every benchmark (minutes; ARGS=--short shows that they run)
	@$(DENO) run --quiet --frozen -A tests/bench/main.ts $(ARGS)

load: ## Put the master under load, from other processes (4 minutes; wrk for most of it)
	@$(DENO) run --quiet --frozen -A tests/load/main.ts $(ARGS)

build: ## Make dist/nautilus, one file
	@$(DENO) run --quiet --frozen -A tools/build.ts $(ARGS)

demo: build ## Walk the whole way with the built file, in under a minute
	@$(DENO) run --quiet --frozen -A tests/demo/main.ts dist/nautilus $(ARGS)

ok: ## Format, lint, types, circular imports, architecture, tests
	@$(DENO) run --quiet --frozen -A tools/ok.ts

fmt: ## Format the sources
	@$(DENO) fmt --quiet

clean: ## Remove what was built; data and the installed Deno stay
	rm -rf dist coverage
