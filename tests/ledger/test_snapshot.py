"""Snapshots: all balances at one entry, however much is settled while they are read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from engine.journal import BEGINNING, EntryId, Store, read_events
from ledger import settlement as settlement_module
from ledger import snapshot as snapshot_module
from ledger import store as store_module
from ledger.postings import post
from ledger.settlement import open_ledger
from ledger.snapshot import NotSettled, changes_between, cursor_after, take_snapshot, wait_for_entry
from ledger.store import Cursor, LedgerStore
from tests.worlds.ledger import new_settlement, settle, settle_all
from tests.worlds.stepped_venue import SteppedVenue


def balances_by_entry(client: Store) -> dict[EntryId, dict[int, int]]:
    """The counters after each entry, from the events."""
    counters: dict[int, int] = {}
    found = {}
    for entry in read_events(client, BEGINNING, count=10_000):
        for slot, change in post(entry.data).changes.items():
            counters[slot] = counters.get(slot, 0) + change
        found[entry.id] = dict(counters)
    return found


class BusyStore(LedgerStore):
    """A ledger that goes on being settled, a little before and after each thing that is read."""

    def __init__(self, client: Store, seed: int) -> None:
        super().__init__(client)
        self.settlement = new_settlement(open_ledger(client))
        self.pick = random.Random(seed)

    def go_on(self) -> None:
        for _ in range(self.pick.choice((0, 0, 1, 3))):
            self.settlement.step(None)

    def scan(self) -> Iterator[tuple[int, int]]:
        for slot, counters in super().scan():
            self.go_on()
            yield slot, counters

    def load(self, slots: object) -> object:  # type: ignore[override]
        self.go_on()
        found = super().load(slots)  # type: ignore[arg-type]
        self.go_on()
        return found


@pytest.mark.parametrize("seed", range(12))
def test_a_snapshot_is_the_state_at_its_entry(
    venue: SteppedVenue, client: Store, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.trade_at_random(seed=seed, entries=15, commands_per_entry=6)
    expected = balances_by_entry(client)
    monkeypatch.setattr(settlement_module, "ENTRIES_PER_READ", 1)
    monkeypatch.setattr(snapshot_module, "SLOTS_PER_MOMENT", 3)
    monkeypatch.setattr(snapshot_module, "PAGE_ENTRIES", 2)
    store = BusyStore(client, seed)
    for _ in range(20):
        store.settlement.step(None)
    store.settlement.store.confirm_all()
    snapshot = take_snapshot(store)
    assert snapshot.counters == expected[snapshot.id]


def test_a_snapshot_goes_back_to_any_earlier_entry(venue: SteppedVenue, client: Store) -> None:
    venue.trade_at_random(seed=1, entries=10)
    expected = balances_by_entry(client)
    store = settle_all(client).store
    assert len(expected) > 20
    for id in list(expected)[::5]:
        snapshot = take_snapshot(store)
        snapshot.carry(store.source, cursor_after(store.source, id))
        assert {slot: value for slot, value in snapshot.counters.items() if value} == expected[id]


def test_nothing_is_a_snapshot_too(client: Store) -> None:
    snapshot = take_snapshot(open_ledger(client))
    assert (snapshot.id, snapshot.counters) == (BEGINNING, {})
    assert changes_between(open_ledger(client).source, Cursor(), Cursor()) == {}


def test_a_ledger_that_does_not_go_on_is_named(
    venue: SteppedVenue, client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settlement = settle_all(client)
    monkeypatch.setattr(snapshot_module, "WAIT_S", 0.02)
    with pytest.raises(NotSettled, match="does not reach 9-9: is the settlement running"):
        wait_for_entry(settlement.store, EntryId(9, 9))


def test_a_snapshot_within_an_entry_is_that_after_the_entry_before(
    venue: SteppedVenue, client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A settlement that was killed between two parts of an entry holds up no report."""
    for module in (store_module, settlement_module):
        monkeypatch.setattr(module, "WRITES_PER_CALL_MAX", 4)
    venue.trade_at_random(seed=2, entries=6)
    expected = balances_by_entry(client)
    settlement = new_settlement(open_ledger(client))
    within = 0
    send = settlement.store.send

    def send_and_look(*call: Any) -> None:
        nonlocal within
        send(*call)
        settlement.store.confirm_all()
        within += settlement.store.cursor().part > 0
        snapshot = take_snapshot(LedgerStore(client))
        assert {slot: value for slot, value in snapshot.counters.items() if value} == expected.get(snapshot.id, {})

    monkeypatch.setattr(settlement.store, "send", send_and_look)
    settle(settlement)
    assert within > 20
