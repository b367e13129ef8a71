"""Whether an argument is text. Nothing is imported here: every command asks."""

from __future__ import annotations


def is_text(argument: str) -> bool:
    """Whether an argument is text; Python keeps bytes that are not UTF-8 as half characters, which nothing can encode.

    >>> import os
    >>> is_text("Ақтау"), is_text(os.fsdecode(b"\\xff"))
    (True, False)
    """
    return not any("\ud800" <= character <= "\udfff" for character in argument)
