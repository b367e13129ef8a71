"""What a venue trades: assets and markets, from venue.toml or learned from the events.

`load_venue` reads and checks a file and turns every decimal into an integer. `VenueDefinition.batches` are the commands
that define it in an empty journal. `Listing` is the other direction: what the events say has been defined, which is how
gateways, ledger and command line know scales and ticks; none of them reads venue.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from engine.definitions import ASSET_NAME, SYMBOL, market_faults, notional_unit
from engine.records import (
    AMOUNT_MAX,
    ASSET_DEFINITION,
    FEE_PPM_MAX,
    FEES,
    MARKET_DEFINITION,
    NOTIONAL_MIN_UNITS,
    PRICE_SCALE,
    SCALE_MAX,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventEntry,
    EventKind,
    MarketDefinition,
    MarketState,
    pack_parts,
)

OPEN_ORDERS_MAX_DEFAULT = 10_000

_DECIMAL = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)


class VenueError(ValueError):
    """venue.toml cannot be used; the text names the entry and what to change."""


class DecimalError(ValueError):
    """A decimal number cannot be read, or is finer than it may be."""


def parse_decimal(text: str, scale: int) -> int:
    """A plain decimal as an integer of `10 ** -scale`, exactly.

    >>> parse_decimal("0.015", 8)
    1500000

    Raises:
        DecimalError: not digits with at most one point between them, or more than `scale` decimals that matter.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise DecimalError(f"{text!r} is not a plain decimal number")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > scale:
        raise DecimalError(f"{text!r} has more than {scale} decimals")
    return int(whole + fraction.ljust(scale, "0"))


def format_decimal(amount: int, scale: int, decimals: int | None = None) -> str:
    """The inverse of `parse_decimal`, with exactly `decimals` decimals (default: `scale`, and never fewer than it).

    >>> format_decimal(1500000, 8)
    '0.01500000'
    >>> format_decimal(-5, 2, 8)
    '-0.05000000'
    """
    decimals = scale if decimals is None else decimals
    assert decimals >= scale
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount) * 10 ** (decimals - scale)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset as listed. Amounts of it are whole numbers of `10 ** -scale`."""

    number: int
    name: str
    scale: int

    def parse(self, text: str) -> int:
        """A decimal amount in smallest units. Raises DecimalError."""
        return parse_decimal(text, self.scale)

    def format(self, amount: int) -> str:
        """An amount in smallest units as a decimal with `scale` decimals."""
        return format_decimal(amount, self.scale)


@dataclass(slots=True)
class Market:
    """A market as listed. Fees and state follow the events, all else is fixed."""

    number: int
    symbol: str
    base: Asset
    quote: Asset
    definition: MarketDefinition
    maker_fee_ppm: int
    taker_fee_ppm: int
    state: MarketState = MarketState.TRADING

    @property
    def tick_value_units(self) -> int:
        """Value of one lot at one tick, in smallest units of the quote asset."""
        return notional_unit(self.definition, self.base.scale, self.quote.scale)


@dataclass(frozen=True, slots=True)
class VenueDefinition:
    """The content of a venue.toml, checked, in integers."""

    assets: list[Asset]
    markets: list[tuple[str, MarketDefinition]]

    def batches(self, operator: str) -> Iterator[BatchBuilder]:
        """The commands that define this venue in an empty journal, in batches that fit into one entry each."""
        builder = BatchBuilder()
        for command, definition, name in self._commands():
            parts = (definition, name.encode(), operator.encode(), b"venue definition")
            if not builder.has_room(len(pack_parts(*parts))):
                yield builder
                builder = BatchBuilder()
            builder.add(command, *parts)
        yield builder

    def _commands(self) -> Iterator[tuple[Command, bytes, str]]:
        for asset in self.assets:
            yield Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(asset.scale)), asset.name
        for symbol, market in self.markets:
            yield Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(market), symbol


def load_venue(path: Path | None = None) -> VenueDefinition:
    """Reads a venue.toml; None reads the default venue.

    Raises:
        VenueError: the file cannot be read, or an entry is missing, unknown or out of range.
    """
    try:
        text = (files("engine") / "default_venue.toml").read_text() if path is None else path.read_text()
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise VenueError(f"{path}: {error}") from None
    _refuse_unknown("the file", document, {"assets", "markets"})
    assets = [
        _asset(number, name, table) for number, (name, table) in enumerate(document.get("assets", {}).items(), start=1)
    ]
    by_name = {asset.name: asset for asset in assets}
    markets = [
        (symbol, market_definition(symbol, table, by_name)) for symbol, table in document.get("markets", {}).items()
    ]
    if not markets:
        raise VenueError("the file defines no market")
    return VenueDefinition(assets, markets)


def _asset(number: int, name: str, table: dict[str, Any]) -> Asset:
    where = f"assets.{name}"
    _refuse_unknown(where, table, {"scale"})
    scale = table.get("scale")
    if ASSET_NAME.fullmatch(name.encode()) is None:
        raise VenueError(f"{where}: a name has 1 to 10 characters A-Z 0-9")
    if type(scale) is not int or not 0 <= scale <= SCALE_MAX:
        raise VenueError(f"{where}: scale must be a whole number from 0 to {SCALE_MAX}")
    return Asset(number, name, scale)


def market_definition(symbol: str, table: Mapping[str, Any], assets: Mapping[str, Asset]) -> MarketDefinition:
    """The definition of a market from its table: base, quote, tick and lot, and limits, each as wide as the numbers allow
    where it is left out.

    Raises:
        VenueError: an entry is missing, unknown or out of range; the text names it.
    """
    where = f"markets.{symbol}"
    required = {"base", "quote", "tick", "lot"}
    limits = {f"{what}_{end}" for what in ("price", "quantity", "notional") for end in ("min", "max")}
    optional = limits | {"maker_fee_ppm", "taker_fee_ppm", "open_orders_max"}
    _refuse_unknown(where, table, required | optional)
    if missing := sorted(required - table.keys()):
        raise VenueError(f"{where}: {missing[0]} is missing")
    if SYMBOL.fullmatch(symbol.encode()) is None:
        raise VenueError(f"{where}: a symbol has 1 to 20 characters A-Z 0-9")
    for role in ("base", "quote"):
        if table[role] not in assets:
            raise VenueError(f"{where}: {role} names no asset of the file")
    base, quote = assets[table["base"]], assets[table["quote"]]
    if base is quote:
        raise VenueError(f"{where}: base and quote are the same asset")

    def decimal(name: str, scale: int, step: int = 1, default: int | None = None) -> int:
        if name not in table and default is not None:
            return default
        try:
            value = parse_decimal(str(table[name]), scale)
        except DecimalError as error:
            raise VenueError(f"{where}.{name}: {error}") from None
        if value <= 0 or value % step or value > AMOUNT_MAX:
            raise VenueError(
                f"{where}.{name}: must be positive, in steps of {format_decimal(step, scale)}, and below 2^62"
            )
        return value // step

    def whole(name: str, default: int, largest: int) -> int:
        value = table.get(name, default)
        if type(value) is not int or not 0 <= value <= largest:
            raise VenueError(f"{where}.{name}: must be a whole number from 0 to {largest}")
        return value

    tick_e8 = decimal("tick", PRICE_SCALE)
    lot_units = decimal("lot", base.scale)
    definition = MarketDefinition(
        base_asset=base.number,
        quote_asset=quote.number,
        tick_e8=tick_e8,
        lot_units=lot_units,
        price_min_ticks=decimal("price_min", PRICE_SCALE, tick_e8, 1),
        price_max_ticks=decimal("price_max", PRICE_SCALE, tick_e8, AMOUNT_MAX),
        quantity_min_lots=decimal("quantity_min", base.scale, lot_units, 1),
        quantity_max_lots=decimal("quantity_max", base.scale, lot_units, AMOUNT_MAX // lot_units),
        notional_min=decimal("notional_min", quote.scale, 1, NOTIONAL_MIN_UNITS),
        notional_max=decimal("notional_max", quote.scale, 1, AMOUNT_MAX),
        maker_fee_ppm=whole("maker_fee_ppm", 0, FEE_PPM_MAX),
        taker_fee_ppm=whole("taker_fee_ppm", 0, FEE_PPM_MAX),
        open_orders_max=whole("open_orders_max", OPEN_ORDERS_MAX_DEFAULT, 1_000_000),
    )
    if notional_unit(definition, base.scale, quote.scale) == 0:
        raise VenueError(f"{where}: tick × lot is not a whole number of the smallest unit of {quote.name}")
    if faults := market_faults(definition):
        raise VenueError(f"{where}: {faults[0]}")
    return definition


def _refuse_unknown(where: str, table: Any, known: set[str]) -> None:
    if not isinstance(table, dict):
        raise VenueError(f"{where}: must be a table")
    if unknown := sorted(table.keys() - known):
        raise VenueError(f"{where}: {unknown[0]} is not known; known are {', '.join(sorted(known))}")


@dataclass(slots=True)
class Listing:
    """Assets, markets and their states as the events tell them: a projection, kept current by `apply`."""

    assets: dict[int, Asset] = field(default_factory=dict)
    markets: dict[int, Market] = field(default_factory=dict)
    asset_by_name: dict[str, Asset] = field(default_factory=dict)
    market_by_symbol: dict[str, Market] = field(default_factory=dict)
    venue_state: MarketState = MarketState.TRADING

    def apply(self, entry: EventEntry, event: Event) -> bool:
        """Takes in one event; True where it changed something here."""
        if event.kind == EventKind.ASSET_ADDED:
            packed, name, *_ = entry.parts(event)
            asset = Asset(event.asset, name.decode(), ASSET_DEFINITION.unpack_from(packed).scale)
            self.assets[asset.number] = self.asset_by_name[asset.name] = asset
        elif event.kind == EventKind.MARKET_ADDED:
            packed, symbol, *_ = entry.parts(event)
            definition = MARKET_DEFINITION.unpack_from(packed)
            market = Market(
                event.market,
                symbol.decode(),
                self.assets[definition.base_asset],
                self.assets[definition.quote_asset],
                definition,
                definition.maker_fee_ppm,
                definition.taker_fee_ppm,
            )
            self.markets[market.number] = self.market_by_symbol[market.symbol] = market
        elif event.kind == EventKind.FEES_CHANGED and event.account == 0:
            market = self.markets[event.market]
            market.maker_fee_ppm, market.taker_fee_ppm = FEES.unpack_from(entry.parts(event)[0])
        elif event.kind == EventKind.MARKET_STATE_CHANGED:
            if event.market == 0:
                self.venue_state = MarketState(event.state)
            else:
                self.markets[event.market].state = MarketState(event.state)
        else:
            return False
        return True
