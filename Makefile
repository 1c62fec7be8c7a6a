# The steps of this project. `make demo` and `make test` do all the set-up on a fresh machine.
# CI runs `make lint` and `make test`; nothing is checked that a developer cannot run by the same name.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET := $(or $(CARGO_TARGET_DIR),target)
DEMO ?=
LAB ?=
RUNS ?= blueprint-100 rise climb blueprint-120 blueprint-300
POLICIES ?= evenkeel published lag-and-rate
KEDA_RUN ?=
CLUSTER_TEST ?=
VERSION ?=

.PHONY: help setup demo test keda-run cluster-test swarm fuzz scoreboard calendar-board lint generate static bench chaos release

help:  ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 20

setup:  ## Everything a fresh machine lacks: system packages, our programs, Kafka's jars
	@bash setup/setup.sh
	@cargo build --locked --workspace
	@$(TARGET)/debug/evenkeel demo --prepare

demo: setup  ## The main job on a real Kafka broker; options as DEMO="--policy keda-lag"
	@$(TARGET)/debug/evenkeel demo $(DEMO)

test: setup  ## All tests: real Kafka, real Prometheus, real processes, helm, a real browser
	@bash setup/deploy.sh
	@bash setup/browser.sh
	@cargo test --locked --package evenkeel-consumer --all-features --lib --test msk_iam --test traces
	@cargo test --locked --workspace

keda-run:  ## The published loads on real KEDA, beside its own rules: docs/keda-runs.md; LAB=FOLDER is the lab (docs/keda.md)
	@test -n "$(LAB)" || { echo "LAB=FOLDER is missing: see docs/keda.md"; exit 64; }
	@bash setup/setup.sh
	@cargo build --locked --release --bins -p evenkeel -p evenkeel-consumer -p evenkeel-tools
	@$(TARGET)/release/keda-run --lab "$(LAB)" --runs "$(RUNS)" --policies "$(POLICIES)" \
		--revision "$$(git describe --always --dirty)" $(KEDA_RUN)

cluster-test:  ## Two replicas of the scaler under real KEDA, RBAC and faults: docs/cluster-test.md; LAB=FOLDER is the lab (docs/keda.md)
	@test -n "$(LAB)" || { echo "LAB=FOLDER is missing: see docs/keda.md"; exit 64; }
	@bash setup/setup.sh
	@cargo build --locked --release --bins -p evenkeel -p evenkeel-consumer -p evenkeel-tools
	@[ -x "$(TARGET)/helm" ] || GOBIN="$$(realpath -m "$(TARGET)")" go install -trimpath \
		"helm.sh/helm/v3/cmd/helm@$$(sed -n 's/^\thelm.sh.helm.v3 //p' setup/chart-tool/go.mod)"
	@$(TARGET)/release/cluster-test --lab "$(LAB)" --helm "$(TARGET)/helm" --page docs/cluster-test.md --revision "$$(git describe --always --dirty)" $(CLUSTER_TEST)

swarm:  ## Every law over 10,000 runs with random faults, on all cores; SWARM_RUNS and SWARM_SEED choose others
	@SWARM_RUNS=$(or $(SWARM_RUNS),10000) cargo test --locked --release -p evenkeel-sim --test swarm -- --nocapture

fuzz:  ## Bent frames, requests, answers and configurations, FUZZ_TIMES=100 times as many as in make test (half an hour)
	@FUZZ_TIMES=$(or $(FUZZ_TIMES),100) cargo test --locked --test fuzz -- --nocapture

scoreboard:  ## Every policy on every scenario with 20 seeds: docs/SCOREBOARD.md and docs/scoreboard/
	@cargo run --locked --release --quiet -p evenkeel-sim --bin scoreboard -- docs

calendar-board:  ## What earlier days are worth, on weeks in real time, with SEEDS=20: docs/calendar-board.md (five minutes of a core a seed)
	@cargo run --locked --release --quiet -p evenkeel-sim --bin calendar_board -- docs/calendar-board.md $(or $(SEEDS),20)

lint:  ## Format, clippy with warnings as errors, docs, licences, advisories, unused dependencies, scripts, Dockerfiles
	@bash setup/setup.sh
	@bash setup/tools.sh
	cargo fmt --all --check
	PATH="$(TARGET)/linters/bin:$$PATH" shellcheck .ci/run $$(git ls-files '*.sh')
	$(TARGET)/linters/bin/hadolint deploy/docker/*.Dockerfile consumer/Dockerfile
	cargo machete
	cargo deny --workspace --locked check bans licenses sources
	@bash setup/advisories.sh
	cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
	cargo clippy --locked --package evenkeel --no-default-features --quiet -- -D warnings
	cargo clippy --locked --package evenkeel-consumer --all-features --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet

generate:  ## Rewrite the committed generated files
	@bash setup/deploy.sh
	@UPDATE_EXPECT=1 cargo test --locked --test generated --test deploy --test migrate -- --skip chart:: --skip run:: --skip files::
	@UPDATE_EXPECT=1 cargo test --locked --test deploy what_is_rendered_is_what_is_committed

static:  ## The scaler as its image has it: static, small, in an empty root with the chart's arguments (root)
	@bash deploy/docker/static.sh

bench:  ## Measured tables: requests and CPU a tick, calls a second, waking, microseconds a decision, records/s of the consumer
	@bash setup/setup.sh
	@cargo build --locked --release --workspace --bins --examples
	@cargo bench --locked --workspace

chaos: setup  ## Kills, freezes and crashes around the consumer for an hour; CHAOS_SECONDS=600 for less
	@EVENKEEL_CHAOS_SECONDS=$(or $(CHAOS_SECONDS),3600) cargo test --locked --test chaos -- --nocapture

release:  ## Version, changelog, commit, tag, charts and checksums of a release: VERSION=1.2.3; pushes nothing
	@bash setup/release.sh "$(VERSION)"
