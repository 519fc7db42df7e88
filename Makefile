PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-fast lint world clean

setup: $(STAMP)

# Runs again only when a dependency changed.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: setup  ## the whole path over the embedded world, at most ten minutes on two cores
	$(BIN)/python jobs/demo.py --config jobs/configs/demo.yaml

test: setup  ## all tests
	$(BIN)/python -m pytest

test-fast: setup  ## what a developer runs at every change
	$(BIN)/python -m pytest -m 'not slow'

lint: setup
	$(BIN)/ruff check .

world: setup  ## train the models of the embedded world anew (hours on two cores)
	$(BIN)/python jobs/build_world.py --config jobs/configs/build-world.yaml

clean:
	rm -rf $(VENV) runs
