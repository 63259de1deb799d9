# `make run` shows the whole thing, `make test` proves it; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input -q
TESTS  ?= tests
# On PostgreSQL runs what may depend on the store; what is about directories, the wire and long histories does so in test-postgres only, and what
# brings a PostgreSQL of its own has run before.
STORED ?= tests/sync tests/api tests/daemon tests/clients --ignore=tests/sync/sources --ignore-glob='*/test_faults*' \
  --ignore-glob='*/sync/test_with_*' --ignore-glob='*_slapd.py' --ignore-glob='*_dirsrv.py' --ignore-glob='*postgres.py' \
  --ignore=tests/sync/test_histories.py --ignore=tests/sync/test_killed.py --ignore=tests/api/test_abuse.py \
  --ignore=tests/daemon/test_keysets.py --ignore=tests/daemon/test_proxy.py --ignore=tests/daemon/commands/test_scim.py
WORKERS ?= 3

unexport PYTHONDONTWRITEBYTECODE  # tests start hundreds of processes: each would compile all our modules, a fifth of a command's time

.PHONY: help run test coverage lint test-faults test-postgres test-schema test-systemd fuzz bench bench-1m bench-growth deb wheelhouse lock clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | awk -F ':.*## *' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(VENV)/.runtime  ## set up .venv and start the demonstration: needs no root, changes nothing outside this folder
	@exec $(BIN)/rosterd demo

test: $(BIN)/python  ## everything CI checks: lint, architecture, all tests against real servers, and all that opens a store on PostgreSQL too
	@bash tests/servers/install.sh & trap wait EXIT; $(MAKE) --no-print-directory lint; wait $$!
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not faults and not systemd' $(TESTS)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not faults and not systemd' --store=postgresql --no-header -q $(STORED)

coverage: $(VENV)/.tools  ## which lines no test runs, in the tests' own processes and in those that they start; twice the time of make test
	@bash tests/servers/install.sh
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not faults and not systemd' --cov --cov-report=term:skip-covered $(TESTS)

lint: $(VENV)/.tools  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-faults: $(VENV)/.tools  ## the long fault injections: a hundred kills in every phase; disks, crowds and clocks
	@bash tests/servers/install.sh
	ROSTERD_KILLS=100 $(BIN)/python -m pytest $(TESTS)/sync/test_killed.py
	$(BIN)/python -m pytest -m faults --no-header -q $(TESTS) || [ $$? = 5 ]

test-postgres: $(VENV)/.tools  ## all tests that open a store, with every store on a PostgreSQL
	@bash tests/servers/install.sh
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m 'not faults and not systemd' --store=postgresql --no-header -q $(TESTS)

test-schema: $(VENV)/.tools  ## Schemathesis on the live API for ten minutes, with another seed each time
	ROSTERD_SCHEMA_EXAMPLES=1000 ROSTERD_SCHEMA_SEED=$${ROSTERD_SCHEMA_SEED:-$$RANDOM} $(BIN)/python -m pytest -q --no-header $(TESTS)/schema

test-systemd: $(VENV)/.tools  ## the package and the wheelhouse in a booted Debian 12: install, restart, kill, upgrade, purge; needs root
	@bash tests/servers/install.sh systemd-container debootstrap binutils
	$(BIN)/python -m pytest -m systemd -q --no-header --durations=10 $(TESTS)/systemd

fuzz: $(VENV)/.tools  ## ten million mutated LDAP messages through the decoder; FUZZ_CASES=, FUZZ_SEED=
	$(BIN)/python -m tests.fuzz

bench: $(VENV)/.tools $(VENV)/yardstick/.made  ## every budget beside its yardstick, about ten minutes; BENCH_PEOPLE=100000 BENCH_REPEAT=3 BENCH_PARTS=syncs
	@bash tests/servers/install.sh python3-ldap
	$(BIN)/python -m bench

bench-1m: $(VENV)/.tools  ## syncs and lookups of a million people, once
	@bash tests/servers/install.sh
	BENCH_PEOPLE=1000000 BENCH_REPEAT=$${BENCH_REPEAT:-1} BENCH_PARTS="$${BENCH_PARTS:-syncs lookups}" $(BIN)/python -m bench

bench-growth: $(VENV)/.tools  ## the sizes that the two above have not measured yet, and docs/performance.md from all of them; BENCH_SIZES="1000 10000 100000 1000000"
	@bash tests/servers/install.sh
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.page

deb: $(VENV)/.runtime  ## the Debian package for this Python, in dist/
	packaging/build-deb.sh $(BIN)/python dist

wheelhouse: $(VENV)/.runtime  ## an archive for machines that can download nothing, in dist/
	packaging/build-wheelhouse.sh $(BIN)/python dist

lock: $(VENV)/.tools  ## resolve requirements.lock anew from pyproject.toml
	$(PIP) install uv
	$(BIN)/python .ci/lock.py $(BIN)/uv

clean:  ## remove what make made
	rm -rf $(VENV) dist .coverage .coverage.* htmlcov bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment: made once, brought up to date when the lock or the project's metadata change -------------------------

$(BIN)/python:
	@bash .ci/venv.sh $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "rosterd: installing what requirements.lock names (the first time takes a minute)" >&2
	@sed '/^# --- tools:/,$$d' requirements.lock > $(VENV)/runtime.lock
	@$(PIP) install --require-hashes --no-deps -r $(VENV)/runtime.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.tools: $(VENV)/.runtime
	@bash tests/servers/install.sh building $(BIN)/python
	@CFLAGS=-O0 $(PIP) install --require-hashes --no-deps -r requirements.lock
	@touch $@

$(VENV)/yardstick/.made: bench/django-requirements.txt | $(BIN)/python
	@$(BIN)/python -m venv --clear $(VENV)/yardstick
	@$(VENV)/yardstick/bin/python -m pip --disable-pip-version-check --no-input -q install --require-hashes --no-deps -r $<
	@touch $@
