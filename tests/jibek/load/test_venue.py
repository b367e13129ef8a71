"""The venue under load: fills are counted in the events, of one market and between two entries."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from engine.journal import EVENTS_KEY, Store
from engine.listing import Market
from engine.records import BatchBuilder, EventEntry, EventKind, Side
from jibek.load.venue import LoadedVenue, trades_in
from jibek.venue.address import VenueAddress
from jibek.venue.directory import read_directory
from tests.worlds.stepped_venue import SteppedVenue


def market_of(client: Store, data: Path, symbol: str) -> Market:
    return read_directory(client, data).listing.market_by_symbol[symbol]


def test_trades_are_counted_by_market_and_entry(venue: SteppedVenue, client: Store, tmp_path: Path) -> None:
    buyer, seller = venue.add_account("buyer", KZT=10**13), venue.add_account("seller", BTC=10**12, ETH=10**12)
    loaded = LoadedVenue(tmp_path, VenueAddress(tmp_path, 1, "", "", 0, "", {}), client)
    ends = [loaded.journal_end()]
    for trades, symbol in ((3, "BTCKZT"), (2, "ETHKZT"), (0, "BTCKZT"), (1, "BTCKZT")):
        builder = BatchBuilder()
        for _ in range(trades):
            builder.add(venue.order(seller, Side.SELL, 40_000, 50_000, symbol))
            builder.add(venue.order(buyer, Side.BUY, 40_000, 50_000, symbol))
        builder.add(venue.order(buyer, Side.BUY, 1, 100_000_000, symbol))
        venue.execute(builder)
        ends.append(loaded.journal_end())
    btc, eth = (market_of(client, tmp_path, symbol) for symbol in ("BTCKZT", "ETHKZT"))
    assert loaded.trades_between(ends[0], ends[-1], btc) == 4
    assert loaded.trades_between(ends[0], ends[-1], eth) == 2
    assert [loaded.trades_between(*pair, btc) for pair in pairwise(ends)] == [3, 0, 0, 1]
    total = 0
    for _, fields in client.xrange(EVENTS_KEY):
        entry = EventEntry(fields[b"b"])
        total += trades_in(fields[b"b"], btc.number)
        expected = sum(event.kind == EventKind.TRADE and event.market == btc.number for event in entry)
        assert trades_in(fields[b"b"], btc.number) == expected
    assert total == 4
