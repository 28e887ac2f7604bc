# SPDX-License-Identifier: Apache-2.0
# Needs Rust, Go, make and a C compiler. Everything else is built into build/ and target/.

CARGO ?= cargo
BUILT := $(or $(CARGO_TARGET_DIR),target)/debug
# Ends with this make, even if make is killed.
SANDBOX := $(BUILT)/sandbox --end-with-parent
# Tests wait about as much as they compute.
TEST_THREADS ?= 7
# Of `make soak`.
MINUTES ?= 10
# Of the image.
PROFILE ?= release
TARGET := x86_64-unknown-linux-gnu
PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/$(PROFILE)
# Linked statically, because nothing else is in the image; and without the paths of this machine, so that another one makes
# the same programs.
IMAGE_RUSTFLAGS := -C target-feature=+crt-static \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo \
	--remap-path-prefix=$(CURDIR)=/source \
	$(if $(CARGO_TARGET_DIR),--remap-path-prefix=$(abspath $(CARGO_TARGET_DIR))=/source/target)
# The same for what is written in C.
IMAGE_CFLAGS := -ffile-prefix-map=$(or $(CARGO_HOME),$(HOME)/.cargo)=/cargo
DENY_VERSION := 0.20.2
DENY := build/cargo/bin/cargo-deny-$(DENY_VERSION)

# An older Kubernetes to test on, such as 1.33: one for which tools/ has a module.
KUBERNETES ?=
ifneq ($(KUBERNETES),)
export KUBEBUILDER_ASSETS := $(CURDIR)/build/kubernetes-$(KUBERNETES)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test checked ahead older-kubernetes test-helm-3 test-argocd e2e on-a-node soak image image-folder programs reproducible release-image release-files release-publish release-dry-run tools generate manifests figures fmt lint deny advisories clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Start everything, apply the examples, show what came of it (ARGS=--exit to leave when all is Ready)
	@tools/build.sh etcd kube-apiserver kubectl
	@echo 'demo: compiling (some minutes the first time)'
	@$(CARGO) build --workspace --bins
	@$(SANDBOX) demo $(ARGS)

test: $(if $(KUBERNETES),older-kubernetes) checked ## Check formatting, lints, dependencies and generated files; run all tests on a real API server (KUBERNETES=1.33 for an older one)
	@echo 'test: compiling the tests (some minutes the first time)'
	@$(CARGO) test --workspace --no-run
	@RUST_TEST_THREADS=$(TEST_THREADS) $(SANDBOX) exec -- $(CARGO) test --workspace
	@echo 'test: all passed'

# At the same time, because linkers use one core only.
checked:
	@$(MAKE) --no-print-directory --jobs=2 tools lint deny

# What `make e2e` and `make test-argocd` need.
ahead:
	@if [ "$$(id -u)" = 0 ]; then tools/build.sh node && $(MAKE) --no-print-directory programs PROFILE=quick; fi
	@tools/build.sh argocd

e2e: ## Install the charts with Helm on a real one-node cluster, and break what can break (Linux, root; otherwise says so)
	@if e2e/install.sh; then $(MAKE) --no-print-directory on-a-node TESTS='on_a_node --test-threads=1'; \
		elif [ $$? -ne 3 ]; then exit 1; fi

test-argocd: ## Test with a real Argo CD, which this builds: health and actions, and on the cluster of `make e2e` the whole of a life
	@tools/build.sh etcd kube-apiserver kubectl kube-controller-manager kstatus argocd
	@echo 'test-argocd: compiling the tests (some minutes the first time)'
	@$(CARGO) test --workspace --no-run
	@$(SANDBOX) exec -- $(CARGO) test --workspace --test gitops -- --include-ignored
	@if e2e/install.sh && tools/redis.sh; then $(MAKE) --no-print-directory on-a-node TESTS=argo_cd; \
		elif [ $$? -eq 3 ]; then echo 'test-argocd: passed, but for those on a node'; else exit 1; fi

# Compiled before, because there is no way out of the node's network.
on-a-node: export PROFILE = quick
on-a-node: tools
	@tools/build.sh node
	@$(MAKE) --no-print-directory image
	@echo 'on-a-node: compiling the tests (some minutes the first time)'
	@$(CARGO) test --workspace --test $(firstword $(TESTS)) --no-run
	@$(BUILT)/e2e --image build/image.tar \
		$(CARGO) test --offline --workspace --test $(firstword $(TESTS)) -- --ignored $(wordlist 2,9,$(TESTS)) $(ARGS)
	@echo 'on-a-node: all passed: $(firstword $(TESTS))'

older-kubernetes:
	@env -u KUBEBUILDER_ASSETS tools/build.sh etcd kubectl kube-apiserver-$(KUBERNETES) kube-controller-manager-$(KUBERNETES)
	@mkdir -p $(KUBEBUILDER_ASSETS)
	@for program in etcd kubectl; do ln -sf ../tools/$$program $(KUBEBUILDER_ASSETS)/$$program; done
	@for program in kube-apiserver kube-controller-manager; do \
		ln -sf ../tools/$$program-$(KUBERNETES) $(KUBEBUILDER_ASSETS)/$$program; done

# The folder has another helm than build/tools, and is looked into first.
test-helm-3: export KUBEBUILDER_ASSETS = $(CURDIR)/build/helm-3
test-helm-3: ## Run the tests of what users install with Helm 3 in place of Helm 4
	@env -u KUBEBUILDER_ASSETS tools/build.sh
	@env -u KUBEBUILDER_ASSETS tools/build.sh helm-3
	@mkdir -p $(KUBEBUILDER_ASSETS)
	@for program in etcd kube-apiserver kubectl; do ln -sf ../tools/$$program $(KUBEBUILDER_ASSETS)/$$program; done
	@ln -sf ../tools/helm-3 $(KUBEBUILDER_ASSETS)/helm
	@echo 'test-helm-3: compiling the tests (some minutes the first time)'
	@$(CARGO) test --workspace --no-run
	@RUST_TEST_THREADS=$(TEST_THREADS) $(SANDBOX) exec -- $(CARGO) test --workspace --test packaging
	@echo 'test-helm-3: all passed'

soak: ## Take random walks over the real parts for MINUTES=n (10 without); one that fails says how to repeat it
	@tools/build.sh etcd kube-apiserver
	@echo 'soak: compiling the tests (some minutes the first time)'
	@WALK_MINUTES=$(MINUTES) $(CARGO) test -p digital-messaging-operator --test integration \
		walk::as_many_as_there_is_time_for -- --ignored --nocapture

tools: ## Build etcd, kube-apiserver, kubectl, kube-controller-manager, helm and what else `make test` needs into build/tools (unless KUBEBUILDER_ASSETS has them)
	@tools/build.sh

image: programs ## Write the container image into build/image.tar (PROFILE=quick compiles faster), its digest and bill of materials beside it
	@$(CARGO) run --quiet --package image -- --programs $(PROGRAMS) --archive build/image.tar

image-folder: programs ## Write what is in the image into build/image/
	@rm -rf build/image
	@$(CARGO) run --quiet --package image -- --programs $(PROGRAMS) --folder build/image

# Without a target of its own the flag would also reach the compiler's plugins, which cannot be static.
programs:
	@[ -e "$$(cc -print-file-name=libc.a)" ] || { echo 'image: no static C library: install libc6-dev or glibc-static'; exit 1; }
	@getconf GNU_LIBC_VERSION 2>/dev/null | awk '{ split($$2, part, "."); exit !($$1 == "glibc" && part[1] * 1000 + part[2] >= 2034) }' || \
		{ echo 'image: the programs are linked with glibc 2.34 or newer, which is not here'; exit 1; }
	@echo 'image: compiling the programs, profile $(PROFILE) (some minutes the first time)'
	@mkdir -p build
	@CFLAGS_$(subst -,_,$(TARGET))='$(IMAGE_CFLAGS)' RUSTFLAGS='$(strip $(IMAGE_RUSTFLAGS))' $(CARGO) build --locked --profile $(PROFILE) --target $(TARGET) \
		--package digital-messaging-operator --package messaging-manager --bins

reproducible: ## Build the image in two folders with two homes of Cargo, and compare (takes twice as long as the image)
	@PROFILE=$(PROFILE) tools/reproducible.sh

release-image: ## Build the image of a release, with its bill of materials
	@$(MAKE) --no-print-directory image

release-files: ## Write what is attached to a release into build/release: charts, manifests, bill of materials, checksums
	@tools/build.sh helm
	@$(CARGO) build --quiet --workspace --bins
	@SANDBOX=$(BUILT)/sandbox tools/release.sh files build/release

release-publish: ## Push, sign and publish what is in build/release and build/image.tar to REGISTRY
	@tools/release.sh publish build/release

release-dry-run: export DRY_RUN = 1
release-dry-run: export REGISTRY := $(or $(REGISTRY),registry.example.com/messaging)
release-dry-run: ## The same without reaching out: writes build/release and prints what would be run
	@$(MAKE) --no-print-directory release-files
	@$(MAKE) --no-print-directory release-publish

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

lint: ## Check formatting and lints
	@echo 'lint: formatting'
	@$(CARGO) fmt --all --check
	@echo 'lint: clippy (some minutes the first time)'
	@$(CARGO) clippy --workspace --all-targets -- -D warnings

# Advisories are left out: they need the network, and change without any change here.
deny: $(DENY) ## Check licences, bans and sources of dependencies
	@echo 'deny: licences, banned crates, sources'
	@$(CARGO) fetch --quiet --locked
	@$(DENY) --offline --log-level error check bans licenses sources
	@echo 'deny: known vulnerabilities are not looked for, which takes the network: make advisories'

advisories: $(DENY) ## Look for known vulnerabilities in the dependencies; needs the network
	@$(DENY) --log-level error check advisories

$(DENY):
	@echo "deny: building cargo-deny $(DENY_VERSION): once, about 2 min on two cores"
	@CARGO_TARGET_DIR=build/cargo-target $(CARGO) install --locked --debug --root build/cargo cargo-deny@$(DENY_VERSION)
	@rm -rf build/cargo-target
	@mv build/cargo/bin/cargo-deny $@

clean: ## Delete everything that was built
	@$(CARGO) clean
	@rm -rf build
