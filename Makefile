# make demo   set up, then extract and match the demo scene (or IMAGES=folder) with the shipped weights
# make test   set up, then lint, type check and run the tests
# make lint / make format / make test-slow / make clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-scene
IMAGES ?=
OUT ?= demo-scene/results

.PHONY: demo test test-slow lint format clean

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/.ready
	mkdir -p $(OUT)
ifeq ($(IMAGES),)
	test -f $(DEMO)/cameras.json || $(BIN)/xfeat demo $(DEMO)
	$(BIN)/xfeat extract $(DEMO)/images $(OUT)/features.h5
else
	$(BIN)/xfeat extract '$(IMAGES)' $(OUT)/features.h5
endif
	$(BIN)/xfeat pairs exhaustive $(OUT)/features.h5 -o $(OUT)/pairs.txt
	$(BIN)/xfeat match $(OUT)/pairs.txt --features $(OUT)/features.h5 --output $(OUT)/matches.h5
	$(BIN)/xfeat inspect $(OUT)/features.h5
	$(BIN)/xfeat inspect $(OUT)/matches.h5

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint
	$(BIN)/python -m pytest

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) $(DEMO)
