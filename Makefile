# `make` or `make help` lists the targets. PYTHON=python3.12 picks the interpreter of a new .venv.
PYTHON ?= python3
BIN := .venv/bin
# The tests use a thread each: a process a core, and a file's tests together, since they share what they are made on.
# A process that crashes ends them: pytest-xdist may wait for ever for the one that takes its place.
PARALLEL := --numprocesses auto --dist loadfile --max-worker-restart=0
.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow test-long lint verify-data benchmark tables figures report reproduce clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(BIN)/.installed ## create .venv and install what everything needs; again only when requirements change

$(BIN)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is `$(PYTHON) --version 2>&1`: make PYTHON=python3.12 ..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "the venv module is missing: on Debian and Ubuntu, apt-get install python3-venv"; exit 2; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --python $(BIN)/python --requirement requirements.txt --group dev
	@touch $@

run: setup ## the quick start: ERM against mixup on digits, 12 runs; table and picture in runs/quickstart
	$(BIN)/python train.py -m experiment=quickstart
	@$(BIN)/python scripts/quickstart.py

test: setup ## the fast tests, under 10 minutes on 2 cores
	$(BIN)/python -m pytest -q -m "not slow and not long" -rs $(PARALLEL)

test-slow: setup ## the slow tests; those on real CIFAR-10 need MIXUP_DATA=DIR
	$(BIN)/python -m pytest -q -m "slow and not long" -rs $(PARALLEL) --no-loadscope-reorder

test-long: setup ## tests of minutes each: kills at random, two machines, clusters; CI leaves them out
	$(BIN)/python -m pytest -q -m long -rs $(PARALLEL)

lint: setup ## format check, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

verify-data: setup ## check every data set below the data root: layout, counts, checksums, damage, duplicates
	$(BIN)/python scripts/verify_data.py

benchmark: setup ## how fast the step and its parts are here: results/benchmarks/<device>.json and docs/speed.md
	for what in throughput floor mixing pipeline operations startup; do $(BIN)/python scripts/benchmark.py $$what || exit; done

tables: setup ## results/*.md and the README's table, from the evidence in results/runs
	$(BIN)/python scripts/ledger.py tables

reproduce: setup ## TABLE=figure3_cifar10 [SCALE=cpu]: run what is missing of it, collect, make the tables
	@test -n "$(TABLE)" || { echo "which one? make reproduce TABLE=figure3_cifar10 [SCALE=cpu]; configs/experiment has them"; exit 2; }
	$(BIN)/python scripts/ledger.py reproduce $(TABLE) $(if $(SCALE),--scale $(SCALE)) --run

figures: setup ## results/figures/*.svg, from the evidence in results/runs
	$(BIN)/python scripts/ledger.py figures

report: setup ## results/report.html, one page of all of it
	$(BIN)/python scripts/ledger.py report

clean: ## remove .venv and caches; runs and results stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
