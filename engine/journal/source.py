"""Where journal and events are read from: the `Source` protocol, and the store as one.

A reader names the last entry that it has, and gets what comes after it. It need not know what holds those entries: a
source that reads an archive and then the store looks the same to it. What a source gives is not verified, but for
`events_at`; the readers of `engine.journal.readers` do that, against a head that they bring along.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import redis

from engine.journal.chain import EventChain
from engine.journal.ids import BEGINNING, EntryId, JournalEntry, PublishedEntry
from engine.journal.store import EVENTS_KEY, JOURNAL_KEY, Store, own_connection, published_call, published_id
from engine.journal.streams import events_in, journal_in, parse_events, parse_journal, parse_streams, read_call


class Source(Protocol):
    """Journal and events in their order. All its methods but `close` raise

    redis.ConnectionError, redis.TimeoutError: what holds the entries is away; the next call connects again;
    ChainBroken: an entry has other fields than it should have.
    """

    def journal(self, after: EntryId, *, count: int, block_ms: int | None = None) -> list[JournalEntry]:
        """Journal entries after `after`, oldest first, at most `count`; if there are none, waits up to `block_ms`
        for some (None: not at all)."""

    def events(self, after: EntryId, *, count: int, block_ms: int | None = None) -> list[PublishedEntry]:
        """Event entries after `after`, in the same way."""

    def both(self, after: EntryId, *, count: int) -> tuple[list[JournalEntry], list[PublishedEntry]]:
        """The event entries after `after`, at most `count`, and as many journal entries, as they are at one moment."""

    def events_at(self, ids: Iterable[EntryId]) -> list[PublishedEntry]:
        """These event entries, without those that are not there, each verified against the head of the entry before it.
        Cost: one round trip, which brings two entries for each.

        Raises:
            ChainBroken: one of them was changed.
        """

    def appended(self) -> EntryId:
        """The last journal entry; BEGINNING for none."""

    def published(self) -> EntryId:
        """The last event entry; BEGINNING for none."""

    def count_between(self, after: EntryId, until: EntryId) -> int:
        """How many entries come after `after`, up to `until`: how far a reader at `after` is behind.

        Within an epoch it is exact and asks no one. Across epochs it is the number of all entries, the most that it can be.
        """

    def close(self) -> None:
        """Ends what it has open; the next read opens it again."""


class StoreSource:
    """The store as a `Source`, read over a connection of its own.

    A read costs a quarter of the CPU of one through redis-py (15 instead of 58 µs), which counts if it brings a single
    order. After a lost connection the next read makes a new one.
    """

    def __init__(self, client: Store) -> None:
        self._client = client
        self._connection: Any = None

    def journal(self, after: EntryId, *, count: int, block_ms: int | None = None) -> list[JournalEntry]:
        return journal_in(self._ask(read_call((JOURNAL_KEY,), after, count=count, block_ms=block_ms)))

    def events(self, after: EntryId, *, count: int, block_ms: int | None = None) -> list[PublishedEntry]:
        return events_in(self._ask(read_call((EVENTS_KEY,), after, count=count, block_ms=block_ms)))

    def both(self, after: EntryId, *, count: int) -> tuple[list[JournalEntry], list[PublishedEntry]]:
        streams = parse_streams(self._ask(read_call((EVENTS_KEY, JOURNAL_KEY), after, count=count)))
        published = parse_events(streams.get(EVENTS_KEY.encode(), ()))
        return parse_journal(streams.get(JOURNAL_KEY.encode(), ())[: len(published)]), published

    def events_at(self, ids: Iterable[EntryId]) -> list[PublishedEntry]:
        ids = list(ids)
        pipeline = self._client.pipeline(transaction=False)
        for id in ids:
            pipeline.xrevrange(EVENTS_KEY, max=str(id), count=2)
        wanted = [_verified(id, parse_events(reply)) for id, reply in zip(ids, pipeline.execute(), strict=True)]
        return [entry for entry in wanted if entry is not None]

    def appended(self) -> EntryId:
        last = self._client.xrevrange(JOURNAL_KEY, count=1)
        return EntryId.parse(last[0][0]) if last else BEGINNING

    def published(self) -> EntryId:
        return published_id(self._ask(published_call()))

    def count_between(self, after: EntryId, until: EntryId) -> int:
        if after.epoch == until.epoch:
            return max(0, until.sequence - after.sequence)
        return int(self._client.xlen(JOURNAL_KEY))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _ask(self, call: tuple[Any, ...]) -> Any:
        """The answer to a call that changes nothing."""
        is_new = self._connection is None
        try:
            return self._ask_once(call)
        except redis.ConnectionError:
            # A store that was started again has closed the connection long ago. Reading twice does no harm.
            if is_new:
                raise
            return self._ask_once(call)

    def _ask_once(self, call: tuple[Any, ...]) -> Any:
        try:
            if self._connection is None:
                self._connection = own_connection(self._client)
            self._connection.send_command(*call)
            return self._connection.read_response()
        except (redis.ConnectionError, redis.TimeoutError):
            self.close()
            raise


def _verified(id: EntryId, found: list[PublishedEntry]) -> PublishedEntry | None:
    """The event entry `id`, if it is there, verified against the head of the entry before it.

    Args:
        found: the last two entries up to `id`, the last one first.

    Raises:
        ChainBroken: it was changed.
    """
    if not found or found[0].id != id:
        return None
    entry, *before = found
    chain = EventChain(before[0].id, before[0].head) if before else EventChain()
    chain.check(entry)
    return entry


def event_at(client: Store, id: EntryId) -> PublishedEntry | None:
    """A single entry as `Source.events_at` gives it, over a connection of the client's pool; None if it is not there."""
    return _verified(id, parse_events(client.xrevrange(EVENTS_KEY, max=str(id), count=2)))


def read_journal(client: Store, after: EntryId, *, count: int = 64, block_ms: int | None = None) -> list[JournalEntry]:
    """A single read as `Source.journal`, over a connection of the client's pool."""
    return journal_in(client.execute_command(*read_call((JOURNAL_KEY,), after, count=count, block_ms=block_ms)))


def read_events(client: Store, after: EntryId, *, count: int = 64, block_ms: int | None = None) -> list[PublishedEntry]:
    """A single read as `Source.events`, over a connection of the client's pool."""
    return events_in(client.execute_command(*read_call((EVENTS_KEY,), after, count=count, block_ms=block_ms)))
