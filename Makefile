# The words of the developer's loop, the same for people and for CI. `make` alone prints them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install check test demo dist bench clean
.DEFAULT_GOAL := help

help: ## print these words
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv with everything that development needs

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "nb2prod needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: $(STAMP) ## formatting, lint, types, architecture, the docs' own promises
	$(BIN)/ruff format --check nb2prod tests benchmarks
	$(BIN)/ruff check nb2prod tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --config pyproject.toml
	$(BIN)/python -m pytest tests/test_architecture.py tests/test_docs.py

test: $(STAMP) ## the tests, on real kernels, stores, HTTP and data
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --durations=25

demo: $(STAMP) ## one notebook all the way: inspect, check, run, test, package, verify, serve, a request
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash notebooks/demo.sh

dist: $(STAMP) ## build the wheel, install it in an empty environment and run the command from there
	rm -rf dist build
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	$(BIN)/python -m build --outdir dist
	rm -rf build && $(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[serve]"
	cd build && empty/bin/nb2prod --version && empty/bin/nb2prod inspect ../notebooks/mortgage.ipynb
	cd build && empty/bin/nb2prod package ../notebooks/mortgage.ipynb -o package -p n_trees 20 --no-track

bench: $(STAMP) ## measure side by side with peers (see benchmarks/): two hours
	for script in start_up inspect_speed run_speed rerun map_speed dask_map checkpoint_cost track_each serving_speed package_speed score_speed; do \
	  $(BIN)/python benchmarks/$$script.py || exit 1; \
	done
	$(BIN)/python benchmarks/table.py

clean: ## remove what the other words made
	rm -rf $(VENV) build dist runs demo mlruns mlflow.db .nb2prod .pytest_cache .mypy_cache .ruff_cache
