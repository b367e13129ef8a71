"""Names of accounts and assets, as the events define them."""

from __future__ import annotations

from engine.journal import BEGINNING, Store, read_events
from engine.listing import Asset
from engine.records import EventKind, OrderEvent
from ledger.names import Names
from tests.worlds.ledger import event_entry
from tests.worlds.stepped_venue import SteppedVenue


def test_an_entry_that_names_nothing_gives_nothing() -> None:
    names = Names()
    names.apply(event_entry(OrderEvent(kind=EventKind.DEPOSITED)))
    names.apply(event_entry())
    assert (names.assets, names.account(0), names.account(1)) == ({}, "house", "#1")


def test_definitions_become_names(venue: SteppedVenue, client: Store) -> None:
    venue.add_account("alice")
    names = Names()
    for entry in read_events(client, BEGINNING):
        names.apply(entry.data)
    assert [(asset.number, asset.name, asset.scale) for asset in names.assets.values()] == [
        (1, "KZT", 2), (2, "USDT", 8), (3, "BTC", 8), (4, "ETH", 8),
    ]  # fmt: skip
    assert (names.account(1), names.number_of("alice")) == ("alice", 1)


def test_names_answer_in_both_directions() -> None:
    names = Names({1: "alice"}, {3: Asset(3, "BTC", 8)})
    assert (names.account(0), names.account(1), names.account(2)) == ("house", "alice", "#2")
    assert [names.number_of(name) for name in ("house", "alice", "nobody")] == [0, 1, None]
    assert names.asset(3).format(1) == "0.00000001"
    assert names.asset_by_name["BTC"].number == 3
