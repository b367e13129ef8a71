"""venue.toml against a venue: what is a beginning of it, and what differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.records import MarketState
from engine.venue import Asset, Listing, Market, VenueDefinition, load_venue
from jibek.definition import differences, is_beginning_of


def listing_of(definition: VenueDefinition, assets: int | None = None, markets: int | None = None) -> Listing:
    """A venue that has the first so many assets and markets of the definition."""
    listing = Listing()
    for asset in definition.assets[:assets]:
        listing.assets[asset.number] = listing.asset_by_name[asset.name] = asset
    for number, (symbol, market) in enumerate(definition.markets[:markets], start=1):
        listed = Market(
            number, symbol, definition.assets[market.base_asset - 1], definition.assets[market.quote_asset - 1], market,
            market.maker_fee_ppm, market.taker_fee_ppm, MarketState.TRADING,
        )  # fmt: skip
        listing.markets[number] = listing.market_by_symbol[symbol] = listed
    return listing


@pytest.mark.parametrize(("assets", "markets", "expected"), [(0, 0, True), (2, 0, True), (4, 3, True), (4, 4, False)])
def test_a_beginning_is_shorter_and_the_same(assets: int, markets: int, expected: bool) -> None:
    definition = load_venue()
    assert is_beginning_of(definition, listing_of(definition, assets, markets)) == expected


def test_another_venue_is_no_beginning() -> None:
    definition = load_venue()
    other = replace(definition, assets=[Asset(1, "USD", 2)], markets=[])
    assert not is_beginning_of(definition, listing_of(other))


def test_the_same_has_no_differences() -> None:
    definition = load_venue()
    assert list(differences(definition, listing_of(definition))) == []


def test_each_difference_is_one_sentence() -> None:
    definition = load_venue()
    listing = listing_of(definition)
    listing.market_by_symbol["ETHKZT"].maker_fee_ppm = 7
    (btc, market), *rest = definition.markets
    changed = replace(
        definition,
        assets=[*definition.assets, Asset(5, "EUR", 2)],
        markets=[(btc, market._replace(notional_min=60_000)), *rest[:-1]],
    )
    assert list(differences(changed, listing)) == [
        "venue.toml has the asset EUR, the venue has not.",
        "venue.toml gives BTCKZT notional_min = 60000, the venue 50000.",
        "venue.toml gives ETHKZT maker_fee_ppm = 500, the venue 7.",
        "The venue has the market BTCUSDT, venue.toml has not.",
    ]
