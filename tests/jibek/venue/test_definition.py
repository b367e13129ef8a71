"""venue.toml against a venue: what is a beginning of it, and what differs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.journal import JOURNAL_KEY, VENUE_PRODUCER, Producer, Store, prepare_store, start_venue
from engine.listing import Asset, Listing, Market
from engine.process.watermarks import begin_watermarks
from engine.records import DEFAULT_LIMITS, MarketState, TierLimits
from engine.venue_file import VenueDefinition, load_venue
from jibek.venue.definition import CHANGES_NOTHING, define_venue, differences, is_beginning_of
from jibek.venue.directory import read_directory
from tests.worlds.store import StoreProcess


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
    assert differences(definition, listing_of(definition)) == []


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
    assert differences(changed, listing) == [
        CHANGES_NOTHING,
        "venue.toml has the asset EUR, the venue has not.",
        "venue.toml gives BTCKZT notional_min = 60000, the venue 50000.",
        "venue.toml gives ETHKZT maker_fee_ppm = 500, the venue 7.",
        "The venue has the market BTCUSDT, venue.toml has not.",
    ]


def test_each_difference_of_a_tier_is_one_sentence() -> None:
    definition = load_venue()
    listing = listing_of(definition)
    listing.tiers |= {
        "default": DEFAULT_LIMITS._replace(subscriptions_max=7),
        "load_test": TierLimits(),
        "old": TierLimits(),
    }
    listing.tiers["maker"] = TierLimits(orders_per_10_s=500)
    limits = [("default", DEFAULT_LIMITS), ("maker", TierLimits(orders_per_day=9)), ("new", TierLimits())]
    hint = "venue.toml is read only for a new venue: use `jibek limits set"
    assert differences(replace(definition, limits=limits), listing) == [
        CHANGES_NOTHING,
        f"venue.toml has default.subscriptions_max = 10, but this venue runs with 7. {hint} default --subscriptions-max 10`.",
        f"venue.toml has no maker.orders_per_10_s, but this venue runs with 500. {hint} maker --orders-per-10-s 0`.",
        f"venue.toml has maker.orders_per_day = 9, but this venue runs with 160000 (from default). {hint} maker --orders-per-day 9`.",
        "venue.toml has the tier new, the venue has not.",
        "The venue has the tier old, venue.toml has not.",
    ]


# -- on a venue


@pytest.fixture
def store() -> Iterator[StoreProcess]:
    store = StoreProcess()
    yield store
    store.remove()


@pytest.fixture
def client(store: StoreProcess, tmp_path: Path) -> Iterator[Store]:
    """A connection to the store of a venue that has an engine and no definition yet."""
    client = store.client()
    prepare_store(client)
    begin_watermarks(tmp_path)
    start_venue(client)
    command = [sys.executable, "-m", "engine.service", "--engine", "reference", "--store", store.url]
    engine = subprocess.Popen([*command, "--data", str(tmp_path)], stdout=subprocess.DEVNULL)
    yield client
    engine.kill()
    engine.wait()
    client.close()


def large_definition() -> VenueDefinition:
    """More than one entry of the journal holds."""
    definition = load_venue()
    more = [Asset(number, f"A{number}", 2) for number in range(len(definition.assets) + 1, 300)]
    return replace(definition, assets=definition.assets + more)


def test_a_start_that_died_on_the_way_is_gone_on_with(client: Store, tmp_path: Path) -> None:
    definition = large_definition()
    first, *rest = definition.batches("test")
    assert rest
    Producer(client, VENUE_PRODUCER).execute(first)
    assert is_beginning_of(definition, read_directory(client, tmp_path).listing)
    for _ in range(2):
        define_venue(client, tmp_path, definition)
        listing = read_directory(client, tmp_path).listing
        assert (list(listing.assets.values()), len(listing.markets)) == (definition.assets, 4)
        assert list(differences(definition, listing)) == []


def test_a_venue_that_is_defined_is_left_alone(client: Store, tmp_path: Path) -> None:
    define_venue(client, tmp_path, load_venue())
    entries = client.xlen(JOURNAL_KEY)
    define_venue(client, tmp_path, load_venue())
    assert client.xlen(JOURNAL_KEY) == entries
