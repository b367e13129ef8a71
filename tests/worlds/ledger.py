"""A ledger as its tests use it: settled on demand or in a thread, dumped, emptied."""

from __future__ import annotations

import logging
import os
import signal

from engine.journal import Store
from engine.process.follower import follow
from engine.records import EVENT_HEADER, Event, EventHeader, pack_event
from ledger.settlement import Settlement, open_ledger
from ledger.store import BALANCES_KEY, CURSOR_KEY, INDEX_KEY, TRANSFERS_KEY, LedgerStore
from tests.worlds.stepped_venue import BackgroundThread

LedgerDump = dict[str, object]


class SettlementThread(BackgroundThread):
    """A settlement at work."""

    def __init__(self, settlement: Settlement) -> None:
        super().__init__(lambda stop: follow(settlement, stop, logging.getLogger("settlement")))


class StepCountingStore(LedgerStore):
    """A ledger's store that counts down steps, and kills its process when none is left.

    Args:
        kill_at: so many steps are taken.
    """

    def __init__(self, client: Store, kill_at: int) -> None:
        super().__init__(client)
        self.steps_left = kill_at

    def step(self) -> None:
        if self.steps_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps_left -= 1


def new_settlement(store: LedgerStore) -> Settlement:
    """A settlement that proves its balances from the events: the engine of a `SteppedVenue` works only when the test says so."""
    return Settlement(store, engine_wait_s=0)


def settle_all(client: Store) -> Settlement:
    """Settles everything that was published, in this process."""
    settlement = new_settlement(open_ledger(client))
    settle(settlement)
    return settlement


def settle(settlement: Settlement) -> None:
    """Goes on until everything is settled."""
    while settlement.step(block_ms=None) or settlement.unproved:
        pass


def dump_ledger(client: Store) -> LedgerDump:
    """Everything that the ledger has in the store."""
    keys = sorted(client.scan_iter(INDEX_KEY + b":*", count=1000))
    return {
        "cursor": client.get(CURSOR_KEY),
        "balances": client.hgetall(BALANCES_KEY),
        "transfers": client.xrange(TRANSFERS_KEY),
        "index": {key: client.get(key) for key in keys},
    }


def clear_ledger(client: Store) -> None:
    """Takes everything of the ledger out of the store; journal and events stay."""
    client.delete(CURSOR_KEY, BALANCES_KEY, TRANSFERS_KEY, *client.scan_iter(INDEX_KEY + b":*", count=1000))


def event_entry(*events: Event) -> bytes:
    """An event entry of these events, without blobs."""
    return EVENT_HEADER.pack(EventHeader(event_count=len(events))) + b"".join(map(pack_event, events))
