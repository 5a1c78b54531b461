# Every target that needs an environment makes it first (scripts/setup_env.sh); see there for
# the variables STACK, VENV, SETUP, PYTHON, TORCH, TORCH_ARGS, PIP_ARGS and MAX_JOBS.
STACK ?= stock
VENV ?= .venv$(if $(filter-out stock,$(STACK)),-$(STACK))
export STACK VENV
export PATH := $(abspath $(VENV)/bin):$(PATH)

PY := $(VENV)/bin/python
# A file of tests stays in one process, because its tests share trainings. Files are not sorted by their number of tests: those
# with few end-to-end tests, the longest, would come last.
PYTEST := $(PY) -m pytest --numprocesses=logical --maxprocesses=8 --dist=loadfile --no-loadscope-reorder
SPELLED := $(wildcard README.md CHANGELOG.md Makefile benchmarks configs demo docs mmdet_discobox scripts tests tools) CONTRIBUTING.md

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make the environment (the other targets do it by themselves)
	@scripts/setup_env.sh

demo: setup ## train, test and draw box-supervised masks on a generated data set
	@$(PY) demo/demo.py

test: setup ## run the whole test suite, on all cores
	$(PYTEST) $(PYTEST_ARGS)

test-fast: setup ## run the tests without the slow end-to-end ones
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

lint: setup ## check style, format, spelling and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m codespell_lib $(SPELLED)
	$(PY) -m mypy

bench: setup ## score and time the structured teacher, matching and the training step
	$(PY) benchmarks/bench_teacher.py $(BENCH_ARGS)
	$(PY) benchmarks/bench_correspondence.py
	$(PY) benchmarks/bench_step.py $(STEP_ARGS)

clean: ## remove the environment, caches and the demo; trainings in work_dirs stay
	rm -rf .venv .venv-onedl work_dirs/demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
