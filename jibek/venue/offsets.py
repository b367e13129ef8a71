"""How far each part of the venue has come along the journal, and how many entries it lags behind."""

from __future__ import annotations

import time
from typing import NamedTuple

from engine.journal import BEGINNING, JOURNAL_KEY, PUBLISHED_KEY, EntryId, Store, published_id
from ledger.store import CURSOR_KEY, Cursor, LedgerBroken

SETTLE_TIMEOUT_S = 60.0
SETTLE_POLL_S = 0.02


class NotCaughtUp(Exception):
    """The ledger did not catch up with the journal in time; the text says within how many seconds."""


class Offset(NamedTuple):
    """How far one part of the venue has come."""

    name: str
    id: EntryId
    """The last entry that it has processed."""
    lag_entries: int
    """How many entries it is behind the journal; 0 for the journal itself."""


def read_offsets(client: Store) -> list[Offset]:
    """Journal, events and ledger, read in one round trip.

    The journal is read last: no part is ever ahead of it, so a lag is never negative.
    """
    pipeline = client.pipeline(transaction=False)
    pipeline.get(CURSOR_KEY)
    pipeline.get(PUBLISHED_KEY)
    pipeline.xrevrange(JOURNAL_KEY, count=1)
    ledger, published, last = pipeline.execute()
    journal = EntryId.parse(last[0][0]) if last else BEGINNING
    events = published_id(published)
    try:
        settled = Cursor.parse(ledger).id
    except LedgerBroken:
        # The settlement says what is wrong. Here it is a ledger that has come nowhere.
        settled = BEGINNING
    return [
        Offset("journal", journal, 0),
        Offset("events", events, entries_between(client, events, journal)),
        Offset("ledger", settled, entries_between(client, settled, journal)),
    ]


def entries_between(client: Store, behind: EntryId, ahead: EntryId) -> int:
    """How many journal entries come after `behind`, up to `ahead`.

    Ids are dense within an epoch. Across epochs the answer is the length of the journal: exact at its beginning, else an
    upper bound.
    """
    if behind.epoch == ahead.epoch:
        return max(0, ahead.sequence - behind.sequence)
    return int(client.xlen(JOURNAL_KEY))


def wait_until_settled(client: Store, *, timeout_s: float = SETTLE_TIMEOUT_S, poll_s: float = SETTLE_POLL_S) -> EntryId:
    """Waits until engine and settlement have processed the whole journal; returns the id of its last entry.

    Raises:
        NotCaughtUp: they have not, after `timeout_s`.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        offsets = read_offsets(client)
        if not any(offset.lag_entries for offset in offsets):
            return offsets[0].id
        if time.monotonic() > deadline_s:
            raise NotCaughtUp(f"the ledger has not caught up within {timeout_s:g} s")
        time.sleep(poll_s)
