# `make repro` makes everything from nothing, on all cores; PROFILE=mnist does it for profiles/mnist, JOBS=8 eight items
# at once.
# All of it may be run again. `make help` lists the targets.
SHELL := /bin/sh
PYTHON ?= python3
PROFILE ?=
ENGINE ?= docker
BASE ?= docker.io/library/python:3.12-slim
VARIANT ?= cpu
JOBS ?=
# A profile that is not there is refused before anything is made.
ifneq ($(PROFILE),)
ifeq ($(wildcard profiles/$(PROFILE)/dvc.yaml),)
NEAREST = import difflib, sys; print(difflib.get_close_matches(sys.argv[1], sys.argv[2:], 1, 0)[0])
MEANT := $(shell $(PYTHON) -c '$(NEAREST)' '$(PROFILE)' $(notdir $(wildcard profiles/*)))
$(error There is no profile '$(PROFILE)'. Did you mean '$(MEANT)'? Without PROFILE it is the default one)
endif
endif
DVC_FILE = $(if $(PROFILE),profiles/$(PROFILE)/dvc.yaml,dvc.yaml)
STAMP = .venv/.stamp
DEVELOP = .venv/.develop
# The tools in .venv name the place where it was made: it is made anew if the repository has moved, or is a copy.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: repro compare help audit release test test-cluster bench ui api site lint image deploy setup develop lock

repro: setup  ## make all that is out of date, and compare it with what is published
	python -m pipeline repro $(if $(JOBS),--jobs $(JOBS)) $(DVC_FILE)

compare: setup  ## compare the results here with the published ones
	cd $(if $(PROFILE),profiles/$(PROFILE),.) && python -m pipeline compare

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' Makefile | expand -t 14
	@echo "PROFILE=mnist is for profiles/mnist, JOBS=8 for eight items at once."

audit: setup  ## prove every figure of the profile, or say what is wrong (docs/audit.md)
	python -m pipeline audit $(if $(PROFILE),profiles/$(PROFILE),.)

# Hours for all of them; killed, it goes on. PROFILES="default siblings" makes these alone.
PROFILES ?= smoke default full siblings mnist variants tasks clones
release: setup  ## make all profiles, write all pages anew, and audit all, with two items of each made again
	@set -e; folder() { if [ $$1 = default ]; then echo .; else echo profiles/$$1; fi; }; \
	for name in $(PROFILES); do \
		began=$$(date +%s); python -m pipeline repro $(if $(JOBS),--jobs $(JOBS)) $$(folder $$name)/dvc.yaml; \
		echo "$$name took $$((($$(date +%s) - began) / 60)) min."; \
	done; \
	for name in $(filter-out smoke,$(PROFILES)); do (cd $$(folder $$name) && python -m pipeline readme); done; \
	for name in $(PROFILES); do python -m pipeline audit --replay 2 $$(folder $$name); done; \
	python -m pipeline readme --check

test: develop  ## run the tests
	pytest -n 3 --dist loadfile  # a file has fixtures that are dear; of three processes, some wait for others

# Stages of the smoke profile as real Jobs, where KUBECONFIG, VSML_NAMESPACE and MLFLOW_TRACKING_URI point to; see
# docs/cluster.md.
test-cluster: develop  ## run stages of the smoke profile as real Jobs (docs/cluster.md)
	pytest -n 0 -m "cluster and not slow" tests/cluster

bench: setup  ## measure speeds, against plain implementations
	python -m benchmarks

ui: setup  ## show runs and learned rules in MLflow
	@report="$(CURDIR)/$(if $(PROFILE),profiles/$(PROFILE)/)artifacts/report/index.html"; \
	if [ -f "$$report" ]; then echo "The report: file://$$report"; else echo "No report yet: make repro makes it."; fi
	-MLFLOW_TRACKING_URI= python -m pipeline uploads
	@echo "The runs: http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
	@echo "The learned rules: http://127.0.0.1:5000/#/models"
	mlflow ui --backend-store-uri sqlite:///mlflow.db

api: develop  ## pages of the library, made from its docstrings, into artifacts/api
	python docs/api.py

site: api  ## one static site of all pages, and of the reports that were made here, into artifacts/site
	python docs/site.py

lint: develop  ## check style, types and the direction of imports
	ruff check . && ruff format --check . && pyright && lint-imports

# The image of the last commit, whatever lies around it in the tree; VARIANT=cuda13 for GPUs, ENGINE=podman. A base by
# tag is taken by the digest that its registry names now, and the image says which; BASE=NAME@sha256:… takes that again.
image:  ## build the image of the last commit; VARIANT=cuda13 ENGINE=podman BASE=…
	@git diff --quiet HEAD || echo "There are uncommitted changes. They do not get into the image."
	set -e; base='$(BASE)'; case "$$base" in *@sha256:*) ;; *) $(ENGINE) pull --quiet "$$base"; \
		base=$$($(ENGINE) image inspect --format '{{index .RepoDigests 0}}' "$$base") ;; esac; \
	commit=$$(git rev-parse HEAD); context=$$(mktemp -d); trap 'rm -rf "$$context"' EXIT; \
	git archive HEAD | tar -x -C "$$context"; \
	$(ENGINE) build --build-arg VARIANT=$(VARIANT) --build-arg COMMIT=$$commit --build-arg BASE="$$base" \
		--tag $(if $(filter cpu,$(VARIANT)),vsml,vsml-$(VARIANT)):$$(printf %.12s $$commit) "$$context"

# OVERLAY=kind or cluster, COMPONENTS="s3 queue", IMAGE=, GPU_IMAGE= and POSTGRES=NAME@sha256:…: see docs/cluster.md.
deploy: setup  ## apply k8s/ to a cluster: OVERLAY=kind (docs/cluster.md has the rest)
	python -m pipeline deploy $(OVERLAY) $(COMPONENTS) $(if $(IMAGE),vsml=$(IMAGE)) \
		$(if $(GPU_IMAGE),vsml-cuda13=$(GPU_IMAGE)) $(if $(POSTGRES),postgres=$(POSTGRES))

setup: $(STAMP)  ## make the environment in .venv; the others do it first

develop: $(DEVELOP)  ## make it with what tests and lints, too

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, $(PYTHON) is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv --clear .venv
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > .venv/build.lock  # what builds the packages that have no wheel
	.venv/bin/python -m pip install --require-hashes -r .venv/build.lock
	.venv/bin/python -m pip install --require-hashes --no-build-isolation -r requirements.lock
	.venv/bin/python -m pip install --no-deps --no-build-isolation -e .
	printf %s '$(subst ','\'',$(CURDIR))' > $@

$(DEVELOP): $(STAMP) requirements.dev.lock
	.venv/bin/python -m pip install --require-hashes -r requirements.dev.lock
	touch $@

COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --fork-strategy fewest
lock:  ## resolve the packages anew into requirements*.lock
	$(COMPILE) pyproject.toml --extra cluster --extra server --extra s3 --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements.dev.lock
	$(COMPILE) --group cuda13 --constraint requirements.lock --output-file requirements.cuda13.lock
