# Two commands on a fresh machine: `make devnet` and `make test`. Everything lands in .venv/ and .devnet/.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where a compiler is missing these are left out, and Python does their work.
KERNELS := $(wildcard node/native/*.[ch])
# What goes to `python -m devnet up`: make devnet UP="--fresh --rpc-port 9545"
UP ?=

.PHONY: devnet devnet-down devnet-status test test-all lint bench clean help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

devnet: $(VENV)/.ready  ## validators, replicas and light clients, proved with real work; they stay up
	@$(BIN)/python -m devnet up $(UP)

devnet-down: $(VENV)/.ready  ## stop them; the chain stays
	@$(BIN)/python -m devnet down

devnet-status: $(VENV)/.ready  ## one line per node
	@$(BIN)/python -m devnet status

test: $(VENV)/.ready-dev  ## lint, types, import rules and every quick test
	@$(BIN)/python -m tests fast

test-all: $(VENV)/.ready-dev  ## the tests that take minutes, other clients, fuzzing
	@$(BIN)/python -m tests full
	@$(BIN)/python -m tests interop
	@$(BIN)/python -m tests fuzz

lint: $(VENV)/.ready-dev  ## style, types and import rules only
	@$(BIN)/python -m tests lint

bench: $(VENV)/.ready-dev  ## the measured ratios
	@$(BIN)/python -m tests bench

clean:  ## remove what was installed and built; stops the local network and forgets its chain
	@if [ -x $(BIN)/python ] && [ -d .devnet ]; then $(BIN)/python -m devnet down --clean; fi
	rm -rf $(VENV) .devnet build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f node/native/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }

# Pinned in pyproject.toml; installed again whenever that file or the extension in C changes.
$(VENV)/.ready: pyproject.toml $(KERNELS) | $(BIN)/python
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml $(KERNELS) | $(BIN)/python
	@echo "installing into $(VENV), with what tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.ready $@
