# make demo: an update from end to end on this machine. make test: everything that is tested.
# Neither needs root, a compiler or an AWS account; both make .venv with their first run.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check --only-binary :all:
PACKAGING := setup.cfg pyproject.toml

.PHONY: demo test check docs diagram house torture fuzz bench clean

demo: $(VENV)/local.stamp
	$(BIN)/python -m upparat.local.demo

test: $(VENV)/test.stamp
	$(BIN)/python -m tests

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# KILLS=500 SEED=1 make torture
torture: $(VENV)/test.stamp
	$(BIN)/python -m tests.torture $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

# CASES=100000 make fuzz
fuzz: $(VENV)/test.stamp
	UPPARAT_CASES=$(or $(CASES),100000) $(BIN)/python -m pytest -n auto \
		tests/unit/test_job.py tests/unit/test_minisign.py tests/unit/download/test_response.py \
		tests/unit/net/test_proxy.py tests/unit/net/test_http_connect.py

# Only on a machine that is idle otherwise
bench: $(VENV)/test.stamp
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench_agent

diagram: $(VENV)/test.stamp
	$(BIN)/python -m upparat.machine.diagram

# The import graph, printed and drawn
house: $(VENV)/test.stamp
	$(BIN)/python -m tests.house

# The site, in build/docs; a broken link or anchor fails the build
docs: $(VENV)/docs.stamp
	rm -rf build/docs
	$(VENV)/docs/bin/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/docs
	@echo "The site is build/docs/index.html"

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov _trial_temp* \
		.pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/local.stamp: $(BIN)/python $(PACKAGING)
	$(BIN)/$(PIP_INSTALL) --editable '.[local]'
	touch $@

$(VENV)/test.stamp: $(BIN)/python $(PACKAGING)
	$(BIN)/$(PIP_INSTALL) --editable '.[test]'
	touch $@ $(VENV)/local.stamp

# An environment of its own, because Sphinx and awscli need different docutils
$(VENV)/docs.stamp: $(BIN)/python docs/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)/docs
	$(VENV)/docs/bin/$(PIP_INSTALL) --requirement docs/requirements.txt
	touch $@
