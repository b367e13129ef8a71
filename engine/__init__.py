"""The engine: a deterministic exchange core and the order book it is built on.

>>> from engine import Book, Engine

`Book` is one order book, `Engine` a whole exchange in one object. Both are compiled and are imported only when they are
asked for, so that the records, the journal and the reference engine can be used, by audits above all, without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.book import Book
    from engine.library import Engine

__all__ = ["Book", "Engine"]


def __getattr__(name: str) -> Any:
    if name == "Book":
        from engine.book import Book

        return Book
    if name == "Engine":
        from engine.library import Engine

        return Engine
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
