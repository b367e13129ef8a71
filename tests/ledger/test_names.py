"""Names of accounts and assets, as the events define them."""

from __future__ import annotations

from engine.journal import BEGINNING, Store, read_events
from engine.records import EventKind, OrderEvent
from ledger.names import Names, names_in
from tests.worlds.ledger import event_entry, settle_all
from tests.worlds.stepped_venue import SteppedVenue


def test_an_entry_that_names_nothing_gives_nothing() -> None:
    assert names_in(event_entry(OrderEvent(kind=EventKind.DEPOSITED))) == {}
    assert names_in(event_entry()) == {}


def test_definitions_become_fields(venue: SteppedVenue, client: Store) -> None:
    venue.add_account("alice")
    fields: dict[bytes, bytes] = {}
    for entry in read_events(client, BEGINNING):
        fields |= names_in(entry.data)
    assert fields == {
        b"asset:1": b"2 KZT",
        b"asset:2": b"8 USDT",
        b"asset:3": b"8 BTC",
        b"asset:4": b"8 ETH",
        b"account:1": b"alice",
        b"number:alice": b"1",
    }


def test_names_answer_in_both_directions() -> None:
    names = Names({b"asset:3": b"8 BTC", b"account:1": b"alice", b"number:alice": b"1"})
    assert (names.account(0), names.account(1), names.account(2)) == ("house", "alice", "#2")
    assert names.asset(3).format(1) == "0.00000001"
    assert names.asset_by_name["BTC"].number == 3


def test_the_store_gives_the_names_that_are_asked_for(venue: SteppedVenue, client: Store) -> None:
    for name in ("alice", "bob", "carol"):
        venue.add_account(name)
    store = settle_all(client).store
    names = store.names([2, 9])
    assert (names.account(1), names.account(2), names.account(9)) == ("#1", "bob", "#9")
    assert sorted(names.asset_by_name) == ["BTC", "ETH", "KZT", "USDT"]
    assert [store.number_of(name) for name in ("house", "carol", "nobody")] == [0, 3, None]
