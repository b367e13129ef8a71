"""The listing that is learned from the events."""

from __future__ import annotations

from engine.listing import Listing
from engine.records import BatchBuilder, Command, CommandKind, EventEntry, MarketState
from engine.reference import Core
from engine.venue_file import load_venue


def test_the_listing_follows_the_events() -> None:
    core, listing, venue = Core(), Listing(), load_venue()
    for number, builder in enumerate(venue.batches("test"), start=1):
        entry = EventEntry(core.execute(number, builder.build(producer=1, incarnation=1, number=number)))
        assert all(listing.apply(entry, event) for event in entry)
    assert [asset.name for asset in listing.assets.values()] == [asset.name for asset in venue.assets]
    market = listing.market_by_symbol["BTCKZT"]
    assert (market.base.name, market.quote.name, market.lot_value_units) == ("BTC", "KZT", 1)


def test_it_knows_who_has_halted_the_venue_and_what_was_accepted_since() -> None:
    core, listing = Core(), Listing()

    def change(time_us: int, producer: int, command: Command, why: bytes = b"why") -> None:
        builder = BatchBuilder()
        builder.add(command, b"me", why, b"root/0")
        incarnation = core.exchange.producers.get(producer, (0, 0))[0] + 1
        entry = EventEntry(core.execute(time_us, builder.build(producer=producer, incarnation=incarnation, number=1)))
        assert all(listing.apply(entry, event) for event in entry)

    halt = Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.HALTED)
    change(10, 3, halt, b"the clocks part \xff")
    assert listing.venue_halt == (3, "me", "the clocks part \ufffd", 10, False)
    change(9, 2, Command(kind=CommandKind.TIME_ACCEPT, amount=-5, expiry_us=20))
    assert (listing.accepted_difference_us, listing.accepted_time_us) == (-5, 10), (
        "the time of the venue never goes back"
    )
    assert (listing.accepted_store_us, listing.signed_from_us) == (20, 25)
    assert listing.venue_halt is not None and listing.venue_halt.is_accepted
    change(11, 2, halt)
    assert listing.venue_halt == (2, "me", "why", 11, False), "the guard's has ended"
    change(11, 3, halt, b"set")
    change(11, 2, halt, b"again")
    assert listing.venue_halt == (3, "me", "set", 11, False), "an operator's does not take the guard's away"
    change(11, 2, Command(kind=CommandKind.TIME_ACCEPT))
    assert listing.venue_halt == (2, "me", "again", 11, False), "nor the guard's an operator's"
    change(12, 2, Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.TRADING))
    assert listing.venue_halt is None
