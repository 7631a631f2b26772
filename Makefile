# make demo and make test set themselves up on a fresh machine; the rest takes the same environment.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= $(shell nproc)
SCALE ?= demo
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: demo test test-full test-gpu check mutants bench bench-gpu ui plan screenshots

demo: $(READY)
	@$(RUN) python -m mac progress --scale $(SCALE) --settings config/config.yaml -- \
	  snakemake --cores $(CORES) --resources gpu=$(CORES) --config scale=$(SCALE)

test: $(READY)
	$(RUN) python -m pytest -m "not full and not gpu"

test-full: $(READY)
	$(RUN) python -m pytest -m full

# At most 8 minutes on one GPU; elsewhere it says why each test is skipped.
test-gpu: $(READY)
	$(RUN) python -m pytest -m gpu tests/gpu

check: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) snakemake --lint
	$(RUN) python -m pytest -q tests/test_imports.py

# Changes the method's core in some 2,400 small ways and names the changes that no test notices.
mutants: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[mutants]"
	$(RUN) mutmut run --max-children $(CORES)
	$(RUN) mutmut results

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	$(RUN) python -m benchmarks --data $(DATA)

# At most 9 minutes on one GPU. DATA=FOLDER holds ucf101-originals; without it clips are generated.
bench-gpu: $(READY)
	$(RUN) python -m benchmarks.gpu $(if $(DATA),--data $(DATA))
	$(RUN) python -m benchmarks.gpu --page

ui: $(READY)
	@$(RUN) python -m mac ui --scale $(SCALE) --settings config/config.yaml

# The documents' pictures of the finished demo's page and runs; wants Chromium or Chrome on PATH.
screenshots: $(READY)
	$(RUN) python -m benchmarks.screenshots --scale $(SCALE)

plan: $(READY)
	$(RUN) python -m mac plan --scale $(SCALE) --settings config/config.yaml

# torch first: what it brings (CPU or CUDA build) decides the rest.
$(READY): pyproject.toml
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o 'torch==[0-9.]*' pyproject.toml | head -1)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@
