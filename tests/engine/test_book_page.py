"""The examples of the library page and of the compiled module give what they say."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import engine.book.book

PAGE = Path(__file__).parents[2] / "docs" / "book.md"


def test_page() -> None:
    pytest.importorskip("numpy")
    result = doctest.testfile(str(PAGE), module_relative=False)
    assert result.attempted > 30
    assert result.failed == 0


def test_docstrings() -> None:
    result = doctest.testmod(engine.book.book)
    assert result.attempted > 5
    assert result.failed == 0
