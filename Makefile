# Every target does its own set-up: a machine with Python 3.11 or newer and make is enough.
#   make demo       the main job against the local HubSpot emulator
#   make test       all tests                  make test-all   on every Python >= 3.11 found
#   make check      format, lint, types        make soak       the long proofs, five minutes with a seed
#   make soak-all   those, and what takes longer: a million meetings in step, copies, clusters, shared quota
#   make bench      the benchmarks             make docs       the site, in build/docs
#   make conformance SPECS=DIR   the emulator judged by HubSpot's Node client and by the OpenAPI files in DIR

CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
SOAK_SEED ?= 1
SOAKED ?= tests/proof tests/process tests/security tests/test_limiter_window.py
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all check docs bench soak soak-all conformance clean

demo: $(VENV)/.cli
	$(BIN)/hubspot-meetings demo

# Byte code is kept whatever the shell says: the tests start hundreds of processes, and each would compile all anew.
# Slow tests stand together: by worksteal, whoever is done takes some of them over.
test: $(VENV)/.dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal

test-all:
	@set -e; for p in $(CANDIDATES) $(wildcard $(HOME)/.pyenv/versions/3.1[1-9]*/bin/python); do \
	  v=$$($$p -c 'import sys; assert sys.version_info >= (3, 11); print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	  case " $$done " in *" $$v "*) continue;; esac; done="$$done $$v"; \
	  echo "== Python $$v"; $(MAKE) --no-print-directory test PYTHON=$$p VENV=$(VENV)-$$v; \
	done

check: $(VENV)/.dev docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: $(VENV)/.dev
	$(BIN)/python -m sphinx -W -n --keep-going -E -q -b html docs build/docs

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

soak: $(VENV)/.dev
	PYTHONDONTWRITEBYTECODE= SOAK_SEED=$(SOAK_SEED) $(BIN)/python -m pytest -m soak -n auto $(SOAKED)

soak-all: SOAKED :=
soak-all: soak

conformance: $(VENV)/.dev
	$(BIN)/python -m tests.conformance $(if $(SPECS),--specs '$(SPECS)')

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; install it, or say where: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "this Python makes no virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.cli: $(VENV)/bin/python pyproject.toml
	$(PIP) --editable '.[cli]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml
	$(PIP) --editable '.[dev,fast,bench]'
	@touch $@ $(VENV)/.cli

clean:
	rm -rf $(VENV) $(VENV)-3.* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
