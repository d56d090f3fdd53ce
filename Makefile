# Works with GNU make 3.81. Everything is installed into .venv; nothing outside this folder is changed.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint format clean

# The whole job on synthetic speech: prepare, evaluate, train, evaluate again, compare, report.
demo: .venv/demo
	$(BIN)/smallvoice demo

# Every test, in a process for each core, up to four. What needs Chromium or real data skips, saying so, where it is
# absent.
test: .venv/dev
	$(BIN)/python -m pytest -ra --durations=20 --numprocesses=logical --maxprocesses=4 --dist=loadfile

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/demo: pyproject.toml constraints.txt
	@echo "Installing smallvoice into .venv (a minute or two) ..."
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[demo]'
	touch $@

.venv/dev: pyproject.toml constraints.txt
	@echo "Installing smallvoice and what its tests need into .venv (a minute or two) ..."
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
