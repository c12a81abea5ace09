# make help lists the targets. Every target makes the environment it needs first; a complete one is found in no time.
STACK ?= onedl
PYTHON ?=
TORCH ?=
WHEELS ?=
VENV ?= $(if $(filter onedl,$(STACK)),.venv,.venv-$(STACK))
DEMO_ARGS ?=
TEST_ARGS ?=
TEST_JOBS ?= 2

BOOT := $(or $(PYTHON),python3)
BIN := $(VENV)/bin
# One thread a worker: more would fight for the same cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-slow lint format docs links clean clean-env

help:
	@echo 'make demo       train all four tasks on drawn scenes, evaluate, show (DEMO_ARGS="...")'
	@echo 'make test       all tests (TEST_ARGS="-k name", TEST_JOBS=2)'
	@echo 'make test-fast  the tests that are not marked slow;  make test-slow: only those that are'
	@echo 'make setup      only the environment, which every other target makes as well'
	@echo 'make lint       ruff and mypy;  make format: put the code into shape'
	@echo 'make docs       the HTML pages, in docs/_build/html;  make links: whether links to other sites still lead somewhere'
	@echo 'make clean      remove caches and outputs;  make clean-env: also environments and compiled wheels'
	@echo
	@echo 'Options: WHEELS=dir     folder with a prebuilt mmcv wheel (else mmcv is compiled, 6 minutes on 2 idle cores)'
	@echo '         PYTHON=cmd     CPython 3.10, 3.11 or 3.12 (default: python3, or one of these)'
	@echo '         TORCH="..."    what pip installs as torch, options allowed (default: torch==2.13.0)'
	@echo '         STACK=name     onedl (default) or openmmlab, the original packages, in .venv-openmmlab'
	@echo '         VENV=dir       another folder for the environment'

setup:
	@command -v '$(BOOT)' >/dev/null 2>&1 || { \
	  echo 'error: $(BOOT) not found; CPython 3.10, 3.11 or 3.12 is needed: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@'$(BOOT)' scripts/setup_env $(if $(PYTHON),--python-named) \
	  --venv='$(VENV)' --stack='$(STACK)' --torch='$(TORCH)' --wheels='$(WHEELS)'

# glibc would hand every large tensor back to the system and ask for it again; keeping them saved a tenth of a step in a trial.
KEEP_MEMORY := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456

demo: setup
	$(KEEP_MEMORY) $(BIN)/python demo/shapes_demo.py $(DEMO_ARGS)

test: setup
	$(PYTEST) -m '' $(TEST_ARGS)

test-fast: setup
	$(PYTEST) -m 'not slow' $(TEST_ARGS)

test-slow: setup
	$(PYTEST) -m slow $(TEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

links: setup
	$(BIN)/python -m sphinx -b linkcheck docs docs/_build/links

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build dist *.egg-info work_dirs/demo
	find . -path './.venv*' -prune -o -type d -name __pycache__ -print0 | xargs -0 rm -rf

clean-env: clean
	rm -rf .venv .venv-openmmlab build
