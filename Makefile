# `make repro` makes everything from nothing; PROFILE=mnist does it for profiles/mnist, JOBS=8 eight items at once.
# All of it may be run again.
SHELL := /bin/sh
PYTHON ?= python3
PROFILE ?=
JOBS ?=
DVC_FILE = $(if $(PROFILE),profiles/$(PROFILE)/dvc.yaml,dvc.yaml)
STAMP = .venv/.stamp
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: repro test bench ui lint setup lock

repro: setup
	$(if $(JOBS),python -m pipeline repro --jobs $(JOBS),dvc repro) $(DVC_FILE)

test: setup
	pytest -n 2

bench: setup
	python -m benchmarks

ui: setup
	@echo "The runs: http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
	mlflow ui --backend-store-uri "sqlite:///$(CURDIR)/mlflow.db"

lint: setup
	ruff check . && ruff format --check . && pyright && lint-imports

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, $(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --require-hashes -r requirements.lock
	.venv/bin/python -m pip install --no-deps --no-build-isolation -e .
	touch $@

lock:
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --fork-strategy fewest --output-file requirements.lock
