"""All balances at one entry, read while the ledger goes on.

Reading the whole hash of balances in one command would stop the venue for as long as it takes. So it is scanned in steps,
and what was written meanwhile is put right: the slots that the entries of the meantime touched are read again, each
batch together with the cursor, and taken back to where the scan ended. What an entry added to a counter is computed from its
verified events and never read from the ledger, so a fault of the stored transfers does not get into a balance.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.journal import ChainBroken, EntryId, EventReader, Source
from ledger.entries import split_at, writes_of
from ledger.postings import Posted, post
from ledger.store import DROPPING, SLOTS_PER_MOMENT, Cursor, LedgerBroken, LedgerStore

PAGE_ENTRIES = 256

WAIT_S = 10.0
POLL_S = 0.005

Post = Callable[[bytes], Posted]
"""`ledger.postings.post`, or its compiled twin."""


class NotSettled(Exception):
    """The ledger does not reach, within 10 s, what the report needs; the text says how far it has come."""


class Snapshot:
    """The counters of all slots where the ledger was at `cursor`."""

    def __init__(self, cursor: Cursor, counters: dict[int, int]) -> None:
        self.cursor = cursor
        self.counters = counters

    @property
    def id(self) -> EntryId:
        """The last entry that is wholly in."""
        return self.cursor.id

    def carry(self, source: Source, until: Cursor) -> None:
        """Takes the balances to what they were, or will be, at another cursor.

        Raises:
            ChainBroken: the events between the two are not an unbroken chain.
            LedgerBroken: one of the cursors is not in the chain.
        """
        add_changes(self.counters, changes_between(source, self.cursor, until))
        self.cursor = until


def take_snapshot(store: LedgerStore) -> Snapshot:
    """The balances as the ledger has them about now, after a whole entry.

    Memory: about 200 bytes a slot.

    Raises:
        NotSettled: the ledger is being rebuilt.
        LedgerBroken, ChainBroken: what is stored are no balances at an entry of the events.
    """
    snapshot = load_all(store)
    snapshot.carry(store.source, snapshot.cursor.whole())
    return snapshot


def load_all(store: LedgerStore, post: Post = post) -> Snapshot:
    """The balances as they are stored about now, perhaps with some parts of the next entry.

    Raises: as `take_snapshot`.
    """
    begin = store.checked_cursor()
    counters = dict(store.scan())
    end = store.checked_cursor()
    if begin == DROPPING or end.place < begin.place:
        raise NotSettled("the ledger is being rebuilt")
    touched = list(changes_between(store.source, begin, end, post))
    for start in range(0, len(touched), SLOTS_PER_MOMENT):
        batch = touched[start : start + SLOTS_PER_MOMENT]
        cursor, found = store.load(batch)
        if cursor.place < end.place:
            raise NotSettled("the ledger is being rebuilt")
        later = changes_between(store.source, end, cursor, post)
        counters |= {slot: value - later.get(slot, 0) for slot, value in found.items()}
    return Snapshot(end, counters)


def wait_for_entry(store: LedgerStore, id: EntryId) -> Cursor:
    """The ledger's cursor, once the entry `id` is in.

    Raises:
        NotSettled: that takes more than 10 s.
    """
    deadline = time.monotonic() + WAIT_S
    while (cursor := store.cursor()).id < id:
        if time.monotonic() >= deadline:
            raise NotSettled(f"the ledger is at {cursor.id} and does not reach {id}: is the settlement running?")
        time.sleep(POLL_S)
    return cursor


# -- what lies between two states of the ledger, from the events


def changes_between(source: Source, start: Cursor, until: Cursor, post: Post = post) -> dict[int, int]:
    """Slot -> what to add to its counters to get from one state of the ledger to another, later or earlier.

    Cost: about 10 µs an event between the two.

    Raises:
        ChainBroken: the events between the two are not an unbroken chain.
        LedgerBroken: one of the cursors is not in the chain, or was written by another version.
    """
    if until.place < start.place:
        return {slot: -change for slot, change in changes_between(source, until, start, post).items()}
    changes: dict[int, int] = {}
    reader, head = EventReader(start.id, start.head), start.head
    while reader.cursor < until.id:
        page = reader.read(source, count=min(PAGE_ENTRIES, source.count_between(reader.cursor, until.id)))
        if not page:
            raise ChainBroken(f"the events end at {reader.cursor}, before {until.id}")
        for published in page:
            if published.id <= until.id:
                add_changes(changes, post(published.data).changes)
                head = published.head
    if head != until.head:
        raise LedgerBroken(f"its cursor at {until.id} names a head of the chain that the events do not have there")
    for slot, change in changes_of_parts(source, start, post).items():
        changes[slot] = changes.get(slot, 0) - change
    add_changes(changes, changes_of_parts(source, until, post))
    return changes


def changes_of_parts(source: Source, cursor: Cursor, post: Post = post) -> dict[int, int]:
    """What those parts of an entry have changed that are in at `cursor`, after its last whole entry.

    Raises:
        ChainBroken, LedgerBroken: as `changes_between`.
    """
    changes: dict[int, int] = {}
    if cursor.part > 0:
        page = EventReader(cursor.id, cursor.head).read(source, count=1)
        if not page:
            raise ChainBroken(f"the events end at {cursor.id}, but a part of the next entry was settled")
        for part in split_at(cursor, writes_of(page[0], post), page[0].id)[: cursor.part]:
            add_changes(changes, part.changes)
    return changes


def add_changes(counters: dict[int, int], changes: dict[int, int]) -> None:
    """Adds changes to counters, or to other changes."""
    for slot, change in changes.items():
        counters[slot] = counters.get(slot, 0) + change


def cursor_after(source: Source, id: EntryId) -> Cursor:
    """The ledger's state after the whole of an entry that is in the store.

    Raises:
        ChainBroken: the events have no such entry.
    """
    found = source.events_at([id])
    if not found:
        raise ChainBroken(f"the events have no entry {id}")
    return Cursor(id, found[0].head)
