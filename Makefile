# The two main targets are `make demo` and `make test`. Both first install missing packages into .venv.

PYTHON ?= python3.11
BIN := .venv/bin
LOCK := requirements/cpu.lock
# A second demo gets its own folder, because a run never overwrites another one.
DEMO_NAME := demo$(if $(wildcard runs/demo),-$(shell date +%Y%m%d-%H%M%S))

# Let Python write bytecode to disk: without it, each of vLLM's three processes compiles its imports at every start,
# which takes a minute.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test test-fast test-thorough label-studio test-label-studio lint types unit lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: .venv/.installed  ## create .venv and install the pinned packages for CPU

.venv/.installed: $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "synthgen needs Python 3.11: set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing $(LOCK) into .venv (two to three minutes) ..."
	@$(BIN)/python -m pip install -qq --no-deps --no-compile --disable-pip-version-check -r $(LOCK)
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --disable-pip-version-check -e .
	@touch $@

demo: install  ## run the complete loop with real models on this machine's CPU
	$(BIN)/synthgen run experiment=demo run.name=$(DEMO_NAME)

test: install lint types unit  ## lint, check types, and run the tests, including those with a real vLLM server

test-fast: install  ## run the tests that are not marked slow: about two minutes on two cores
	$(BIN)/python -m pytest -m "not slow and not vllm" -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -m "not vllm and not thorough" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m "vllm and not thorough" tests/integration

test-thorough: install  ## run the tests that repeat on more cases what others check
	$(BIN)/python -m pytest -m thorough -n 2 --dist loadfile --no-loadscope-reorder

label-studio: .venv-label-studio/.installed  ## create .venv-label-studio with a Label Studio of its own, for its test

.venv-label-studio/.installed: requirements/label-studio.lock
	test -x .venv-label-studio/bin/python || $(PYTHON) -m venv .venv-label-studio
	@echo "installing requirements/label-studio.lock into .venv-label-studio (three minutes) ..."
	@.venv-label-studio/bin/python -m pip install -qq --no-deps --disable-pip-version-check -r requirements/label-studio.lock
	@touch $@

test-label-studio: install label-studio  ## review 20 samples through a real Label Studio server
	$(BIN)/python -m pytest -m thorough tests/annotate/test_label_studio_server.py

lock: install  ## update the pinned packages for CPU from pyproject.toml
	scripts/lock.sh

clean:  ## remove the environment and caches, but keep the runs
	rm -rf .venv .venv-label-studio .mypy_cache .ruff_cache .pytest_cache build dist
