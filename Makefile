# make demo   set up, then extract, match and reconstruct the demo scene (or IMAGES=folder), shipped weights, offline
# make test   set up, then lint, type check and run the tests
# make bench   speed beside the authors' code (BENCH="--only match_4096 --json")
# make bench-gpu  the same on a GPU in fp16, with a chart in bench-gpu.png and the figures in bench-gpu.json
# make accuracy   pose AUC of default against reference decoding on SCENE (images/, cameras.json, pairs.txt)
# make retrieval  recall of true pairs at 10 among SCENES mixed (a scene: images/, pairs.txt; a plain folder: all overlap)
# make torture  1,000 random kills and 10,000 mutated inputs, with limits of time and memory (minutes)
# make test-slow  the longer checks: random kills, half-pixel self-test of reconstructions
# make sanitize   build the native library with address and undefined-behaviour sanitizers, run its tests, build it again
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

.PHONY: sanitize demo test test-slow torture bench bench-gpu accuracy retrieval lint format clean

$(VENV)/.ready: pyproject.toml constraints.txt $(wildcard native/*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group dev
	touch $@

demo: $(VENV)/.ready
ifeq ($(IMAGES),)
	test -f $(DEMO)/cameras.json || $(BIN)/xfeat demo $(DEMO)
	$(BIN)/xfeat sfm $(DEMO)/images $(OUT) --single-camera
	$(BIN)/xfeat eval sfm $(OUT)/sparse/0 $(DEMO)/cameras.json
else
	$(BIN)/xfeat sfm '$(IMAGES)' $(OUT) || test $$? = 1
endif
	$(BIN)/xfeat inspect $(OUT)/matches.h5
	@echo
	@echo 'Open: $(OUT)/report/index.html'
	@echo 'Look at: $(OUT)/sparse/0 (a COLMAP model), $(OUT)/features.h5 and $(OUT)/matches.h5'
	@echo 'Call the tool as $(BIN)/xfeat, or run ". $(BIN)/activate" once and call xfeat.'
	@echo 'Next: $(BIN)/xfeat sfm YOUR_PHOTOS/ out/'

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov=xfeat_cli --cov-report=term:skip-covered

torture: $(VENV)/.ready
	$(BIN)/python -m pytest -m torture -s

test-slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

sanitize: $(VENV)/.ready
	$(BIN)/python native/build.py $(SANITIZERS)
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  $(BIN)/python -m pytest tests/native/test_functions.py; status=$$?; $(BIN)/python native/build.py && exit $$status

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
