# Works in a fresh clone with python3, make and a C compiler: every target makes .venv first.
#   PIP_ARGS     further arguments for pip, such as the index of a CPU-only torch
#   PYTEST_ARGS  further arguments for pytest
#   BENCH_DATA   what make bench measures on
#   REASON       why make baselines replaces them
PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?= -n 2
BENCH_DATA ?= synthetic:64

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTRAS := cv,host,onnxruntime,openvino,dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)
# One thread for each test worker: two OpenMP pools on two cores slow each other tenfold.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-aarch64 bench baselines check format docs screenshots wheel release-check clean

help:
	@echo "make demo       what the shipped networks do, then the whole pipeline, with a page of pictures"
	@echo "make test       the tests (set EDGESEG_CAMVID to a CamVid folder to run those too)"
	@echo "make test-slow  the slow tests as well"
	@echo "make test-aarch64  the wheel on aarch64 under emulation, labels against this machine's; needs root"
	@echo "make bench      the zoo on each installed runtime, beside plain references"
	@echo "make baselines  accept the zoo's figures as tests/regression's, with REASON=\"why\""
	@echo "make check      format, lint and types"
	@echo "make docs       the documentation site, in build/site; a dead link fails"
	@echo "make screenshots  the pictures of the pages in docs/images; needs chromium"
	@echo "make wheel      the wheels of a release, in dist/"
	@echo "make release-check  what a release must hold: wheels, versions, licences of packages and weights"

# torch first and by itself, so that its pin decides which torch everything after it sees.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) torch
	$(PIP) -e '.[$(EXTRAS)]'
	@touch $@

$(VENV): $(STAMP)

demo: $(STAMP)
	$(BIN)/edgeseg demo

test: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow and not device" $(PYTEST_ARGS)

test-slow: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not device" $(PYTEST_ARGS)

test-aarch64: $(STAMP)
	PYTHON="$(abspath $(BIN)/python)" tests/aarch64/run.sh

bench: $(STAMP)
	$(BIN)/edgeseg bench --data $(BENCH_DATA) --threads 1 --reference all --native-float \
		--html runs/bench/index.html --markdown runs/bench/table.md --csv runs/bench/rows.csv \
		--export-times runs/bench/times.csv -o runs/bench/bench.json

# The figures that tests/regression holds the shipped models to, for every machine and for this one.
baselines: $(STAMP)
	$(ONE_THREAD) $(BIN)/python -m pytest -p no:xdist -q tests/regression --edgeseg-update="$(REASON)"

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# A venv of its own, without torch. Once it is made, the site is built offline.
DOCS_VENV ?= build/docs-venv
$(DOCS_VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -e '.[docs]'
	@touch $@

docs: $(DOCS_VENV)/.installed
	$(DOCS_VENV)/bin/python tools/docs_site.py

screenshots: $(STAMP)
	$(BIN)/python tools/screenshots.py

wheel: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .
	$(BIN)/python -m build --wheel --no-isolation --outdir dist packaging/zoo

release-check: wheel
	$(BIN)/python tools/release_check.py dist

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
