# `make demo` and `make test` need git, make and a Python >= 3.11 with venv; everything else they fetch themselves.

# The first of these that is new enough and can make a virtual environment is used; PYTHON=… on the command line decides.
PYTHONS := python3.11 python3 python3.12 python3.13
PYTHON ?= $(shell for name in $(PYTHONS); do \
	$$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$name && break; \
	done)
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test wheelhouse lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo-ready ## Start a real bridge and watch the LM switch from scope to scope
	@$(BIN)/dspex-testkit demo

test: $(VENV)/.tox-ready ## Run every check: lint, types, the built wheel, Elixir, pytest
	@$(BIN)/tox run $(TOX_ARGS)

wheelhouse: $(VENV)/.made ## Fetch what the tests install into ./wheelhouse, to run them without an index
	@$(BIN)/python .ci/wheelhouse.py wheelhouse

lock: $(VENV)/.tox-ready ## Move the locks to the newest of everything, and say what moved
	@$(BIN)/python .ci/lock.py $(LOCK_ARGS)

clean: ## Remove what the other targets made, but not the wheelhouse
	rm -rf $(VENV) .tox build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp per purpose, so that neither command waits for what only the other one needs.
$(VENV)/.demo-ready: pyproject.toml $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cli]'
	@touch $@

$(VENV)/.tox-ready: pyproject.toml $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'tox>=4.31' 'tox-uv>=1.25'
	@touch $@

$(VENV)/.made:
ifeq ($(strip $(PYTHON)),)
	@echo 'No usable Python found. Wanted: Python 3.11 or newer with the modules venv and ensurepip.' >&2
	@echo 'Tried: $(PYTHONS). On Debian and Ubuntu: apt-get install python3.11 python3.11-venv.' >&2
	@echo 'To name another interpreter: make PYTHON=/path/to/python $(MAKECMDGOALS)' >&2
	@exit 1
else
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo '$(PYTHON) does not run, or is older than the Python 3.11 that is needed.' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
		{ echo '$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3.11-venv.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@
endif
