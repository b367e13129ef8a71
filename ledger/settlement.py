"""The settlement process: events -> transfers -> ledger, each entry exactly once.

    python -m ledger.settlement --store unix:///run/jibek/store.sock --data jibek-data

It reads the events, verifies each by the chain, derives the transfers (`ledger.postings`),
adds them to the balances in Python integers and writes the new balances with the cursor in one call (`ledger.store`).

It may be killed between any two steps, started twice, or run next to another one: all that it knows is in the store, and
a call is refused unless the cursor is where it was when the balances were read. A settlement that is refused reads the
cursor again and goes on from there.

The counters of the slots in use are kept in memory, at most a million slots (about 200 MB); beyond that the memory is
emptied and filled again from the store as slots are needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from types import MappingProxyType

from engine.journal import EntryId, EventReader, PublishedEntry, Store, prepare_store
from engine.process.duties import Fault
from engine.process.follower import FollowerProcess
from engine.process.watermarks import known_heads
from engine.records import MalformedRecord
from ledger.accounts import Account, first_negative, slot_asset, slot_owner
from ledger.fast_postings import post
from ledger.names import names_in
from ledger.postings import PostingError
from ledger.store import SLOTS_PER_MOMENT, WRITES_PER_CALL_MAX, Cursor, CursorMoved, LedgerBroken, LedgerStore, Writes

ENTRIES_PER_READ = 64
SLOTS_IN_MEMORY_MAX = 1_000_000


class Settlement:
    """Carries the ledger along the events (a `Follower`).

    Args:
        known: heads that the chain must have, by entry, as watermarks name them.
    """

    def __init__(self, store: LedgerStore, known: Mapping[EntryId, bytes] = MappingProxyType({})) -> None:
        self.store = store
        self.known = known
        self.counters: dict[int, int] = {}
        """Slot -> its counters at `ledger_cursor`."""
        self.resume()

    @property
    def cursor(self) -> EntryId:
        """The last entry that is wholly in."""
        return self.ledger_cursor.id

    @property
    def verified(self) -> tuple[EntryId, bytes]:
        return self.ledger_cursor.id, self.ledger_cursor.head

    def resume(self) -> None:
        """Forgets everything and begins where the ledger is."""
        self.close()
        self.counters.clear()
        self.ledger_cursor = self.store.cursor()
        """Where the calls sent so far leave the ledger."""
        self._reader = EventReader(self.ledger_cursor.id, self.ledger_cursor.head, self.known)

    def step(self, block_ms: int | None) -> int:
        """Settles the next entries and returns how many; if there are none, waits up to `block_ms` for some (None: not at
        all). The last calls may still be in flight when it returns, unless it returns 0.

        Raises:
            CursorMoved: another settlement was first; call `resume`.
            ChainBroken, MalformedRecord, PostingError, LedgerBroken: what is there is no ledger of a sound chain.
            redis.ConnectionError, redis.TimeoutError: the store is away; call `resume` once it is back.
        """
        read = self._reader.read(self.store.source, count=ENTRIES_PER_READ)
        if not read:
            self.store.confirm_all()
            read = self._reader.read(self.store.source, count=ENTRIES_PER_READ, block_ms=block_ms)
        entries = [(published, writes_of(published)) for published in read]
        self._load({slot for _, writes in entries for slot in writes.changes})
        self._settle(entries)
        return len(entries)

    def lag_entries(self) -> int:
        """How many entries the ledger is behind the events."""
        source = self.store.source
        return source.count_between(self.cursor, source.published())

    def facts(self) -> dict[str, object]:
        return {}

    def faults(self) -> Mapping[str, Fault]:
        return {}

    def close(self) -> None:
        """Gives up the calls in flight; the store may still execute some of them."""
        self.store.disconnect()
        self.store.source.close()

    def _load(self, slots: set[int]) -> None:
        """Brings the counters of these slots, as they are at `ledger_cursor`, into memory.

        The store may still be behind, by calls in flight: they touch only slots that are in memory. If it is ahead,
        another settlement has moved it, and what is read belongs to a later state.
        """
        missing = slots - self.counters.keys()
        if len(self.counters) + len(missing) > SLOTS_IN_MEMORY_MAX:
            self.store.confirm_all()
            self.counters.clear()
            missing = slots
        wanted = list(missing)
        for start in range(0, len(wanted), SLOTS_PER_MOMENT):
            found, counters = self.store.load(wanted[start : start + SLOTS_PER_MOMENT])
            if (found.id, found.part) > (self.cursor, self.ledger_cursor.part):
                raise CursorMoved(f"the ledger is at {found.id}")
            self.counters |= counters

    def _settle(self, entries: list[tuple[PublishedEntry, Writes]]) -> None:
        """Sends the calls for the next entries: as many small ones in a call as fit, a large one in parts."""
        together: Writes | None = None
        after = self.ledger_cursor
        for published, writes in entries:
            is_large = len(writes) > WRITES_PER_CALL_MAX or self.ledger_cursor.part > 0
            if together is not None and (is_large or len(together) + len(writes) > WRITES_PER_CALL_MAX):
                self._send(together, after)
                together = None
            after = Cursor(published.id, published.head)
            if is_large:
                self._send_parts(writes, after)
            elif together is None:
                together = writes
            else:
                together.add(writes)
        if together is not None:
            self._send(together, after)

    def _send_parts(self, writes: Writes, after: Cursor) -> None:
        """Sends what is not in yet of a large entry."""
        parts = writes.split()
        if self.ledger_cursor.part and self.ledger_cursor.parts != len(parts):
            raise LedgerBroken(
                f"the ledger is at part {self.ledger_cursor.part} of {self.ledger_cursor.parts} after {self.cursor}, "
                f"but entry {after.id} has {len(parts)} parts: it was begun by another version"
            )
        for number in range(self.ledger_cursor.part + 1, len(parts) + 1):
            is_last = number == len(parts)
            self._send(
                parts[number - 1], after if is_last else self.ledger_cursor._replace(part=number, parts=len(parts))
            )

    def _send(self, writes: Writes, after: Cursor) -> None:
        """Adds the changes to the counters and sends one call."""
        counters = self.counters
        for slot, change in writes.changes.items():
            value = counters[slot] + change
            if (kind := first_negative(slot, value)) is not None:
                account = Account(slot_owner(slot), slot_asset(slot), kind)
                raise LedgerBroken(f"{account} would owe more than it has after entry {after.id}")
            counters[slot] = value
        self.store.send(self.ledger_cursor, after, writes, counters)
        self.ledger_cursor = after


def writes_of(entry: PublishedEntry) -> Writes:
    """What an event entry leaves in the ledger.

    Raises:
        PostingError, MalformedRecord: the entry cannot be settled; the text names it.
    """
    try:
        posted = post(entry.data)
        return Writes.of_entry(entry.id, posted.transfers, posted.changes, names_in(entry.data))
    except (PostingError, MalformedRecord) as error:
        raise type(error)(f"entry {entry.id}: {error}") from None


def open_ledger(client: Store) -> LedgerStore:
    """The ledger of a store whose settings and functions have been checked.

    Raises:
        StoreRefused: they are not those of this version.
    """
    prepare_store(client)
    store = LedgerStore(client)
    store.prepare()
    return store


def open_settlement(client: Store, options: argparse.Namespace) -> Settlement:
    """A settlement that begins where the ledger of this store is."""
    store = open_ledger(client)
    return Settlement(store, known_heads(options.data, store.source))


SETTLEMENT = FollowerProcess(
    name="settlement",
    module="ledger.settlement",
    description="The settlement of a Jibek venue.",
    open=open_settlement,
    broken=(LedgerBroken, PostingError),
)


if __name__ == "__main__":
    sys.exit(SETTLEMENT.main())
