# Every command needs git, make and a Python from 3.11 on; the rest they fetch themselves, as locks/ says.

# The first of these that the locks are for, and that can make a virtual environment, is used; PYTHON=… decides.
PYTHONS := python3.11 python3 python3.12 python3.13 python3.14
USABLE := import sys, importlib.util, shutil; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 14) \
	and (shutil.which("uv") or importlib.util.find_spec("ensurepip"))))
PYTHON ?= $(shell for name in $(PYTHONS); do $$name -c '$(USABLE)' >/dev/null 2>&1 && echo $$name && break; done)
BIN := .venv/bin
TESTS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test setup check wheelhouse lock clean python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: python ## Start a real bridge and watch the LM switch from scope to scope
	@$(PYTHON) .ci/install.py demo
	@$(BIN)/dspex-testkit demo

test: python ## Run every check: lint, types, the built wheel, Elixir, pytest
	@$(PYTHON) .ci/install.py tools
	@$(BIN)/python .ci/checks.py $(TOX_ARGS)

setup: python ## Install everything into .venv, the package as editable
	@$(PYTHON) .ci/install.py all

check: setup ## Lint, types, and the tests of a path: make check TESTS=tests/bridge
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(if $(TESTS),$(BIN)/python -m pytest $(TESTS),echo 'No tests ran: name some, as in make check TESTS=tests/bridge.')

wheelhouse: python ## Fetch what the tests install into ./wheelhouse, to run them without an index
	@$(PYTHON) .ci/install.py tools
	@$(BIN)/python .ci/wheelhouse.py wheelhouse

lock: python ## Move the locks to the newest of everything, and say what moved; LOCK_ARGS=--keep moves what has to
	@$(PYTHON) .ci/install.py tools
	@$(BIN)/python .ci/lock.py $(LOCK_ARGS)

clean: ## Remove what the other targets made, but not the wheelhouse
	rm -rf .venv .tox build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

python:
ifeq ($(strip $(PYTHON)),)
	@echo 'No usable Python found. Wanted: Python 3.11 to 3.14, and either its module ensurepip or uv on the PATH; tried: $(PYTHONS). On Debian: apt-get install python3 python3-venv. To name one: make PYTHON=/path/to/python $(MAKECMDGOALS)' >&2
	@exit 1
else
	@$(PYTHON) -c 'pass' 2>/dev/null || { echo '$(PYTHON) does not run: name a Python from 3.11 to 3.14, as in make PYTHON=python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
endif
