# make demo: an update from end to end on this machine. make test: the checks and tests, the same
# ones with every run. make coverage: what the unit and integration tests run through. make sweep:
# all cases of the tests that have too many for each run.
# None needs root, a compiler or an AWS account; each makes .venv with its first run.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := python -m pip install --quiet --no-compile --disable-pip-version-check --only-binary :all:
PACKAGING := setup.cfg pyproject.toml
SEED := $(or $(SEED),$(shell date +%s))
OLDEST_E2E := tests/integration/test_mqtt.py tests/integration/test_download.py \
	tests/integration/test_sentry.py tests/e2e/test_main_job.py tests/e2e/test_process.py \
	tests/e2e/test_downloads.py tests/e2e/test_signatures.py tests/e2e/test_streaming.py

# Tests start hundreds of agents: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test coverage oldest sweep check docs deb deb-test bundle bundle-test diagram house \
	torture fuzz mutants bench device device-smoke device-test clean

demo: $(VENV)/local.stamp
	$(BIN)/python -m upparat.local.demo

test: $(VENV)/test.stamp
	$(BIN)/python -m tests

coverage: $(VENV)/test.stamp
	$(BIN)/python -m tests --measured

# The unit tests and the main end-to-end tests with the oldest packages that setup.cfg allows
# PYTHON=python3.13 VENV=build/python3.13 make oldest
oldest: $(VENV)/oldest.stamp
	$(VENV)/oldest/bin/python -m pip freeze --disable-pip-version-check --exclude-editable \
		--requirement $(VENV)/oldest/constraints.txt | sed '/^##/,$$d'
	$(VENV)/oldest/bin/python -m pytest -n 4 --dist worksteal tests/unit $(OLDEST_E2E)

# Every crash point and fault, kills at random, many more examples that chance chooses, and a run
# of the unit tests under trial
# SEED=1 make sweep
sweep: $(VENV)/test.stamp
	@echo "SEED=$(SEED)"
	UPPARAT_CASES=1 $(BIN)/python -m twisted.trial --reporter=text tests.unit
	UPPARAT_SWEEP=1 UPPARAT_SEED=$(SEED) \
		$(BIN)/python -m pytest -n 4 --dist worksteal --hypothesis-seed=$(SEED) \
		tests/unit tests/e2e/test_crash_points.py tests/e2e/test_fault_matrix.py \
		tests/e2e/test_fault_matrix_byhand.py tests/e2e/test_torture.py \
		tests/e2e/test_torture_delta.py
	UPPARAT_LONG=1 $(BIN)/python -m pytest -n 4 --dist worksteal -m long tests

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# KILLS=500 SEED=1 make torture
torture: $(VENV)/test.stamp
	$(BIN)/python -m tests.torture $(if $(KILLS),--kills $(KILLS)) --seed $(SEED)
	$(BIN)/python -m tests.torture_delta $(if $(KILLS),--kills $(KILLS)) --seed $(SEED)

# CASES=100000 SEED=1 make fuzz
fuzz: $(VENV)/test.stamp
	@echo "SEED=$(SEED)"
	UPPARAT_SWEEP=1 UPPARAT_CASES=$(or $(CASES),100000) \
		$(BIN)/python -m pytest -n auto --hypothesis-seed=$(SEED) \
		tests/unit/test_job.py tests/unit/test_minisign.py tests/unit/download/test_response.py \
		tests/unit/net/test_proxy.py tests/unit/net/test_http_connect.py \
		tests/unit/delta/test_header.py tests/unit/delta/test_unpack.py

# MODULES=upparat/job.py make mutants
mutants: $(VENV)/test.stamp
	$(BIN)/$(PIP_INSTALL) --editable '.[mutants]'
	$(BIN)/python -m tests.mutants $(MODULES)

# Only on a machine that is idle otherwise
bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks.downloads
	$(BIN)/python -m benchmarks.agent
	$(BIN)/python -m benchmarks.delta
	$(BIN)/python -m benchmarks.bundles

# What the test device boots, in build/device. Needs root: see docs/device.md
device: deb
	tests/device/build dist/upparat_*_all.deb

# Updates of a machine that boots. They take minutes
device-test: $(VENV)/test.stamp device
	UPPARAT_DEVICE=1 $(BIN)/python -m pytest tests/device

# Its short form: an update, and another one whose power is cut
device-smoke: $(VENV)/test.stamp device
	UPPARAT_DEVICE=1 $(BIN)/python -m pytest tests/device/test_updates.py -k test_an_update
	$(BIN)/python -m tests.device.cuts --cuts 3 --seed $(SEED)

diagram: $(VENV)/test.stamp
	$(BIN)/python -m upparat.machine.diagram
	dot -Tsvg -o docs/which-hook.svg docs/which-hook.dot

# The import graph, printed and drawn
house: $(VENV)/test.stamp
	$(BIN)/python -m tests.house

# The site, in build/docs; a broken link or anchor fails the build
docs: $(VENV)/docs.stamp
	rm -rf build/docs
	$(VENV)/docs/bin/python -m sphinx --quiet --fail-on-warning --keep-going -c docs . build/docs
	@echo "The site is build/docs/index.html"

# The package for Debian 13, in dist. Needs Debian 13 with what the build needs; or root and mmdebstrap
deb:
	rm -f dist/upparat_*_all.deb
	packaging/make-deb

# Builds the package twice, which must give the same bytes. Installs, upgrades and removes it in a root
# of Debian 13, and runs the tests there with Debian's own Python. Needs root and mmdebstrap
deb-test: deb
	mv dist/upparat_*_all.deb build/deb/first.deb
	umask 077 && packaging/make-deb
	cmp build/deb/first.deb dist/upparat_*_all.deb
	packaging/test-deb dist/upparat_*_all.deb

# The agent with all that it needs but Python, in dist
# TARGET_PYTHON=3.13 TARGET_PLATFORM=manylinux_2_28_aarch64 make bundle
bundle: $(VENV)/test.stamp
	packaging/make-bundle $(BIN)/python

# An update by the agent of the bundle, on a root that is read-only. Needs root and mosquitto
bundle-test: $(VENV)/test.stamp
	rm -f dist/upparat-*-python*.tar.gz
	packaging/make-bundle $(BIN)/python
	UPPARAT_NO_SKIPS=1 UPPARAT_BUNDLE=$$(echo dist/upparat-*-python*.tar.gz) \
		$(BIN)/python -m pytest tests/e2e/bundle.py

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* htmlcov _trial_temp* \
		.pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# The pip of an old Python needs twice as long to find versions that agree.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/local.stamp: $(BIN)/python $(PACKAGING)
	$(BIN)/$(PIP_INSTALL) --editable '.[local]'
	touch $@

$(VENV)/test.stamp: $(BIN)/python $(PACKAGING)
	$(BIN)/$(PIP_INSTALL) --editable '.[test]'
	touch $@ $(VENV)/local.stamp

$(VENV)/oldest.stamp: $(BIN)/python $(PACKAGING) tests/oldest.py
	$(PYTHON) -m venv --clear $(VENV)/oldest
	$(PYTHON) -m tests.oldest >$(VENV)/oldest/constraints.txt
	$(VENV)/oldest/bin/$(PIP_INSTALL) --constraint $(VENV)/oldest/constraints.txt \
		--editable '.[test]'
	touch $@

# An environment of its own, because Sphinx and awscli need different docutils
$(VENV)/docs.stamp: $(BIN)/python docs/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)/docs
	$(VENV)/docs/bin/$(PIP_INSTALL) --requirement docs/requirements.txt
	touch $@
