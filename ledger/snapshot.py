"""All balances at one entry, read while the ledger goes on.

Reading the whole hash of balances in one command would stop the venue for as long as it takes. So it is scanned in steps,
and what was written meanwhile is put right: the slots that the entries of the meantime touched are read again, each
batch together with the cursor, and taken back to where the scan ended by the transfers after it. Counters only grow by
transfers, so taking transfers back is exact.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import chain

from engine.journal import EntryId
from ledger.postings import net, unpack_transfers
from ledger.store import SLOTS_PER_MOMENT, Cursor, LedgerStore

PAGE_ENTRIES = 256

WAIT_S = 10.0
POLL_S = 0.005


class NotSettled(Exception):
    """The ledger does not reach, within 10 s, what the report needs; the text says how far it has come."""


class Snapshot:
    """The counters of all slots after the entry `id`."""

    def __init__(self, id: EntryId, counters: dict[int, int]) -> None:
        self.id = id
        self.counters = counters

    def roll_back(self, store: LedgerStore, id: EntryId) -> None:
        """Takes the balances back to what they were after the earlier entry `id`."""
        assert id <= self.id
        for slot, change in changes_between(store, id, self.id).items():
            self.counters[slot] -= change
        self.id = id


def take_snapshot(store: LedgerStore) -> Snapshot:
    """The balances as the ledger has them about now.

    Memory: about 200 bytes a slot.

    Raises:
        NotSettled: the ledger is within an entry and does not go on.
    """
    begin = wait_between_entries(store).id
    counters = dict(store.scan())
    end = wait_between_entries(store).id
    touched = list(changes_between(store, begin, end))
    for start in range(0, len(touched), SLOTS_PER_MOMENT):
        counters |= counters_at(store, end, touched[start : start + SLOTS_PER_MOMENT])
    return Snapshot(end, counters)


def counters_at(store: LedgerStore, id: EntryId, slots: Iterable[int]) -> dict[int, int]:
    """The counters of some slots after the entry `id`, which the ledger has reached.

    Raises:
        NotSettled: the ledger is within an entry and does not go on.
    """
    cursor, counters = read_between_entries(store, slots)
    for slot, change in changes_between(store, id, cursor.id).items():
        if slot in counters:
            counters[slot] -= change
    return counters


def read_between_entries(store: LedgerStore, slots: Iterable[int]) -> tuple[Cursor, dict[int, int]]:
    """The counters of some slots and the entry after which they were read."""
    wanted = tuple(slots)
    deadline = time.monotonic() + WAIT_S
    while True:
        cursor, counters = store.load(wanted)
        if cursor.part == 0:
            return cursor, counters
        _pause(deadline, f"the ledger is at part {cursor.part} of {cursor.parts} after {cursor.id}")


def wait_between_entries(store: LedgerStore) -> Cursor:
    """The ledger's cursor, once no entry is half in."""
    return read_between_entries(store, ())[0]


def wait_for_entry(store: LedgerStore, id: EntryId) -> Cursor:
    """The ledger's cursor, once the entry `id` is in.

    Raises:
        NotSettled: that takes more than 10 s.
    """
    deadline = time.monotonic() + WAIT_S
    while (cursor := store.cursor()).id < id:
        _pause(deadline, f"the ledger is at {cursor.id} and does not reach {id}")
    return cursor


def changes_between(store: LedgerStore, after: EntryId, last: EntryId) -> dict[int, int]:
    """Slot -> what the entries after `after`, up to `last`, added to its counters."""
    blobs = (blob for _, blob in transfers_between(store, after, last))
    return net(chain.from_iterable(map(unpack_transfers, blobs)))


def transfers_between(store: LedgerStore, after: EntryId, last: EntryId) -> Iterator[tuple[EntryId, bytes]]:
    """The stored entries after `after`, up to `last`, oldest first, page by page."""
    while after < last:
        page = store.transfers(EntryId(after.epoch, after.sequence + 1), last, count=PAGE_ENTRIES)
        yield from page
        if len(page) < PAGE_ENTRIES:
            return
        after = page[-1][0]


def _pause(deadline: float, where: str) -> None:
    if time.monotonic() >= deadline:
        raise NotSettled(f"{where}: is the settlement running?")
    time.sleep(POLL_S)
