# Everything a contributor runs. `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo test test-all lint format bench results clean

help:
	@echo "make demo      train on the data that ships with the repository, write build/demo/report.html"
	@echo "make test      the test-suite (slow physics: make test-all)"
	@echo "make lint      ruff format and ruff check"
	@echo "make bench     benchmarks beside the peers, write benchmarks/results/summary.json"

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

setup: $(VENV)/.installed
