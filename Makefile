# Two commands: `make quickstart` and `make test`. Each sets everything up first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A file's tests stay together: what its fixtures made serves them all.
FAST := $(BIN)/pytest -m "not slow" -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help quickstart test launch faults check lint ui clean

help: ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

quickstart: $(READY) ## Run the whole quickstart study; its report opens in any browser
	$(BIN)/raystudy run experiments/quickstart.py

ui: $(READY) ## Serve the MLflow pages of the runs on this machine
	$(BIN)/raystudy ui

check: $(READY) lint ## Lint, types, floors, unit and property tests (minutes)
	$(FAST)

test: $(READY) lint ## All but `make faults`, with a real Ray cluster, MLflow server and browser
	$(FAST)
	$(BIN)/pytest -m "slow and not faults"

launch: $(READY) ## From `ray up` to `ray down` on this machine, its head killed (10 min)
	$(BIN)/pytest tests/cluster/test_launched.py

faults: $(READY) ## Ten kills of workers, nodes and drivers, groups that shrink and grow, a grid killed thrice (40 min)
	N_FAULTS=10 $(BIN)/pytest -m faults

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean: ## Remove the environment and every result
	rm -rf $(VENV) runs

# Bytecode is compiled once here: Ray starts many processes, and each would compile it anew.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	if command -v uv >/dev/null; then \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	touch $(READY)
