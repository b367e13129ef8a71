# Every target builds what it needs, in one virtual environment inside this folder. A second run builds nothing.
#
#   make demo            the venue with traders on it: a live view, then the proof that the books balance
#   make demo SECONDS=20
#   make test            all tests but the long ones

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
SECONDS ?=
# Pytest's own arguments, as in: make test PYTEST="tests/engine -k match"
PYTEST ?=
# Nothing may hang: a test run that takes longer is ended.
TEST_SECONDS_MAX ?= 900
TEST_LONG_SECONDS_MAX ?= 7200

PACKAGES := bench engine gateway jibek ledger
EXTENSION_SOURCES := $(shell find $(PACKAGES) -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi')
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Wheels of the lock and nothing else: a source distribution would be built with tools that no lock names.
INSTALL_LOCKED := $(PIP) install --require-hashes --only-binary :all: --requirement
PYTEST_COMMAND := $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal

.PHONY: help build demo test test-long kill-test damage-test fuzz debug style lock clean

help:  ## Lists the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

build: $(VENV)/built.stamp  ## Makes the virtual environment and compiles the engine.

demo: build  ## Runs the whole venue with traders on it.
	@$(BIN)/jibek demo $(if $(SECONDS),--seconds $(SECONDS))

test: build  ## Runs the tests.
	@$(BIN)/python .ci/bounded $(TEST_SECONDS_MAX) $(PYTEST_COMMAND) -m "not long" $(PYTEST)

test-long: build  ## Runs the tests that take minutes each.
	@$(BIN)/python .ci/bounded $(TEST_LONG_SECONDS_MAX) $(PYTEST_COMMAND) -m long $(PYTEST)

kill-test: build  ## Kills processes of a venue under load: make kill-test N=200 SEED=7
	@$(BIN)/python -m tests.faults $(if $(N),--kills $(N)) $(if $(SEED),--seed $(SEED)) $(if $(STORE_BINARY),--store-binary $(STORE_BINARY))

damage-test: build  ## Damages a venue's data and looks at what it serves: make damage-test N=60 SEED=7
	@$(BIN)/python -m tests.faults.damage_run $(if $(N),--damages $(N)) $(if $(SEED),--seed $(SEED))

fuzz: build  ## Throws generated frames at a live gateway: make fuzz SECONDS=600 SEED=7
	@$(BIN)/python -m tests.gateway.wire.fuzz_run $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

debug: build  ## Compiles the engine with assertions and sanitizers, into build/debug.
	@$(BIN)/python -m tests.debug_build

style: build  ## Checks style and types.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock: $(VENV)/made.stamp  ## Pins the newest releases that pyproject.toml allows, in requirements.lock.
	@$(BIN)/python .ci/lock

clean:  ## Removes everything that was built.
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find $(PACKAGES) \( -name '*.c' -o -name '*.so' -o -name '*.html' \) -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made.stamp:
	@python=$$(sh .ci/find-python $(PYTHON)) && echo "making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)
	@touch $@

# The pip that Python brings installs the locked one, which then installs the rest.
$(VENV)/installed.stamp: $(VENV)/made.stamp requirements.lock
	@echo "installing what Jibek needs into $(VENV)"
	@awk '/^[^ ]/ { is_pip = /^pip==/ } is_pip' requirements.lock >$(VENV)/pip.lock
	@$(INSTALL_LOCKED) $(VENV)/pip.lock
	@$(INSTALL_LOCKED) requirements.lock
	@touch $@

# An editable install: Python sources are used where they are, so only the extensions are ever built again. setuptools warns of
# what that means, at length.
$(VENV)/linked.stamp: $(VENV)/installed.stamp pyproject.toml setup.py
	@echo "compiling Jibek (takes about a minute)"
	@PYTHONWARNINGS="ignore:Editable installation" $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Of the extensions, those whose sources are newer. They lie next to their sources, where pip put them.
$(VENV)/built.stamp: $(VENV)/linked.stamp $(EXTENSION_SOURCES)
	@$(BIN)/python setup.py --quiet build_ext --build-lib . >/dev/null
	@touch $@
