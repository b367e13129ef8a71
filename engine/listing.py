"""What a venue trades and how much each tier may ask for, learned from the events: how gateways, ledger and command line know scales and ticks.

None of them reads venue.toml (`engine.venue_file`), which only says what an empty journal begins with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.decimals import format_decimal, parse_decimal
from engine.definitions import lot_value_units
from engine.producers import ENGINE_PRODUCER
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


class VenueHalt(NamedTuple):
    """Who has halted the whole venue, and why."""

    producer: int
    """Who has sent the command: the command line, or the engine's own service."""
    operator: str
    why: str
    time_us: int
    """The venue's time then."""
    is_accepted: bool = False
    """Whether an operator has accepted the clocks since."""

    @property
    def is_by_guard(self) -> bool:
        """Whether it is that of the engine's own service, in which only the clock guard halts."""
        return self.producer == ENGINE_PRODUCER


@dataclass(slots=True)
class Listing:
    """Assets, markets and their states, tiers, and what was accepted of the clocks, learned from the events: a projection that
    `apply` keeps current."""

    assets: dict[int, Asset] = field(default_factory=dict)
    markets: dict[int, Market] = field(default_factory=dict)
    asset_by_name: dict[str, Asset] = field(default_factory=dict)
    market_by_symbol: dict[str, Market] = field(default_factory=dict)
    venue_state: MarketState = MarketState.TRADING
    guard_halt: VenueHalt | None = None
    """The last halt of the whole venue by the engine's own service, in which only the clock guard halts; None while it trades."""
    operator_halt: VenueHalt | None = None
    """The last one by an operator. Neither takes the other away: both must end."""
    accepted_difference_us: int = 0
    """How far an operator has accepted that the store's clock is ahead of the machine's; negative: behind."""
    accepted_time_us: int = 0
    """The venue's time when an operator accepted it last; 0: never."""
    accepted_store_us: int = 0
    """What the store's clock showed then."""
    tiers: dict[str, TierLimits] = field(default_factory=lambda: {DEFAULT_TIER.decode(): DEFAULT_LIMITS})
    """As they were set, in the order of their numbers: see `effective_limits`."""

    @property
    def signed_from_us(self) -> int:
        """Signed requests with an earlier time are refused: it is what the machine's clock showed when an operator accepted the
        clocks last, and what was signed before may have been taken under a clock that stood ahead."""
        return max(0, self.accepted_store_us - self.accepted_difference_us)

    @property
    def venue_halt(self) -> VenueHalt | None:
        """The halt of the whole venue that must end first: the clock guard's, unless it was accepted, or else an operator's; None
        while it trades."""
        if self.guard_halt is None or (self.guard_halt.is_accepted and self.operator_halt is not None):
            return self.operator_halt
        return self.guard_halt

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
                self._set_venue_state(entry, event)
            else:
                self.markets[event.market].state = MarketState(event.state)
        elif event.kind == EventKind.TIME_ACCEPTED:
            self.accepted_difference_us, self.accepted_time_us = event.amount, entry.header.time_us
            self.accepted_store_us = event.expiry_us
            if self.guard_halt is not None:
                self.guard_halt = self.guard_halt._replace(is_accepted=True)
        elif event.kind == EventKind.LIMITS_CHANGED:
            packed, tier, *_ = entry.parts(event)
            self.tiers[tier.decode()] = TIER_LIMITS.unpack_from(packed)
        else:
            return False
        return True

    def _set_venue_state(self, entry: EventEntry, event: OrderEvent) -> None:
        self.venue_state = MarketState(event.state)
        if self.venue_state != MarketState.HALTED:
            self.guard_halt = self.operator_halt = None
            return
        operator, why, *_ = (part.decode(errors="replace") for part in entry.parts(event))
        halt = VenueHalt(entry.header.producer, operator, why, entry.header.time_us)
        if halt.is_by_guard:
            self.guard_halt = halt
        else:
            self.operator_halt = halt
