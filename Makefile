# make demo and make test set themselves up on a fresh machine; the rest takes the same environment.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CORES ?= $(shell nproc)
SCALE ?= demo
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"

# constraints.txt has one version of every package, of what builds them too. uv installs them; where uv can't be had, pip
# does. uv reads none of pip's settings, so it is given those that are environment variables; and it compiles modules only
# if told to, which matters where PYTHONDONTWRITEBYTECODE is set: each process would compile torch anew, for four seconds.
COMMA := ,
SPACE := $(subst ,, )
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check
UV := UV_CONSTRAINT=constraints.txt UV_BUILD_CONSTRAINT=constraints.txt UV_INDEX_STRATEGY=unsafe-best-match \
  UV_COMPILE_BYTECODE=1 \
  $(if $(PIP_INDEX_URL),UV_DEFAULT_INDEX="$(PIP_INDEX_URL)") $(if $(PIP_EXTRA_INDEX_URL),UV_INDEX="$(PIP_EXTRA_INDEX_URL)") \
  $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(subst $(SPACE),$(COMMA),$(strip $(PIP_FIND_LINKS)))") \
  $(BIN)/uv pip install --quiet --python $(BIN)/python
install = @{ test -x $(BIN)/uv && $(UV) --editable ".[$(1)]"; } || \
  { echo "uv can't be had, or failed: pip installs instead, which takes longer."; $(PIP) --editable ".[$(1)]"; }

.PHONY: demo test test-full test-gpu check mutants bench bench-gpu ui plan screenshots environment lock

demo: $(READY)
	@$(RUN) python -m mac progress --warm --first T1 F1 --scale $(SCALE) --settings config/config.yaml -- \
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
	$(RUN) mypy
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) snakemake --lint
	$(RUN) python -m pytest -q tests/test_imports.py

# Changes the method's core in some 2,400 small ways and names the changes that no test notices.
mutants: $(READY)
	$(call install,mutants)
	$(RUN) mutmut run --max-children $(CORES)
	$(RUN) mutmut results

bench: $(READY)
	$(call install,bench)
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

# After an edit of pyproject.toml. Versions that still fit stay; UPGRADE=yes takes the newest of all.
lock: $(BIN)/uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate $(if $(UPGRADE),--upgrade) \
	  --custom-compile-command "make lock" --output-file constraints.txt pyproject.toml

environment: $(READY)

$(BIN)/python:
	python3 -m venv $(VENV)

$(BIN)/uv: | $(BIN)/python
	@$(PIP) uv

$(READY): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the versions of constraints.txt into $(VENV)"
	-@$(MAKE) --silent --no-print-directory $(BIN)/uv
	$(call install,dev)
	touch $@
