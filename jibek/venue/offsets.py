"""How far each part of the venue has come along the journal, and how many entries it is behind."""

from __future__ import annotations

from typing import NamedTuple

from engine.journal import BEGINNING, JOURNAL_KEY, PUBLISHED_KEY, EntryId, Store
from ledger.store import CURSOR_KEY, Cursor


class Position(NamedTuple):
    """Where one part of the venue stands."""

    name: str
    id: EntryId
    lag_entries: int
    """How many entries it is behind the journal; of the journal itself 0."""


def read_positions(client: Store) -> list[Position]:
    """Journal, events and ledger, read in one round trip.

    The journal is read last: no part is ever ahead of it, so a lag is never negative.
    """
    pipeline = client.pipeline(transaction=False)
    pipeline.get(CURSOR_KEY)
    pipeline.get(PUBLISHED_KEY)
    pipeline.xrevrange(JOURNAL_KEY, count=1)
    ledger, published, last = pipeline.execute()
    journal = EntryId.parse(last[0][0]) if last else BEGINNING
    events = EntryId.parse(published or b"0-0")
    return [
        Position("journal", journal, 0),
        Position("events", events, entries_between(client, events, journal)),
        Position("ledger", (settled := Cursor.parse(ledger).id), entries_between(client, settled, journal)),
    ]


def entries_between(client: Store, behind: EntryId, ahead: EntryId) -> int:
    """How many journal entries come after `behind`, up to `ahead`.

    Ids are dense within an epoch. Across epochs it is the length of the journal, which is exact at the beginning and
    else the most that it can be.
    """
    if behind.epoch == ahead.epoch:
        return max(0, ahead.sequence - behind.sequence)
    return int(client.xlen(JOURNAL_KEY))
