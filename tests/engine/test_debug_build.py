"""The debug build finds nothing: no assertion fails, and no sanitizer sees memory or numbers used as they must not be."""

from __future__ import annotations

import subprocess
import sys

import pytest

import engine.book.book
import engine.core.core
from tests.debug_build import COPY, ROOT, find_sanitizer

ASSERTION = b"this must hold and does not"
FILES = [
    "test_book.py",
    "test_book_stress.py",
    "test_bounds.py",
    "test_dump.py",
    "test_examples.py",
    "test_extremes.py",
    "test_fees.py",
    "test_memory.py",
    "test_report_stream.py",
    "test_twin.py",
]
# The sanitizer keeps memory that was given back, and needs more addresses than a process with little memory has.
OF_MEMORY_ITSELF = "memory_growing or small_again and 300000 or scarce"


@pytest.mark.long
def test_the_debug_build_finds_nothing() -> None:
    if find_sanitizer() is None:
        pytest.skip("gcc has no libasan here")
    command = [sys.executable, "-m", "tests.debug_build", "-q", "-p", "no:cacheprovider", "-m", "not long"]
    command += ["-k", f"not ({OF_MEMORY_ITSELF})", *(f"tests/engine/{name}" for name in FILES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # It was the debug build: assertions are in it, and none in what everybody else runs.
    for module in (engine.book.book, engine.core.core):
        [debug] = COPY.glob(module.__name__.replace(".", "/") + ".*.so")
        assert ASSERTION in debug.read_bytes()
        with open(module.__file__, "rb") as ordinary:
            assert ASSERTION not in ordinary.read()
