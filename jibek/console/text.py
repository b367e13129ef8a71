"""Words for people: numbers with their nouns."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number of things, with separators between thousands. The noun is the one of a single thing.

    >>> counted(1, "account"), counted(1200, "order"), counted(2, "entry")
    ('1 account', '1,200 orders', '2 entries')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"
