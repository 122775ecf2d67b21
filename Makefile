# streamvl: one target per artefact. `make` prints them.
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
OUT    ?= out/mine
CONFIG ?=
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
ENGINE ?= local
FORCE  ?=
MODEL  ?= out/tiny
VIDEO  ?= out/demo/videos/real/bikes.mp4
ASK    ?= What happens here?
AT     ?=
STAGE  ?= 1
LESSONS ?= out/lessons
DRAWN  ?=
RUN    ?=
IN     ?= out/demo
TO     ?= out/augmented
ROUND  ?=
SECOND ?=
DATA   ?= out/demo
KIND   ?= events
SAMPLE ?=
OVERLAP ?=
ARGS   ?=

# Paths go through the environment, so that quotes, spaces and dollars in them reach the program as they are.
export STREAMVL_VIDEOS := $(value VIDEOS)
export STREAMVL_OUT    := $(value OUT)
export STREAMVL_CONFIG := $(value CONFIG)
export STREAMVL_MODEL  := $(value MODEL)
export STREAMVL_VIDEO  := $(value VIDEO)
export STREAMVL_ASK    := $(value ASK)
export STREAMVL_AT     := $(value AT)
export STREAMVL_LESSONS := $(value LESSONS)
export STREAMVL_RUN    := $(value RUN)
export STREAMVL_IN     := $(value IN)
export STREAMVL_TO     := $(value TO)
export STREAMVL_ROUND  := $(value ROUND)
export STREAMVL_SECOND := $(value SECOND)
export STREAMVL_DATA_FOLDER := $(value DATA)
config := $(if $(CONFIG),--config "$$STREAMVL_CONFIG")
force  := $(if $(FORCE),--force)
build  := $(PY) -m datasets_build
# A cluster has as many workers as it has processors, unless somebody says how many.
work   := --engine $(ENGINE) $(if $(filter ray+file,$(ENGINE)+$(origin WORKERS)),,--workers $(WORKERS))
ray    := $(if $(filter ray,$(ENGINE)),$(VENV)/ray)
# Without a model or a film of the user's own: a tiny random one, and a clip of the demo.
tiny   := $(if $(filter out/tiny,$(MODEL)),out/tiny)
recipe := $(if $(CONFIG),"$$STREAMVL_CONFIG",recipes/configs/tiny.yaml)
# The tiny recipes learn from drawn lessons, which are built where they are not there yet.
lessons := $(if $(or $(filter-out recipes/configs/tiny%,$(CONFIG)),$(wildcard out/lessons/check.json)),,lessons)
drawn   := --config datasets_build/configs/lessons.yaml
amount  := $(if $(DRAWN),index.world.videos=$(DRAWN))
clip   := $(if $(filter out/demo/videos/real/bikes.mp4,$(VIDEO)),out/demo/videos/real/bikes.mp4)

# Tests start programs again and again: what is compiled once is kept, whatever the shell says of its own programs.
pytest      = PYTHONDONTWRITEBYTECODE= $(PY) -m pytest
test_studio = STREAMVL_TEST_STUDIO="$(abspath $(VENV))/label-studio"
round   = test -n "$$STREAMVL_ROUND" || { echo "error: say which round: make $@ ROUND=r1" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help setup demo data lessons augment label-studio label-studio-stop annotate-push annotate-status annotate-pull annotate-close annotate-adjudicate annotate-merge annotate-report train train-all package evaluate verify watch compare test test-rounds test-all check bench clean

help:  ## this page
	@echo "streamvl: raw video to training data, and to a trained real-time video-language model"
	@echo
	@awk -F '## ' '/^[a-z-]+:.*##/ {split($$1, name, ":"); printf "  make %-19s %s\n", name[1], $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make data VIDEOS=dir [OUT=dir] [CONFIG=file.yaml] [WORKERS=n] [ENGINE=ray] [FORCE=1] [ARGS='key=value …']"
	@echo "  make train STAGE=1 [CONFIG=recipes/configs/tiny.yaml] [ARGS='steps=200 lr=1e-4 out=out/mine …']"

# Written last, so a set-up that was cut off is done again.
$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev,teachers]'
	touch $@

# The engine of a cluster, for who asks for it.
$(VENV)/ray: $(VENV)/ready
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	touch $@

setup: $(VENV)/ready  ## make the virtual environment (every other target does it by itself)

demo: $(VENV)/ready  ## raw video to datasets, augmented ones, three stages on a tiny model, a package, and two clips streamed, in out/demo
	$(build) demo-videos out/demo/videos
	$(MAKE) --no-print-directory data VIDEOS=out/demo/videos OUT=out/demo CONFIG=datasets_build/configs/demo.yaml
	$(MAKE) --no-print-directory augment IN=out/demo TO=out/demo/augmented CONFIG=augment/configs/demo.yaml
	$(MAKE) --no-print-directory lessons LESSONS=out/demo/lessons DRAWN=24
	$(PY) -m recipes train-all --config recipes/configs/demo.yaml
	@echo "a real clip, through the package in out/demo/run/package:"
	$(PY) -m models watch --speak --ask "What happened last?" -- out/demo/run/package out/demo/videos/real/bikes.mp4
	@echo "a drawn clip:"
	$(PY) -m models watch --speak --ask "What colour is it?" --ask "Which shape is it?" --at 3 --at 3 -- out/demo/run/package "$$(ls out/demo/lessons/videos/*.mp4 | head -1)"

data: $(VENV)/ready $(ray)  ## your own folder: make data VIDEOS=dir
	@test -n "$$STREAMVL_VIDEOS" || { echo "error: say which folder: make data VIDEOS=dir [OUT=dir]" >&2; exit 1; }
	$(build) index --out "$$STREAMVL_OUT" $(config) $(work) $(force) -- "$$STREAMVL_VIDEOS" $(ARGS)
	$(build) perceive "$$STREAMVL_OUT" $(config) $(work) $(force) $(ARGS)
	$(build) build "$$STREAMVL_OUT" $(config) $(force) $(ARGS)
	$(build) check "$$STREAMVL_OUT" $(config) $(ARGS)
	$(build) report "$$STREAMVL_OUT" $(config) $(ARGS)
	@$(build) summary "$$STREAMVL_OUT"

lessons: $(VENV)/ready $(ray)  ## simple drawn videos that a model learns from, from nothing: make lessons [LESSONS=dir] [DRAWN=400]
	$(build) index --out "$$STREAMVL_LESSONS" $(drawn) $(work) -- "$$STREAMVL_LESSONS/videos" $(amount)
	$(build) perceive "$$STREAMVL_LESSONS" $(drawn) $(work) $(amount)
	$(build) build "$$STREAMVL_LESSONS" $(drawn) $(amount)
	$(build) check "$$STREAMVL_LESSONS" $(drawn) $(amount)

augment: $(VENV)/ready  ## the same datasets of faster, frozen, lost and late frames, labels moved: make augment IN=dir TO=dir [CONFIG=file.yaml]
	$(PY) -m augment apply "$$STREAMVL_IN" --to "$$STREAMVL_TO" --config $(if $(CONFIG),"$$STREAMVL_CONFIG",augment/configs/time.yaml) $(force) $(ARGS)
	$(build) check "$$STREAMVL_TO"

# The client library asks for older packages than ours, of which its calls use none: it comes without them.
$(VENV)/studio: $(VENV)/ready annotate/requirements-sdk.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -r annotate/requirements-sdk.txt
	touch $@

# What tests start a Label Studio of their own from: its environment alone, without an account.
$(VENV)/server: $(VENV)/ready annotate/requirements-server.txt
	$(PYTHON) -m venv --clear $(VENV)/label-studio
	$(VENV)/label-studio/bin/python -m pip install --quiet --disable-pip-version-check -r annotate/requirements-server.txt
	touch $@

label-studio: $(VENV)/studio  ## a Label Studio of your own on 127.0.0.1, installed where it is missing: prints its address
	$(PY) -m annotate serve $(ARGS)

label-studio-stop: $(VENV)/ready  ## end the Label Studio of your own; what is in it stays
	$(PY) -m annotate stop

annotate-push: $(VENV)/studio  ## records to people: make annotate-push ROUND=r1 DATA=dir KIND=events|qa|dialogue [SAMPLE=n] [OVERLAP=n]
	@$(round)
	$(PY) -m annotate push "$$STREAMVL_ROUND" --data "$$STREAMVL_DATA_FOLDER" --kind $(KIND) $(config) $(if $(SAMPLE),sample=$(SAMPLE)) $(if $(OVERLAP),overlap=$(OVERLAP)) $(ARGS)

annotate-status: $(VENV)/studio  ## how far a round is: make annotate-status ROUND=r1
	@$(round)
	$(PY) -m annotate status "$$STREAMVL_ROUND" $(ARGS)

annotate-pull: $(VENV)/studio  ## what people did since the last pull: make annotate-pull ROUND=r1
	@$(round)
	$(PY) -m annotate pull "$$STREAMVL_ROUND" $(ARGS)

annotate-close: $(VENV)/studio  ## the last pull, with a full snapshot: make annotate-close ROUND=r1
	@$(round)
	$(PY) -m annotate close "$$STREAMVL_ROUND" $(ARGS)

annotate-adjudicate: $(VENV)/studio  ## a blind second round of what people did not agree about: make annotate-adjudicate ROUND=r1 SECOND=r1b
	@$(round)
	$(PY) -m annotate adjudicate "$$STREAMVL_ROUND" "$$STREAMVL_SECOND" $(ARGS)

annotate-merge: $(VENV)/studio  ## a new folder with what people corrected, built anew and checked: make annotate-merge ROUND=r1 [SECOND=r1b] [TO=dir]
	@$(round)
	$(PY) -m annotate merge "$$STREAMVL_ROUND" $(if $(SECOND),--second "$$STREAMVL_SECOND") $(if $(filter file,$(origin TO)),,--to "$$STREAMVL_TO") $(ARGS)

annotate-report: $(VENV)/studio  ## the round's page, agreement and disputes: make annotate-report ROUND=r1
	@$(round)
	$(PY) -m annotate report "$$STREAMVL_ROUND" $(ARGS)

train: $(VENV)/ready $(lessons)  ## one stage under accelerate: make train STAGE=1 [CONFIG=file.yaml]
	$(PY) -m recipes train --stage $(STAGE) --config $(recipe) $(ARGS)

train-all: $(VENV)/ready $(lessons)  ## the three stages and the package: make train-all [CONFIG=file.yaml]
	$(PY) -m recipes train-all --config $(recipe) $(ARGS)

verify: $(VENV)/ready $(lessons)  ## proofs on the first batches before time is spent: make verify STAGE=1 [CONFIG=file.yaml]
	$(PY) -m recipes verify --stage $(STAGE) --config $(recipe) $(ARGS)

package: $(VENV)/ready  ## what a run has learned, ready to stream: make package RUN=dir
	@test -n "$$STREAMVL_RUN" || { echo "error: say which run: make package RUN=out/tiny_run" >&2; exit 1; }
	$(PY) -m recipes package "$$STREAMVL_RUN" $(ARGS)

evaluate: $(VENV)/ready  ## held-out records as live streams, beside baselines: make evaluate RUN=dir
	@test -n "$$STREAMVL_RUN" || { echo "error: say which run: make evaluate RUN=out/tiny_run" >&2; exit 1; }
	$(PY) -m recipes evaluate "$$STREAMVL_RUN" $(ARGS)

out/tiny: $(VENV)/ready
	$(PY) -m models tiny --overwrite out/tiny

out/demo/videos/real/bikes.mp4: $(VENV)/ready
	$(build) demo-videos out/demo/videos

watch: $(VENV)/ready $(tiny) $(clip)  ## a model watches a film as if live: make watch [MODEL=dir] [VIDEO=file] [ASK=…] [AT=seconds]
	$(PY) -m models watch --ask "$$STREAMVL_ASK" $(if $(AT),--at "$$STREAMVL_AT") $(ARGS) -- "$$STREAMVL_MODEL" "$$STREAMVL_VIDEO"

compare: $(VENV)/ready $(tiny) $(clip)  ## one question, four ways: make compare [MODEL=dir] [VIDEO=file] [ASK=…]
	$(PY) -m models compare --ask "$$STREAMVL_ASK" $(ARGS) -- "$$STREAMVL_MODEL" "$$STREAMVL_VIDEO"

test: $(VENV)/studio  ## the tests that take minutes at most
	$(pytest) -m "not slow" -n $(WORKERS)

test-rounds: $(VENV)/studio $(VENV)/server  ## rounds through a real Label Studio and a real browser (Chromium)
	$(test_studio) $(pytest) -m slow tests/annotate/test_round_trip.py

test-all: $(VENV)/studio $(VENV)/server  ## every test, slow ones and the rounds too
	$(test_studio) STREAMVL_THOROUGH=1 $(pytest) -n $(WORKERS)

check: $(VENV)/ready  ## formatting, lint, types and import directions
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

bench: $(VENV)/ready  ## ratios against baselines in the same run: perceive, peers, keyframes, embedding, vision, streaming, training, augmenting, rendering, annotating, scaling
	$(PY) -m tests.bench.perceive
	OPENBLAS_NUM_THREADS=1 $(PY) -m tests.bench.peers
	$(PY) -m tests.bench.keyframes
	$(PY) -m tests.bench.embedding
	$(PY) -m tests.bench.vision
	$(PY) -m tests.bench.streaming
	$(PY) -m tests.bench.training
	$(PY) -m tests.bench.augmenting
	$(PY) -m tests.bench.rendering
	$(PY) -m tests.bench.annotating
	$(PY) -m tests.bench.scaling

clean:  ## remove out/demo, out/tiny, caches and the virtual environment
	rm -rf out/demo out/tiny $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
