"""Publishing event entries: one writer is first, and any other finds that it agrees (promise P3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.journal.chain import ChainBroken, UnreadableReply, excerpt
from engine.journal.ids import EntryId, PublishedEntry
from engine.journal.store import EVENTS_KEY, PUBLISHED_KEY, Store


class Diverged(Exception):
    """Two engines gave different events for the same journal entry: both stop."""


def publish(client: Store, previous: EntryId, entries: Sequence[PublishedEntry]) -> None:
    """Publishes consecutive event entries, of which the first follows `previous`. Cost: one round trip.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the store is away. Publish the same entries again once it is back: those
            that are in change nothing.
        redis.ResponseError: the store refused, in its own words.
        Diverged, ChainBroken: see `check_published`.
    """
    pipeline = client.pipeline(transaction=False)
    for entry in entries:
        pipeline.execute_command(*publish_call(previous, entry))
        previous = entry.id
    # Raised here, a refusal is as the store worded it: the client would put the call before it, and the events with that.
    for entry, answer in zip(entries, pipeline.execute(raise_on_error=False), strict=True):
        if isinstance(answer, Exception):
            raise answer
        check_published(entry.id, answer)


def publish_call(previous: EntryId, published: PublishedEntry) -> tuple[Any, ...]:
    """Arguments of `execute_command` that publish an event entry whose predecessor is `previous` (promise P3)."""
    id, head, digest, data = published
    return ("FCALL", "jibek_publish", 2, EVENTS_KEY, PUBLISHED_KEY, str(previous), str(id), head, digest, data)


def check_published(entry: EntryId, answer: bytes) -> None:
    """Judges the answer of `publish`.

    Raises:
        Diverged: another engine published different bytes.
        ChainBroken: the entry is neither next nor there, or the stream has an entry that no engine published.
        UnreadableReply: it is no answer to `publish`.
    """
    if answer in (b"published", b"exists"):
        return
    if answer == b"diverged":
        raise Diverged(f"event entry {entry} was published with another head")
    if answer == b"unknown":
        raise ChainBroken(f"event entry {entry} is neither the next one nor in the store, or a later one is there")
    raise UnreadableReply(f"the store answered the publishing of {entry} with {excerpt(answer)}")
