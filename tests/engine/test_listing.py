"""The listing that is learned from the events."""

from __future__ import annotations

from engine.listing import Listing
from engine.records import EventEntry
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
