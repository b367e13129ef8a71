"""Publishing event entries: one writer is first, and everybody else finds that it agrees (promise P3)."""

from __future__ import annotations

from typing import Any

from engine.journal.chain import ChainBroken
from engine.journal.ids import EntryId, PublishedEntry
from engine.journal.store import EVENTS_KEY, PUBLISHED_KEY


class Diverged(Exception):
    """Two engines gave different events for the same journal entry: everybody stops."""


def publish_call(previous: EntryId, published: PublishedEntry) -> tuple[Any, ...]:
    """Arguments of `execute_command` that publish an event entry whose predecessor is `previous` (promise P3)."""
    id, head, digest, data = published
    return ("FCALL", "jibek_publish", 2, EVENTS_KEY, PUBLISHED_KEY, str(previous), str(id), head, digest, data)


def check_published(entry: EntryId, answer: bytes) -> None:
    """Judges the answer of `publish`.

    Raises:
        Diverged: another engine published different bytes.
        ChainBroken: the entry is neither next nor there, or the stream has an entry that no engine published.
    """
    if answer == b"diverged":
        raise Diverged(f"event entry {entry} was published with another head")
    if answer == b"unknown":
        raise ChainBroken(f"event entry {entry} is neither the next one nor in the store, or a later one is there")
