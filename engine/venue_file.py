"""venue.toml: the tiers of limits, assets and markets that an empty journal begins with.

`load_venue` reads and checks a file and turns every decimal into an integer. `VenueDefinition.batches` are the commands
that define it in an empty journal. What the events say has been defined is a `Listing` (`engine.listing`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.decimals import DecimalError, format_decimal, parse_decimal
from engine.definitions import ASSET_NAME, SYMBOL, TIER_NAME, limits_faults, lot_value_units, market_faults
from engine.listing import Asset
from engine.records import (
    ADDRESS_LIMITS,
    AMOUNT_MAX,
    ASSET_DEFINITION,
    DEFAULT_LIMITS,
    DEFAULT_TIER,
    FEE_PPM_MAX,
    LIMIT_MAX,
    LIMIT_NAMES,
    MARKET_DEFINITION,
    NOTIONAL_MIN_UNITS,
    PRICE_SCALE,
    SCALE_MAX,
    TIER_LIMITS,
    TIERS_MAX,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    MarketDefinition,
    TierLimits,
    pack_parts,
)

OPEN_ORDERS_MAX_DEFAULT = 10_000
OPEN_ORDERS_LARGEST = 1_000_000


class VenueError(ValueError):
    """venue.toml cannot be used; the text names the entry and what to change."""


@dataclass(frozen=True, slots=True)
class VenueDefinition:
    """The content of a venue.toml, checked, in integers."""

    assets: list[Asset]
    markets: list[tuple[str, MarketDefinition]]
    limits: list[tuple[str, TierLimits]]

    def batches(self, operator: str, system_user: str = "") -> Iterator[BatchBuilder]:
        """The commands that define this venue in an empty journal, in batches that fit into one entry each."""
        builder = BatchBuilder()
        for command, definition, name in self._commands():
            parts = (definition, name.encode(), operator.encode(), b"venue definition", system_user.encode())
            if not builder.has_room(len(pack_parts(*parts))):
                yield builder
                builder = BatchBuilder()
            builder.add(command, *parts)
        yield builder

    def _commands(self) -> Iterator[tuple[Command, bytes, str]]:
        # The limits come first: a venue that has all its markets is defined.
        for tier, limits in self.limits:
            yield Command(kind=CommandKind.LIMITS_SET), TIER_LIMITS.pack(limits), tier
        for asset in self.assets:
            yield Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(asset.scale)), asset.name
        for symbol, market in self.markets:
            yield Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(market), symbol


def load_venue(path: Path | None = None) -> VenueDefinition:
    """Reads a venue.toml; None reads the default venue.

    Raises:
        VenueError: the file cannot be read, or an entry is missing, unknown or out of range. The text names the path.
    """
    try:
        text = (files("engine") / "default_venue.toml").read_text() if path is None else path.read_text()
        return _venue(tomllib.loads(text))
    except FileNotFoundError:
        raise VenueError(f"There is no file {path}.") from None
    except OSError as error:
        raise VenueError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        # Also a path or a file that is no text, and a number of thousands of digits.
        raise VenueError(f"{path or 'the default venue'}: {error}") from None
    except RecursionError:
        raise VenueError(f"{path}: it is nested too deep") from None


def _venue(document: Mapping[str, Any]) -> VenueDefinition:
    """The venue that the tables of a file define."""
    _refuse_unknown("the top level", document, {"assets", "limits", "markets"})
    for name, table in document.items():
        if not isinstance(table, dict):
            raise VenueError(f"{name}: must be a table")
    assets = [
        _asset(number, name, table) for number, (name, table) in enumerate(document.get("assets", {}).items(), start=1)
    ]
    by_name = {asset.name: asset for asset in assets}
    markets = [
        (symbol, market_definition(symbol, table, by_name)) for symbol, table in document.get("markets", {}).items()
    ]
    if not markets:
        raise VenueError("the file defines no market")
    tiers = document.get("limits", {})
    if len(tiers.keys() | {DEFAULT_TIER.decode()}) > TIERS_MAX:
        raise VenueError(f"limits: there are more than {TIERS_MAX} tiers")
    return VenueDefinition(assets, markets, [(tier, tier_limits(tier, table)) for tier, table in tiers.items()])


def _asset(number: int, name: str, table: dict[str, Any]) -> Asset:
    where = f"assets.{name}"
    _refuse_unknown(where, table, {"scale"})
    scale = table.get("scale")
    if ASSET_NAME.fullmatch(name.encode()) is None:
        raise VenueError(f"{where}: a name has 1 to 10 characters A-Z 0-9")
    if type(scale) is not int or not 0 <= scale <= SCALE_MAX:
        raise VenueError(f"{where}: scale must be a whole number from 0 to {SCALE_MAX}")
    return Asset(number, name, scale)


def tier_limits(tier: str, table: Mapping[str, Any]) -> TierLimits:
    """The limits of a tier from its table. What is missing is as in `DEFAULT_LIMITS` for `default`, and for every other tier
    as in `default`.

    Raises:
        VenueError: an entry is unknown or out of range; the text names it.
    """
    where = f"limits.{tier}"
    is_default = tier == DEFAULT_TIER.decode()
    # What only `default` can set is known, too, but no name to choose.
    choices = set(LIMIT_NAMES) if is_default else set(LIMIT_NAMES) - set(ADDRESS_LIMITS)
    _refuse_unknown(where, table, set(LIMIT_NAMES), choices)
    if TIER_NAME.fullmatch(tier.encode()) is None:
        raise VenueError(f"{where}: a name has 1 to 20 characters a-z 0-9 _")
    for name, value in table.items():
        if type(value) is not int or not 0 < value <= LIMIT_MAX:
            raise VenueError(f"{where}.{name}: must be a whole number from 1 to {LIMIT_MAX}")
    base = DEFAULT_LIMITS if is_default else TierLimits()
    limits = base._replace(**table)
    if faults := limits_faults(tier.encode(), limits):
        raise VenueError(f"{where}.{faults[0]}")
    return limits


MARKET_MANDATORY = {"base", "quote", "tick", "lot"}
MARKET_LIMITS = {f"{what}_{end}" for what in ("price", "quantity", "notional") for end in ("min", "max")}
MARKET_NUMBERS = {"maker_fee_ppm": FEE_PPM_MAX, "taker_fee_ppm": FEE_PPM_MAX, "open_orders_max": OPEN_ORDERS_LARGEST}
"""Whole numbers of a market's table, and the largest that each may be."""


def market_definition(symbol: str, table: Mapping[str, Any], assets: Mapping[str, Asset]) -> MarketDefinition:
    """The definition of a market from its table: base, quote, tick and lot, and limits. A limit that is missing is as wide
    as the numbers allow.

    Raises:
        VenueError: an entry is missing, unknown or out of range; the text names it.
    """
    where = f"markets.{symbol}"
    _refuse_unknown(where, table, MARKET_MANDATORY | MARKET_LIMITS | MARKET_NUMBERS.keys())
    if missing := sorted(MARKET_MANDATORY - table.keys()):
        raise VenueError(f"{where}: {missing[0]} is missing")
    if SYMBOL.fullmatch(symbol.encode()) is None:
        raise VenueError(f"{where}: a symbol has 1 to 20 characters A-Z 0-9")
    base, quote = _pair(where, table, assets)
    tick_e8 = _steps(where, table, "tick", PRICE_SCALE)
    lot_units = _steps(where, table, "lot", base.scale)
    # Entry, decimals of its number, its step, and what it is if it is missing.
    limits = (
        ("price_min", PRICE_SCALE, tick_e8, 1),
        ("price_max", PRICE_SCALE, tick_e8, AMOUNT_MAX),
        ("quantity_min", base.scale, lot_units, 1),
        ("quantity_max", base.scale, lot_units, AMOUNT_MAX // lot_units),
        ("notional_min", quote.scale, 1, NOTIONAL_MIN_UNITS),
        ("notional_max", quote.scale, 1, AMOUNT_MAX),
    )
    price_min, price_max, quantity_min, quantity_max, notional_min, notional_max = (
        _steps(where, table, name, scale, step) if name in table else default for name, scale, step, default in limits
    )
    definition = MarketDefinition(
        base_asset=base.number,
        quote_asset=quote.number,
        tick_e8=tick_e8,
        lot_units=lot_units,
        price_min_ticks=price_min,
        price_max_ticks=price_max,
        quantity_min_lots=quantity_min,
        quantity_max_lots=quantity_max,
        notional_min=notional_min,
        notional_max=notional_max,
        maker_fee_ppm=_whole(where, table, "maker_fee_ppm", 0),
        taker_fee_ppm=_whole(where, table, "taker_fee_ppm", 0),
        open_orders_max=_whole(where, table, "open_orders_max", OPEN_ORDERS_MAX_DEFAULT),
    )
    if lot_value_units(definition, base.scale, quote.scale) == 0:
        raise VenueError(f"{where}: tick × lot is not a whole number of the smallest unit of {quote.name}")
    if faults := market_faults(definition):
        raise VenueError(f"{where}: {faults[0]}")
    return definition


def _pair(where: str, table: Mapping[str, Any], assets: Mapping[str, Asset]) -> tuple[Asset, Asset]:
    """Base and quote."""
    for role in ("base", "quote"):
        if not isinstance(table[role], str) or table[role] not in assets:
            raise VenueError(f"{where}: {role} is not an asset of the file")
    base, quote = assets[table["base"]], assets[table["quote"]]
    if base is quote:
        raise VenueError(f"{where}: base and quote are the same asset")
    return base, quote


def _steps(where: str, table: Mapping[str, Any], name: str, scale: int, step: int = 1) -> int:
    """A positive decimal of `scale` decimals as a whole number of steps."""
    try:
        value = parse_decimal(str(table[name]), scale)
    except DecimalError as error:
        raise VenueError(f"{where}.{name}: {error}") from None
    if value <= 0 or value % step or value > AMOUNT_MAX:
        step_text = format_decimal(step, scale)
        raise VenueError(f"{where}.{name}: must be positive, in steps of {step_text}, and below 2^62")
    return value // step


def _whole(where: str, table: Mapping[str, Any], name: str, default: int) -> int:
    value, largest = table.get(name, default), MARKET_NUMBERS[name]
    if type(value) is not int or not 0 <= value <= largest:
        raise VenueError(f"{where}.{name}: must be a whole number from 0 to {largest}")
    return value


def _refuse_unknown(where: str, table: Any, known: set[str], choices: set[str] | None = None) -> None:
    if not isinstance(table, dict):
        raise VenueError(f"{where}: must be a table")
    if unknown := sorted(table.keys() - known):
        raise VenueError(
            f"{where}: {unknown[0]} is not known; the known names are {', '.join(sorted(choices or known))}"
        )
