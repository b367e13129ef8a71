"""Marks of used signatures: the store's memory of which signature was accepted, and for which method (promise P14).

    {jibek}:used:<tag>   the method, for as long as the signature could be sent again

A request that is accepted by its own signature leaves a mark. Commands leave theirs in the call that appends their batch, so
a batch is in the journal if and only if its marks are set; all else asks for its mark before it is carried out. So it holds
for every gateway, and over restarts. The store knows a signature by its tag, and never has the signature itself.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

USED_PREFIX = "{jibek}:used:"
TAG_CHARACTERS = 32
"""Hexadecimal digits of a tag: 16 bytes of a digest."""


class Mark(NamedTuple):
    """What a signature leaves behind."""

    key_id: str
    """Of the API key that signed."""
    name: str
    """The key of the mark in the store (`mark_name`)."""
    method: str
    """For which the signature is accepted, without a version prefix."""
    lifetime_ms: int
    """From when it is set; after that the signature must be too old to be accepted anyway."""


def mark_name(key_id: str, signature: bytes) -> str:
    """The name of the mark of a signature, whose bytes are given in their only form: however a client writes them, in
    upper or lower case or with spare bits, they are the same. Cost: 1 µs.

    >>> mark_name("k", bytes(64))
    '{jibek}:used:81850bc0bb20a00f6478eaa76d76114a'
    """
    return USED_PREFIX + hashlib.sha256(key_id.encode() + signature).hexdigest()[:TAG_CHARACTERS]


def mark_used_call(mark: Mark) -> tuple[Any, ...]:
    """Arguments of `execute_command` that set a mark. The answer is None, or the method for which the signature was used
    before, as bytes; the mark is then as it was."""
    return ("FCALL", "jibek_mark_used", 1, mark.name, mark.method, str(mark.lifetime_ms))
