# Everything a newcomer needs: `make demo` sets up and runs the main demonstration, `make test` sets up and runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test lint format soak bench clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("FedScale needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(INSTALLED)  ## Create .venv and install FedScale into it

demo: install  ## Simulate federated training on Shakespeare's roles with realistic phones (about 3 minutes)
	$(BIN)/fedscale run demo

test: install  ## Run the tests
	$(BIN)/python -m pytest

lint: install  ## Check style and types
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy

format: install  ## Put the code into the project's format
	$(BIN)/ruff check --fix src tests benchmarks examples
	$(BIN)/ruff format src tests benchmarks examples

soak: install  ## Run the slow checks: many kills, a wheel in a clean environment, the whole demo
	$(BIN)/python -m pytest -m soak -n 0

bench: install  ## Measure speed and memory
	$(BIN)/python -m benchmarks

clean:  ## Remove what was built or downloaded into this folder
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
