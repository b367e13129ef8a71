"""The engine: a deterministic exchange core and the order book it is built on.

>>> from engine import Book

`Book` is compiled and is imported only when it is asked for, so that the records, the journal and the reference engine
can be used, by audits above all, without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.book import Book

__all__ = ["Book"]


def __getattr__(name: str) -> Any:
    if name == "Book":
        from engine.book import Book

        return Book
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
