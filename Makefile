# Everything that a contributor runs. Each target does its own set-up, on a machine with rustup, python3,
# node and make; what set-up makes lies in .work, tests/node_modules and target.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules --no-print-directory

WASM_TARGET := wasm32-wasip1
MODULE := target/$(WASM_TARGET)/release/realtime_byok.wasm
NATIVE := target/native/librealtime_byok.so
VENV := .work/venv
DONE := .work/done
CARGO_FUZZ := 0.13.2
# Beside the version that tests/requirements.txt pins. The builds of 1.38 on PyPI have no V8.
WASM := 1.36.4 1.37.0 1.39.3
NATIVE_ON := 1.39.3
NODE_TESTS = $(sort $(filter-out tests/conformance/% tests/native/%,$(wildcard tests/*/*.test.mjs examples/*/*.test.mjs)))
# What stands inside of metadata, as a JWT's claims do, Envoy does not give to dynamic modules.
NATIVE_TESTS = $(sort $(filter-out tests/e2e/identities.test.mjs,$(wildcard tests/e2e/*.test.mjs)) $(wildcard tests/native/*.test.mjs))
VERSION = $(shell sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml)

say = @printf '\033[1m==> %s\033[0m\n' '$(1)'

##@ For everyone

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = " ## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { sub(/:.*/, "", $$1); printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build envoy node-packages certificate ## Show the filter at work: Envoy, a mock of OpenAI and a client, on loopback
	$(call say,The demo)
	@node examples/demo/demo.mjs

.PHONY: build
build: rust node-packages ## Build the module, target/wasm32-wasip1/release/realtime_byok.wasm
	$(call say,Building $(MODULE))
	@cargo build --release --target $(WASM_TARGET)
	@node tools/optimise.mjs $(MODULE)

.PHONY: native
native: rust ## Build the dynamic module for Envoy, target/native/librealtime_byok.so
	$(call say,Building $(NATIVE))
	@cargo build --profile native --package realtime-byok-dynamic-module
	@cp target/native/librealtime_byok_dynamic_module.so $(NATIVE)

.PHONY: test
test: setup fmt-check lint unit build e2e e2e-native conformance ## Run every check and test; what CI runs

.PHONY: image
image: ## Build the container images: the gateway, and the plugin alone
	@tools/require.sh docker
	@docker info >/dev/null 2>&1 || { echo 'realtime-byok: no Docker daemon answers: start one, or set DOCKER_HOST' >&2; exit 1; }
	$(call say,Building the images)
	@docker build --file envoy/Dockerfile --target gateway --tag realtime-byok:$(VERSION) .
	@docker build --file envoy/Dockerfile --target plugin --tag realtime-byok-plugin:$(VERSION) .

##@ For contributors

.PHONY: check
check: rust fmt-check lint generated ## Check format, lints and what is generated; says what is not committed
	@git status --short 2>/dev/null || true

.PHONY: fmt
fmt: rust ## Format the code
	@cargo fmt --all

.PHONY: fmt-check
fmt-check: rust ## Check the format
	$(call say,Checking the format)
	@cargo fmt --all --check

.PHONY: generate
generate: rust ## Write what is made from the configuration's types: the reference and the schema
	@UPDATE=1 cargo test --quiet --features schema --test docs generated

.PHONY: generated
generated: rust ## Check that what is generated is current, Cargo.lock included
	$(call say,Checking what is generated)
	@cargo metadata --locked --format-version=1 >/dev/null
	@cargo test --quiet --features schema --test docs generated

.PHONY: lint
lint: rust ## Run clippy, natively and for the module
	$(call say,Linting)
	@cargo clippy --quiet --workspace --all-targets --all-features -- -D warnings
	@cargo clippy --quiet --workspace --lib --target $(WASM_TARGET) -- -D warnings

.PHONY: unit
unit: rust ## Run the native tests
	$(call say,Native tests)
	@cargo test --workspace --all-features

.PHONY: e2e
e2e: setup build native ## Run the end-to-end and deployment tests (TESTS='tests/e2e/slots.test.mjs …' picks)
	$(call say,End-to-end tests)
	@node --test --test-concurrency=2 --test-timeout=600000 $(or $(TESTS),$(NODE_TESTS))

.PHONY: e2e-native
e2e-native: setup native ## Run the end-to-end tests with the dynamic module (TESTS='tests/e2e/slots.test.mjs …' picks)
	$(call say,End-to-end tests of the dynamic module)
	@cargo build --quiet --package realtime-byok-dynamic-module --features faults
	@HOST=native node --test --test-concurrency=2 --test-timeout=600000 $(or $(TESTS),$(NATIVE_TESTS))

.PHONY: test-matrix
test-matrix: setup build native ## Run the end-to-end tests with other versions of Envoy (WASM='1.36.4 …' and NATIVE_ON='1.39.3' pick)
	@for version in $(WASM); do \
	  printf '\033[1m==> The module in Envoy %s\033[0m\n' $$version; \
	  ENVOY_BIN=$$(tools/envoy.sh $$version) node --test --test-concurrency=2 --test-timeout=600000 tests/e2e/*.test.mjs || exit 1; \
	done
	@for version in $(NATIVE_ON); do \
	  printf '\033[1m==> The dynamic module in Envoy %s\033[0m\n' $$version; \
	  ENVOY_BIN=$$(tools/envoy.sh $$version) $(MAKE) e2e-native || exit 1; \
	done

.PHONY: conformance
conformance: setup build ## Run the Autobahn cases with the filter and without, in about a minute
	$(call say,Autobahn cases)
	@node --test --test-timeout=600000 tests/conformance/*.test.mjs

.PHONY: bench
bench: build native envoy node-packages ## Measure beside no filter, Lua, and OLD=module.wasm (ROWS='rest relay …' picks)
	$(call say,Measuring)
	@node benches/envoy/run.mjs $(if $(OLD),--old $(OLD)) $(ROWS)

.PHONY: bench-instructions
bench-instructions: rust ## Count the native instructions of a handshake, an event, a request, by callgrind
	@tools/require.sh valgrind
	$(call say,Counting instructions)
	@node benches/instructions.mjs

.PHONY: size
size: build ## Show the size of the module, section by section
	@node tools/size.mjs $(MODULE)

.PHONY: fuzz
fuzz: rust-nightly ## Run each target of fuzz/ for FUZZ_SECONDS (60) seconds, or those of TARGETS='json …'
	$(call say,Fuzzing)
	@tools/fuzz.sh $(or $(FUZZ_SECONDS),60) $(TARGETS)

##@ Set-up

.PHONY: setup
setup: rust envoy node-packages certificate browser prometheus ## Install what the tests need

.PHONY: clean
clean: ## Remove what was built and installed here
	rm -rf target .work tests/node_modules

# Set-up leaves a stamp behind, so that it runs again only when what it pins has changed.

.PHONY: rust rust-nightly envoy node-packages certificate browser prometheus
rust: $(DONE)/rust ## The Rust toolchain that rust-toolchain.toml pins
rust-nightly: $(DONE)/rust-nightly ## The compiler that fuzz/rust-toolchain.toml pins, and cargo-fuzz
envoy: $(DONE)/python ## Envoy and the Python test packages, in .work/venv
node-packages: $(DONE)/node ## The Node packages of tests, tools, examples and benches
certificate: .work/tls/tls.crt ## A certificate for localhost
browser: ## Chromium, where it can be installed
	@tools/chromium.sh
prometheus: ## Prometheus, where it can be had
	@tools/prometheus.sh .work/prometheus

$(DONE)/rust: rust-toolchain.toml tools/rust.sh
	@tools/require.sh rustup
	$(call say,Preparing the Rust toolchain)
	@tools/rust.sh
	@mkdir -p $(@D) && touch $@

$(DONE)/rust-nightly: fuzz/rust-toolchain.toml tools/rust.sh
	@tools/require.sh rustup
	$(call say,Preparing the fuzzer)
	@tools/rust.sh fuzz
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz@$(CARGO_FUZZ)
	@mkdir -p $(@D) && touch $@

$(DONE)/python: tests/requirements.txt tools/python.sh
	@tools/require.sh python3
	$(call say,Installing Envoy and the Python test packages)
	@tools/python.sh $(VENV)
	@mkdir -p $(@D) && touch $@

$(DONE)/node: tests/package.json tests/package-lock.json
	@tools/require.sh node npm
	$(call say,Installing the Node test packages)
	@npm ci --prefix tests --no-audit --no-fund --loglevel=error
	@mkdir -p $(@D) && touch $@

.work/tls/tls.crt: envoy/tls.sh
	@tools/require.sh openssl
	@envoy/tls.sh $(@D)
	@touch $@
