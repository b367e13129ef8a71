"""The settlement process: events -> transfers -> ledger, each entry exactly once.

    python -m ledger.settlement --store unix:///run/jibek/store.sock --data jibek-data

It reads the events, verifies each by the chain, derives the transfers (`ledger.postings`),
adds them to the balances in Python integers and writes the new balances with the cursor in one call (`ledger.store`).

It may be killed between any two steps, started twice, or run next to another one: all that it knows is in the store, and
a call is refused unless the cursor is where it was when the balances were read. A settlement that is refused reads the
cursor again and goes on from there.

It reads the stored balances once, at its start, and writes nothing before they are proved (`ledger.proof`): the trading goes
on meanwhile, and the ledger is behind. From then on it keeps the counters of all slots in memory, about 200 bytes each, and
never reads one again: wherever the cursor is moved by another, what lies between follows from the events.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from engine.journal import BEGINNING, EntryId, EventReader, PublishedEntry, Store, check_reaches, prepare_store
from engine.process.duties import Fault
from engine.process.follower import FollowerProcess
from engine.process.watermarks import known_heads
from ledger.accounts import Account, first_negative, slot_asset, slot_owner
from ledger.entries import split_at, writes_of
from ledger.fast_postings import post
from ledger.postings import PostingError
from ledger.proof import ENGINE_WAIT_S, Proof
from ledger.rebuild import RebuildRequest
from ledger.snapshot import NotSettled, Snapshot, add_changes, changes_between, load_all
from ledger.store import (
    DROPPING,
    RECONCILE,
    WRITES_PER_CALL_MAX,
    Cursor,
    CursorMoved,
    LedgerBroken,
    LedgerStore,
    Writes,
)

ENTRIES_PER_READ = 64
READY_WAIT_S = 10.0
"""How long a start waits for the proof. Then the process is ready, says that it settles nothing yet, and goes on with it."""
PROOF_BLOCK_MS = 50

log = logging.getLogger("settlement")


class Settlement:
    """Carries the ledger along the events (a `Follower`).

    Args:
        known: heads that the chain must have, by entry, as watermarks name them.
        data: the venue's folder, in which an operator may ask for a rebuild (`ledger.rebuild`); None if there is none.
        engine_wait_s: how long the engine may take to report its balances, before the stored ones are compared with the events
            instead; 0: it is not even asked.
    """

    def __init__(
        self,
        store: LedgerStore,
        known: Mapping[EntryId, bytes] = MappingProxyType({}),
        data: Path | None = None,
        *,
        engine_wait_s: float = ENGINE_WAIT_S,
    ) -> None:
        self.store = store
        self.known = known
        self._engine_wait_s = engine_wait_s
        self.counters: dict[int, int] = {}
        """Slot -> its counters at `ledger_cursor`; a slot that is not here was never touched."""
        self._rebuild = RebuildRequest(data)
        self._proof: Proof | None = None
        """Of the balances that were stored at the start; None once they are proved."""
        if self._rebuild.is_asked():
            self._start_again()
        else:
            self._begin()

    @property
    def cursor(self) -> EntryId:
        """The last entry that is wholly in."""
        return self.ledger_cursor.id

    @property
    def verified(self) -> tuple[EntryId, bytes]:
        return self.ledger_cursor.id, self.ledger_cursor.head

    @property
    def unproved(self) -> str:
        """Why the stored balances are not proved, so that nothing is settled; empty if they are. Any thread may ask."""
        proof = self._proof
        return "" if proof is None else proof.text

    def resume(self) -> None:
        """Goes on where the ledger is.

        Raises:
            LedgerBroken, ChainBroken: it is nowhere in the chain of the events.
            EndsBefore: the events end before what was settled.
        """
        self.close()
        check_reaches(self.store.source.published(), self.cursor)
        self.store.prepare()
        if self._proof is not None:
            self._begin()
            return
        cursor = self._usable_cursor()
        if cursor == Cursor():
            self.counters.clear()
        else:
            add_changes(self.counters, changes_between(self.store.source, self.ledger_cursor, cursor, post))
        self._go_on_from(cursor)

    def step(self, block_ms: int | None) -> int:
        """Settles the next entries and returns how many; if there are none, waits up to `block_ms` for some (None: not at
        all). The last calls may still be in flight when it returns, unless it returns 0. As long as the stored balances are
        not proved it only reads.

        Raises:
            CursorMoved: another settlement was first; call `resume`.
            ChainBroken, MalformedRecord, PostingError, LedgerBroken: what is there is no ledger of a sound chain.
            redis.ConnectionError, redis.TimeoutError: the store is away; call `resume` once it is back.
        """
        if self._rebuild.is_asked():
            self._start_again()
        if self._proof is not None:
            return self._prove(self._proof, block_ms)
        read = self._reader.read(self.store.source, count=ENTRIES_PER_READ)
        if not read:
            self.store.confirm_all()
            read = self._reader.read(self.store.source, count=ENTRIES_PER_READ, block_ms=block_ms)
        entries = [(published, writes_of(published, post)) for published in read]
        self._settle(entries)
        return len(entries)

    def prove(self, wait_s: float) -> None:
        """Compares the stored balances with the engine's; after `wait_s` it leaves the rest to `step`.

        Raises: as `step`.
        """
        deadline_s = time.monotonic() + wait_s
        while self._proof is not None and time.monotonic() < deadline_s:
            self.step(PROOF_BLOCK_MS)
        if self._proof is not None:
            log.warning("nothing is settled yet: %s", self.unproved)

    def lag_entries(self) -> int:
        """How many entries the ledger is behind the events."""
        source = self.store.source
        return source.count_between(self.cursor, source.published())

    def facts(self) -> dict[str, object]:
        return {"unproved": self.unproved} if self.unproved else {}

    def faults(self) -> Mapping[str, Fault]:
        return {"balances": lambda: self.unproved}

    def close(self) -> None:
        """Gives up the calls in flight; the store may still execute some of them."""
        self.store.disconnect()
        self.store.source.close()

    def _begin(self) -> None:
        """Reads what is stored and begins to prove it. A ledger that has not begun has nothing to prove."""
        newest = self.store.last_transfers(count=1)
        snapshot = self._load()
        cursor, self.counters = snapshot.cursor, snapshot.counters
        self._proof = None
        if cursor != Cursor():
            self._proof = Proof(self.store, snapshot, log, self._engine_wait_s)
        elif not self.store.is_empty():
            raise LedgerBroken("it has balances or transfers, but no cursor says up to which entry")
        if newest and newest[0][0] > cursor.id != BEGINNING:
            raise LedgerBroken(f"it has transfers of entry {newest[0][0]}, and its cursor is at {cursor.id}")
        self._go_on_from(cursor)

    def _load(self) -> Snapshot:
        """All that is stored, from its beginning on if another settlement takes it out of the store at this moment."""
        while (cursor := self._usable_cursor()) != Cursor():
            with suppress(NotSettled):
                return load_all(self.store, post)
        return Snapshot(cursor, {})

    def _go_on_from(self, cursor: Cursor) -> None:
        self.ledger_cursor = cursor
        """Where the calls sent so far leave the ledger."""
        self._reader = EventReader(cursor.id, cursor.head, self.known)

    def _prove(self, proof: Proof, block_ms: int | None) -> int:
        count = proof.step(block_ms)
        if proof.is_done:
            self._proof = None
        return count

    def _usable_cursor(self) -> Cursor:
        """Where the ledger is; one that is being taken out of the store is taken out first."""
        cursor = self.store.checked_cursor()
        if cursor != DROPPING:
            return cursor
        with suppress(CursorMoved):
            self.store.drop()
            log.info("the ledger is out of the store: it is computed again from the first entry")
        return self._usable_cursor()

    def _start_again(self) -> None:
        """Takes the ledger out of the store, as an operator has asked, and begins at the first entry.

        Raises:
            CursorMoved: another settlement was first.
        """
        log.warning("the ledger is taken out of the store: %s", self._rebuild.text())
        self.store.disconnect()
        self.store.begin_drop()
        self._rebuild.forget()
        self._begin()

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
        parts = split_at(self.ledger_cursor, writes, after.id)
        for number in range(self.ledger_cursor.part + 1, len(parts) + 1):
            is_last = number == len(parts)
            self._send(
                parts[number - 1], after if is_last else self.ledger_cursor._replace(part=number, parts=len(parts))
            )

    def _send(self, writes: Writes, after: Cursor) -> None:
        """Adds the changes to the counters, which are then those at `after` whatever becomes of the call, and sends it."""
        counters = self.counters
        for slot, change in writes.changes.items():
            value = counters.get(slot, 0) + change
            if (kind := first_negative(slot, value)) is not None:
                account = Account(slot_owner(slot), slot_asset(slot), kind)
                raise LedgerBroken(f"{account} would owe more than it has after entry {after.id}", RECONCILE)
            counters[slot] = value
        before, self.ledger_cursor = self.ledger_cursor, after
        self.store.send(before, after, writes, counters)


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
    """A settlement that begins where the ledger of this store is, its balances proved if the engine answers in time."""
    store = open_ledger(client)
    settlement = Settlement(store, known_heads(options.data, store.source), options.data)
    settlement.prove(READY_WAIT_S)
    return settlement


SETTLEMENT = FollowerProcess(
    name="settlement",
    module="ledger.settlement",
    description="The settlement of a Jibek venue.",
    open=open_settlement,
    broken=(LedgerBroken, PostingError),
)


if __name__ == "__main__":
    sys.exit(SETTLEMENT.main())
