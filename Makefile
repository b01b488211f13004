# make demo   set up, then extract, match and reconstruct the demo scene (or IMAGES=folder), shipped weights, offline
# make test   set up, then lint, type check and run the tests
# make bench   speed beside the authors' code (BENCH="--only match_4096 --json")
# make bench-gpu  the same on a GPU in fp16, with a chart in bench-gpu.png and the figures in bench-gpu.json
# make accuracy   pose AUC of default against reference decoding on SCENE (images/, cameras.json, pairs.txt)
# make retrieval  recall of true pairs at 10 among SCENES mixed (a scene: images/, pairs.txt; a plain folder: all overlap)
# make test-slow  the longer checks: random kills, half-pixel self-test of reconstructions
# make lint / make format / make clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo-scene
IMAGES ?=
OUT ?= $(if $(IMAGES),results/$(notdir $(patsubst %/,%,$(IMAGES))),$(DEMO)/results)

SCENE ?= $(DEMO)
WEIGHTS ?= default
SCENES ?= ../shared/data/strecha/fountain-P11 ../shared/data/strecha/castle-P19 ../shared/data/sceaux

.PHONY: demo test test-slow bench bench-gpu accuracy retrieval lint format clean

$(VENV)/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
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
	$(BIN)/xfeat inspect $(OUT)/matches.h5
ifeq ($(IMAGES),)
	$(BIN)/xfeat sfm $(DEMO)/images $(OUT) --single-camera
	$(BIN)/xfeat eval sfm $(OUT)/sparse/0 $(DEMO)/cameras.json
else
	-$(BIN)/xfeat sfm '$(IMAGES)' $(OUT)
endif

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint
	$(BIN)/python -m pytest --cov=xfeat_cli --cov-report=term:skip-covered

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.ready
	$(BIN)/xfeat bench $(BENCH)

bench-gpu: $(VENV)/.ready
	$(BIN)/xfeat bench --device cuda --precision fp16 --plot bench-gpu.png --json $(BENCH) | tee bench-gpu.json

accuracy: $(VENV)/.ready
	test -f $(SCENE)/cameras.json || $(BIN)/xfeat demo $(SCENE)
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cd "$$folder" && set -e && \
	for decoding in default reference; do \
	  echo "$(SCENE), weights $(WEIGHTS), $$decoding decoding"; \
	  $(CURDIR)/$(BIN)/xfeat extract $(abspath $(SCENE))/images out.h5 --weights $(WEIGHTS) --decoding $$decoding -q --overwrite; \
	  $(CURDIR)/$(BIN)/xfeat match $(abspath $(SCENE))/pairs.txt -q --overwrite; \
	  $(CURDIR)/$(BIN)/xfeat eval pose $(abspath $(SCENE))/cameras.json $(abspath $(SCENE))/pairs.txt -f out.h5 --seeds 5; \
	done

retrieval: $(VENV)/.ready
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && mkdir "$$folder/mixed" && set -e && \
	for scene in $(abspath $(SCENES)); do \
	  name=$$(basename $$scene); images=$$scene; pairs=$$scene/pairs.txt; \
	  if test -d $$scene/images; then images=$$scene/images; fi; \
	  if ! test -f $$pairs; then pairs=$$folder/all.txt; $(BIN)/xfeat pairs exhaustive $$images -o $$pairs; fi; \
	  ln -s $$images "$$folder/mixed/$$name"; \
	  awk -v scene=$$name 'NF {print scene "/" $$1, scene "/" $$2}' $$pairs >> "$$folder/true.txt"; \
	done; \
	$(BIN)/xfeat extract "$$folder/mixed" "$$folder/out.h5" --weights $(WEIGHTS) -q; \
	$(BIN)/xfeat pairs retrieval "$$folder/out.h5" --num 10 -o "$$folder/pairs.txt"; \
	$(BIN)/xfeat eval pairs "$$folder/pairs.txt" "$$folder/true.txt"

clean:
	rm -rf $(VENV) $(DEMO)
