# Everything is run from here. `make demo` and `make test` need only Python 3.11 and make.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
FT_ASSETS_HOME ?= $(CURDIR)/.ft_assets
DAGSTER_HOME := $(FT_ASSETS_HOME)/dagster
export FT_ASSETS_HOME BENTOML_DO_NOT_TRACK = True

.PHONY: help setup demo dev test check bench docs clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(INSTALLED)  ## make .venv with every pinned package

# torch first and with its own dependencies: which those are differs between its CPU and GPU builds.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' requirements.lock)"
	$(BIN)/python -m pip install --quiet --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

demo: setup  ## run the whole loop twice on real data (about 6 minutes)
	$(BIN)/ft-assets demo

dev: setup  ## the Dagster UI, daemon and sensors on http://127.0.0.1:3000
	mkdir -p $(DAGSTER_HOME)
	cp -n deployment/local/dagster.yaml $(DAGSTER_HOME)/dagster.yaml || true
	DAGSTER_HOME=$(DAGSTER_HOME) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dagster dev -w workspace.yaml -h 127.0.0.1 -p 3000

test: setup  ## every test (about 15 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

check: setup  ## lint, types, and definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/dg check yaml
	$(BIN)/dg check defs

bench: setup  ## side-by-side measurements, JSON on standard output
	$(BIN)/python -m benchmarks

docs: setup  ## write docs/recipe.md from the recipe
	$(BIN)/ft-assets recipe > docs/recipe.md

clean:  ## remove the environment; FT_ASSETS_HOME stays
	rm -rf $(VENV) build dist *.egg-info
