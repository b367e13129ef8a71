# Every target builds what it needs, in one virtual environment inside this folder. A second run builds nothing again.
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

EXTENSION_SOURCES := setup.py $(wildcard */*.pyx */*.pxd */*/*.pyx */*/*.pxd */*/*.pxi)
PYTEST_COMMAND := $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist worksteal

.PHONY: help build demo test test-long kill-test fuzz debug style clean

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
	@$(BIN)/python -m tests.faults $(if $(N),--kills $(N)) $(if $(SEED),--seed $(SEED))

fuzz: build  ## Throws generated frames at a live gateway: make fuzz SECONDS=600 SEED=7
	@$(BIN)/python -m tests.gateway.wire.fuzz_run $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

debug: build  ## Compiles the engine with assertions and sanitizers, into build/debug.
	@$(BIN)/python -m tests.debug_build

style: build  ## Checks style and types.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

clean:  ## Removes everything that was built.
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f */*.c */*.so */*.html */*/*.c */*/*.so */*/*.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made.stamp:
	@python=$$(sh .ci/find-python $(PYTHON)) && echo "making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)
	@touch $@

# An editable install: Python sources are used where they stand, so only the extensions are ever built again.
$(VENV)/built.stamp: $(VENV)/made.stamp pyproject.toml $(EXTENSION_SOURCES)
	@echo "building Jibek and installing what it needs into $(VENV) (takes a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
