"""venue.toml and the journal: the file defines an empty venue once; after that the journal is the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.journal import VENUE_PRODUCER, Producer, Store
from engine.listing import Listing
from engine.records import DEFAULT_TIER, LIMIT_NAMES, EventKind
from engine.venue_file import VenueDefinition
from jibek.console.changes import reason_text
from jibek.console.operator import operator_name, system_user
from jibek.console.printable import excerpt
from jibek.venue.directory import read_directory
from jibek.venue.tiers import LOAD_TIER

CHANGES_NOTHING = "This venue exists, so --venue changes nothing; it differs in:"


class DefinitionRefused(Exception):
    """The engine refused a part of a venue.toml that passed its own checks; the text says why."""


def define_venue(client: Store, data: Path, definition: VenueDefinition) -> None:
    """Defines the venue if it is empty.

    A start that died half way has left the first parts of the definition. Opening the producer shuts out any batch of
    that start that has not reached the journal; this waits for those that have, and sends the remaining parts.

    Raises:
        DefinitionRefused: the engine refuses a part.
        StoreTimeout: the engine does not answer.
    """
    directory = read_directory(client, data)
    if directory.accounts or not is_beginning_of(definition, directory.listing):
        return
    producer = Producer(client, VENUE_PRODUCER)
    producer.wait_for(producer.last_id)
    listing = read_directory(client, data).listing
    if not is_beginning_of(definition, listing):
        return
    remainder = replace(
        definition,
        assets=definition.assets[len(listing.assets) :],
        markets=definition.markets[len(listing.markets) :],
        limits=[(tier, limits) for tier, limits in definition.limits if listing.tiers.get(tier) != limits],
    )
    for batch in remainder.batches(excerpt(operator_name(), 120), system_user()):
        _, answer = producer.execute(batch)
        for event in answer:
            if event.kind == EventKind.REJECTED:
                raise DefinitionRefused(f"The venue's definition is refused: {reason_text(event.reason)}")


def is_beginning_of(definition: VenueDefinition, listing: Listing) -> bool:
    """Whether the listing holds the first parts of the definition and nothing else."""
    assets = list(listing.assets.values())
    markets = [(market.symbol, market.definition) for market in listing.markets.values()]
    return (
        assets == definition.assets[: len(assets)]
        and markets == definition.markets[: len(markets)]
        and len(assets) + len(markets) < len(definition.assets) + len(definition.markets)
    )


def differences(definition: VenueDefinition, listing: Listing) -> list[str]:
    """One sentence for each difference between the file and the venue, and one in front. The venue is right.

    It compares names, not numbers: the file numbers by its own order.
    """
    found = list(_differences(definition, listing))
    return [CHANGES_NOTHING, *found] if found else []


def _differences(definition: VenueDefinition, listing: Listing) -> Iterator[str]:
    for asset in definition.assets:
        listed = listing.asset_by_name.get(asset.name)
        if listed is None:
            yield f"venue.toml has the asset {asset.name}, the venue has not."
        elif listed.scale != asset.scale:
            yield f"venue.toml gives {asset.name} a scale of {asset.scale}, the venue {listed.scale}."
    yield from _limits_differences(definition, listing)
    names = {asset.number: asset.name for asset in definition.assets}
    for symbol, market in definition.markets:
        found = listing.market_by_symbol.get(symbol)
        if found is None:
            yield f"venue.toml has the market {symbol}, the venue has not."
            continue
        file_values = market._asdict() | {
            "base_asset": names[market.base_asset],
            "quote_asset": names[market.quote_asset],
        }
        venue_values = found.definition._asdict() | {
            "base_asset": found.base.name,
            "quote_asset": found.quote.name,
            "maker_fee_ppm": found.maker_fee_ppm,
            "taker_fee_ppm": found.taker_fee_ppm,
        }
        for name, value in file_values.items():
            if value != venue_values[name]:
                yield f"venue.toml gives {symbol} {name} = {value}, the venue {venue_values[name]}."
    for name in listing.asset_by_name.keys() - set(names.values()):
        yield f"The venue has the asset {name}, venue.toml has not."
    for symbol in listing.market_by_symbol.keys() - {symbol for symbol, _ in definition.markets}:
        yield f"The venue has the market {symbol}, venue.toml has not."


def _limits_differences(definition: VenueDefinition, listing: Listing) -> Iterator[str]:
    for tier, limits in definition.limits:
        found = listing.tiers.get(tier)
        if found is None:
            yield f"venue.toml has the tier {tier}, the venue has not."
            continue
        effective = listing.effective_limits(tier)
        for name in LIMIT_NAMES:
            value, listed = getattr(limits, name), getattr(found, name)
            if value != listed:
                says = f"has {tier}.{name} = {value}" if value else f"has no {tier}.{name}"
                runs_with = f"{getattr(effective, name)}{'' if listed else ' (from default)'}"
                change = f"jibek limits set {tier} --{name.replace('_', '-')} {value}"
                yield f"venue.toml {says}, but this venue runs with {runs_with}. venue.toml is read only for a new venue: use `{change}`."
    of_file = {tier for tier, _ in definition.limits}
    for tier in listing.tiers:
        if tier not in of_file | {DEFAULT_TIER.decode(), LOAD_TIER}:
            yield f"The venue has the tier {tier}, venue.toml has not."
