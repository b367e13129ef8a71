"""What a venue trades and how much each tier may ask for, learned from the events: how gateways, ledger and command line know scales and ticks.

None of them reads venue.toml (`engine.venue_file`), which only says what an empty journal begins with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.decimals import format_decimal, parse_decimal
from engine.definitions import lot_value_units
from engine.records import (
    ASSET_DEFINITION,
    DEFAULT_LIMITS,
    DEFAULT_TIER,
    FEES,
    MARKET_DEFINITION,
    TIER_LIMITS,
    Event,
    EventEntry,
    EventKind,
    MarketDefinition,
    MarketState,
    OrderEvent,
    TierLimits,
)


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
    def lot_value_units(self) -> int:
        """Value of one lot at one tick, in smallest units of the quote asset."""
        return lot_value_units(self.definition, self.base.scale, self.quote.scale)


@dataclass(slots=True)
class Listing:
    """Assets, markets and their states, and tiers, learned from the events: a projection that `apply` keeps current."""

    assets: dict[int, Asset] = field(default_factory=dict)
    markets: dict[int, Market] = field(default_factory=dict)
    asset_by_name: dict[str, Asset] = field(default_factory=dict)
    market_by_symbol: dict[str, Market] = field(default_factory=dict)
    venue_state: MarketState = MarketState.TRADING
    tiers: dict[str, TierLimits] = field(default_factory=lambda: {DEFAULT_TIER.decode(): DEFAULT_LIMITS})
    """As they were set, in the order of their numbers: see `effective_limits`."""

    def effective_limits(self, tier: str) -> TierLimits:
        """The limits of a tier, with the numbers of `default` where it has none of its own."""
        default = self.tiers[DEFAULT_TIER.decode()]
        return TierLimits(*(own or other for own, other in zip(self.tiers[tier], default, strict=True)))

    def apply(self, entry: EventEntry, event: Event) -> bool:
        """Applies one event; True if it changed something here."""
        if not isinstance(event, OrderEvent):
            return False
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
        elif event.kind == EventKind.LIMITS_CHANGED:
            packed, tier, *_ = entry.parts(event)
            self.tiers[tier.decode()] = TIER_LIMITS.unpack_from(packed)
        else:
            return False
        return True
