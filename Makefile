# Two commands matter: `make demo` and `make test`. Both install what is missing into .venv first.

PYTHON ?= python3.11
BIN := .venv/bin
LOCK := requirements/cpu.lock
# A second demo goes into a folder of its own: a run never writes over another.
DEMO_NAME := demo$(if $(wildcard runs/demo),-$(shell date +%Y%m%d-%H%M%S))

# Without bytecode on disk each of vLLM's three processes compiles its imports again at every start: a minute lost.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test test-fast lint types unit lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: .venv/.installed  ## create .venv and install the pinned CPU lock

.venv/.installed: $(LOCK) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "synthgen needs Python 3.11: set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing $(LOCK) into .venv (two to three minutes) ..."
	@$(BIN)/python -m pip install -qq --no-deps --no-compile --disable-pip-version-check -r $(LOCK)
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --disable-pip-version-check -e .
	@touch $@

demo: install  ## the whole loop on real parts, on this machine's CPU
	$(BIN)/synthgen run experiment=demo run.name=$(DEMO_NAME)

test: install lint types unit  ## lint, type-check, and every test including a real vLLM run

test-fast: install  ## the tests that are not marked slow: two minutes on two cores
	$(BIN)/python -m pytest -m "not slow and not vllm" -n 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

unit: install
	$(BIN)/python -m pytest -m "not vllm" -n 2 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m vllm

lock: install  ## renew the CPU lock from pyproject.toml
	scripts/lock.sh

clean:  ## remove the environment and caches; runs stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build dist
