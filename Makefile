# Needs Rust, Go, make and a C compiler. Everything else is built into build/ and target/.

CARGO ?= cargo
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
# Ends with this make, even if make is killed.
SANDBOX := $(BUILT)/sandbox --end-with-parent
# Tests wait about as much as they compute.
TEST_THREADS ?= 5
# Of `make soak`.
MINUTES ?= 10
# Of the image.
PROFILE ?= release
TARGET := x86_64-unknown-linux-gnu
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/$(PROFILE)
DENY_VERSION := 0.20.2
DENY := build/cargo/bin/cargo-deny-$(DENY_VERSION)

.DEFAULT_GOAL := help
.PHONY: help demo test e2e e2e-on-a-node soak image image-folder programs tools generate manifests figures fmt lint deny clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Start everything, apply the examples, show what came of it (ARGS=--exit to leave when all is Ready)
	@tools/build.sh etcd kube-apiserver kubectl
	@echo 'demo: compiling (some minutes the first time)'
	@$(CARGO) build --workspace --bins
	@$(SANDBOX) demo $(ARGS)

test: tools lint deny ## Check formatting, lints, dependencies and generated files; run all tests on a real API server
	@echo 'test: compiling the tests (some minutes the first time)'
	@$(CARGO) test --workspace --no-run
	@RUST_TEST_THREADS=$(TEST_THREADS) $(SANDBOX) exec -- $(CARGO) test --workspace
	@echo 'test: all passed'

e2e: ## Install the charts with Helm on a real one-node cluster, and break what can break (Linux, root; otherwise says so)
	@if e2e/install.sh; then $(MAKE) --no-print-directory e2e-on-a-node; elif [ $$? -ne 3 ]; then exit 1; fi

# Compiled before, because there is no way out of the node's network.
e2e-on-a-node: export PROFILE = quick
e2e-on-a-node: tools
	@tools/build.sh node
	@$(MAKE) --no-print-directory image
	@echo 'e2e: compiling the tests (some minutes the first time)'
	@$(CARGO) test --workspace --no-run
	@$(BUILT)/e2e --image build/image.tar \
		$(CARGO) test --workspace --test on_a_node -- --ignored --test-threads=1 $(ARGS)
	@echo 'e2e: all passed'

soak: ## Take random walks over the real parts for MINUTES=n (10 without); one that fails says how to repeat it
	@tools/build.sh etcd kube-apiserver
	@echo 'soak: compiling the tests (some minutes the first time)'
	@WALK_MINUTES=$(MINUTES) $(CARGO) test -p digital-messaging-operator --test integration \
		walk::as_many_as_there_is_time_for -- --ignored --nocapture

tools: ## Build etcd, kube-apiserver, kubectl, kube-controller-manager and helm into build/tools (unless KUBEBUILDER_ASSETS has them)
	@tools/build.sh

image: programs ## Write the container image into build/image.tar (PROFILE=quick compiles faster), print its digest and size
	@$(CARGO) run --quiet --package image -- --programs $(PROGRAMS) --archive build/image.tar

image-folder: programs ## Write what is in the image into build/image/
	@rm -rf build/image
	@$(CARGO) run --quiet --package image -- --programs $(PROGRAMS) --folder build/image

# Linked statically, because nothing else is in the image. Without a target of its own the flag would also reach the
# compiler's plugins, which cannot be static.
programs:
	@echo 'image: compiling the programs, profile $(PROFILE) (some minutes the first time)'
	@mkdir -p build
	@RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --locked --profile $(PROFILE) --target $(TARGET) \
		--package digital-messaging-operator --package messaging-manager --bins

generate: ## Write the files generated from code: crds/, their chart, contract/openapi.yaml, the tables in docs/
	@$(CARGO) run --quiet -- generate
	@mkdir -p build
	@$(CARGO) run --quiet -p digital-messaging-contract > build/openapi.yaml
	@mv build/openapi.yaml contract/openapi.yaml

manifests: ## Write deploy/ and the tables of values from charts/ (ARGS='--single FILE' for all in one file, and nothing else)
	@tools/build.sh helm
	@$(CARGO) build --quiet --workspace --bins
	@$(SANDBOX) manifests $(ARGS)

figures: ## Put what the tests measured last into docs/guarantees.md
	@$(CARGO) run --quiet -p sandbox -- figures docs/guarantees.md

fmt: ## Format the code
	@$(CARGO) fmt --all

lint:
	@echo 'lint: formatting'
	@$(CARGO) fmt --all --check
	@echo 'lint: clippy (some minutes the first time)'
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

# Advisories are left out: they need the network, and change without any change here.
deny: $(DENY)
	@echo 'deny: licences, banned crates, sources'
	@$(CARGO) fetch --quiet --locked
	@$(DENY) --offline --log-level error check bans licenses sources

$(DENY):
	@echo "deny: building cargo-deny $(DENY_VERSION): once, about 2 min on two cores"
	@CARGO_TARGET_DIR=build/cargo-target $(CARGO) install --locked --debug --root build/cargo cargo-deny@$(DENY_VERSION)
	@rm -rf build/cargo-target
	@mv build/cargo/bin/cargo-deny $@

clean: ## Delete everything that was built
	@$(CARGO) clean
	@rm -rf build
