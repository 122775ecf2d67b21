# streamvl: one target per artefact. `make` prints them.
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
OUT    ?= out/mine
CONFIG ?=
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
FORCE  ?=
MODEL  ?= out/tiny
VIDEO  ?= out/demo/videos/real/bikes.mp4
ASK    ?= What happens here?
AT     ?=
ARGS   ?=

# Paths go through the environment, so that quotes, spaces and dollars in them reach the program as they are.
export STREAMVL_VIDEOS := $(value VIDEOS)
export STREAMVL_OUT    := $(value OUT)
export STREAMVL_CONFIG := $(value CONFIG)
export STREAMVL_MODEL  := $(value MODEL)
export STREAMVL_VIDEO  := $(value VIDEO)
export STREAMVL_ASK    := $(value ASK)
export STREAMVL_AT     := $(value AT)
config := $(if $(CONFIG),--config "$$STREAMVL_CONFIG")
force  := $(if $(FORCE),--force)
build  := $(RUN) -m datasets_build
# Without a model or a film of the user's own: a tiny random one, and a clip of the demo.
tiny   := $(if $(filter out/tiny,$(MODEL)),out/tiny)
clip   := $(if $(filter out/demo/videos/real/bikes.mp4,$(VIDEO)),out/demo/videos/real/bikes.mp4)

.DEFAULT_GOAL := help
.PHONY: help setup demo data watch compare test test-all check bench clean

help:  ## this page
	@echo "streamvl: raw video to training data for real-time video-language models"
	@echo
	@awk -F '## ' '/^[a-z-]+:.*##/ {split($$1, name, ":"); printf "  make %-10s %s\n", name[1], $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make data VIDEOS=dir [OUT=dir] [CONFIG=file.yaml] [WORKERS=n] [FORCE=1] [ARGS='key=value …']"

# Written last, so a set-up that was cut off is done again.
$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

setup: $(VENV)/ready  ## make the virtual environment (every other target does it by itself)

demo: $(VENV)/ready  ## real clips and drawn videos to three datasets and a page, in out/demo
	$(build) demo-videos out/demo/videos
	$(MAKE) --no-print-directory data VIDEOS=out/demo/videos OUT=out/demo CONFIG=datasets_build/configs/demo.yaml

data: $(VENV)/ready  ## your own folder: make data VIDEOS=dir
	@test -n "$$STREAMVL_VIDEOS" || { echo "error: say which folder: make data VIDEOS=dir [OUT=dir]" >&2; exit 1; }
	$(build) index --out "$$STREAMVL_OUT" $(config) --workers $(WORKERS) $(force) -- "$$STREAMVL_VIDEOS" $(ARGS)
	$(build) perceive "$$STREAMVL_OUT" $(config) --workers $(WORKERS) $(force) $(ARGS)
	$(build) build "$$STREAMVL_OUT" $(config) $(force) $(ARGS)
	$(build) check "$$STREAMVL_OUT" $(config) $(ARGS)
	$(build) report "$$STREAMVL_OUT" $(config) $(ARGS)
	@$(build) summary "$$STREAMVL_OUT"

out/tiny: $(VENV)/ready
	$(RUN) -m models tiny --overwrite out/tiny

out/demo/videos/real/bikes.mp4: $(VENV)/ready
	$(build) demo-videos out/demo/videos

watch: $(VENV)/ready $(tiny) $(clip)  ## a model watches a film as if live: make watch [MODEL=dir] [VIDEO=file] [ASK=…] [AT=seconds]
	$(RUN) -m models watch --ask "$$STREAMVL_ASK" $(if $(AT),--at "$$STREAMVL_AT") $(ARGS) -- "$$STREAMVL_MODEL" "$$STREAMVL_VIDEO"

compare: $(VENV)/ready $(tiny) $(clip)  ## one question, four ways: make compare [MODEL=dir] [VIDEO=file] [ASK=…]
	$(RUN) -m models compare --ask "$$STREAMVL_ASK" $(ARGS) -- "$$STREAMVL_MODEL" "$$STREAMVL_VIDEO"

test: $(VENV)/ready  ## the tests that take minutes at most
	$(RUN) -m pytest -m "not slow" -n $(WORKERS)

test-all: $(VENV)/ready  ## every test, slow ones too
	$(RUN) -m pytest -n $(WORKERS)

check: $(VENV)/ready  ## formatting, lint, types and import directions
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/ready  ## ratios against baselines in the same run: perceive, vision, streaming
	$(RUN) -m tests.bench.perceive
	$(RUN) -m tests.bench.vision
	$(RUN) -m tests.bench.streaming

clean:  ## remove out/demo, out/tiny, caches and the virtual environment
	rm -rf out/demo out/tiny $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
