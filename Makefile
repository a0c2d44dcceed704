# Two commands: `make lab-up` and `make test`. Everything they need is installed into .venv by the way.
LAB ?= textbook
EXP ?= tld-outage
PYTHON ?= python3
VENV := .venv
DNSLAB := $(VENV)/bin/dnslab

.PHONY: help lab-up lab-down lab-status test test-experiments test-faults test-unit test-lab experiment bench lint format render clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

lab-up: $(VENV)/core  ## bring a whole DNS up in containers (LAB=textbook, or minimal, central, a file)
	@$(DNSLAB) up $(LAB)

lab-down: $(VENV)/core  ## take it away again
	@$(DNSLAB) down

lab-status: $(VENV)/core  ## show its nodes
	@$(DNSLAB) status

test: $(VENV)/dev  ## run the tests, those in tests/lab and tests/plugin on labs of their own, and the quick experiments
	$(VENV)/bin/python -m pytest -n 2 --dist loadfile tests/unit
	$(VENV)/bin/python -m pytest -n 3 --dist loadfile tests/lab tests/plugin
	@$(MAKE) --no-print-directory test-experiments

test-faults: $(VENV)/dev  ## run the tests of faults; they measure times, so they are not part of CI
	$(VENV)/bin/python -m pytest tests/faults

test-unit: $(VENV)/dev  ## run the tests that need no Docker
	$(VENV)/bin/python -m pytest tests/unit

test-lab: $(VENV)/dev  ## run the tests on a lab
	$(VENV)/bin/python -m pytest tests/lab tests/plugin

test-experiments: $(VENV)/dev  ## run the quick set of experiments; DNSLAB_RUNS=FOLDER keeps their reports elsewhere
	$(DNSLAB) run all --quick --jobs 4

experiment: $(VENV)/core  ## run an experiment (EXP=tld-outage, or a file; ARGS=... for options)
	@$(DNSLAB) run $(EXP) $(ARGS)

bench: $(VENV)/dev  ## measure speed and cost, as ratios within one run
	$(VENV)/bin/python -m tests.bench

lint: $(VENV)/dev  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(VENV)/dev  ## lay the code out
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

render: $(VENV)/core  ## write the Compose renderings of the labs that come with dnslab
	@for lab in $(notdir $(patsubst %/,%,$(wildcard compose/*/))); do $(DNSLAB) render $$lab || exit; done

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'dnslab needs Python 3.10 or later: make PYTHON=python3.12 ...' >&2; exit 3; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo 'Python cannot make a virtual environment: sudo apt-get install python3-venv' >&2; exit 3; }

$(VENV)/core: pyproject.toml | $(VENV)/bin/python
	@echo 'Installing dnslab into $(VENV) ...'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	@echo 'Installing dnslab and what its tests need into $(VENV) ...'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/core
