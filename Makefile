# Needs Rust, Go, make and a C compiler. Everything else is built into build/ and target/.

CARGO ?= cargo
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
# Ends with this make, even if make is killed.
SANDBOX := $(BUILT)/sandbox --end-with-parent

.DEFAULT_GOAL := help
.PHONY: help demo test tools generate fmt lint deny clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## Start everything, apply the examples, show what came of it (ARGS=--exit to leave when all is Ready)
	@echo 'demo: compiling (some minutes the first time)'
	@$(CARGO) build --workspace --bins
	@$(SANDBOX) demo $(ARGS)

test: tools lint deny ## Check formatting, lints, dependencies and generated files; run all tests on a real API server
	@echo 'test: compiling the tests (some minutes the first time)'
	@$(CARGO) test --workspace --no-run
	@$(CARGO) build --workspace --bins
	@$(SANDBOX) exec -- $(CARGO) test --workspace
	@echo 'test: all passed'

tools: ## Build etcd, kube-apiserver and kubectl into build/tools (unless KUBEBUILDER_ASSETS has them)
	@tools/build.sh

generate: ## Write the generated files: crds/, contract/openapi.yaml, the tables in docs/
	@$(CARGO) run --quiet -- generate
	@$(CARGO) run --quiet -p digital-messaging-contract --bin openapi

fmt: ## Format the code
	@$(CARGO) fmt --all

lint:
	@echo 'lint: formatting'
	@$(CARGO) fmt --all --check
	@echo 'lint: clippy (some minutes the first time)'
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

# Advisories need the network, so they are no part of the tests.
deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		echo 'deny: licences, banned and duplicate dependencies, sources'; \
		$(CARGO) deny --offline --log-level error check bans licenses sources; \
	else \
		echo 'deny: SKIPPED, cargo-deny is not installed (cargo install --locked cargo-deny)'; \
	fi

clean: ## Delete everything that was built
	@$(CARGO) clean
	@rm -rf build
