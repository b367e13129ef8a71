"""What an exchange is: plain data. The other modules are functions over an `Exchange`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sortedcontainers import SortedDict

from engine.definitions import RULES_VERSION
from engine.order_types import OrderFlag
from engine.records import (
    DEFAULT_LIMITS,
    DEFAULT_TIER,
    HOUSE_ACCOUNT,
    HOUSE_NAME,
    NO_COMMAND,
    AgendaKind,
    Event,
    MarketDefinition,
    MarketState,
    Side,
    TierLimits,
)


@dataclass(slots=True)
class Balance:
    """What an account has of one asset, in smallest units; neither part is ever negative."""

    available: int = 0
    held: int = 0


@dataclass(slots=True)
class Key:
    """What an API key may do, and how its signatures are checked."""

    key_type: int
    permissions: int
    expiry_us: int
    public_key: bytes
    networks: bytes
    """From where it may be used, as KEY_ADD gave it; empty: from everywhere."""


@dataclass(slots=True)
class Order:
    """An order, until it is filled or closed. An order by quote amount has no quantity: its `remaining_lots` stay 0."""

    id: int
    account: int
    market: Market
    side: int
    order_type: int
    time_in_force: int
    self_trade_mode: int
    flags: OrderFlag
    client_id: bytes
    price_ticks: int
    quantity_lots: int
    quote_amount: int
    remaining_lots: int
    created_us: int
    updated_us: int
    """When it was accepted or last filled."""
    working_us: int
    cumulative_lots: int = 0
    cumulative_quote: int = 0
    fee_credit: int = 0
    """What rounding up has overpaid so far in its fees, in millionths of the smallest unit: 0 to 999,999."""

    @property
    def limit_ticks(self) -> int | None:
        """The worst price at which it trades; None where it has no limit."""
        return self.price_ticks if self.flags & OrderFlag.HAS_LIMIT else None

    @property
    def paying_asset(self) -> int:
        """The asset that it pays with, and holds: the quote asset of a buy, the base asset of a sell."""
        definition = self.market.definition
        return definition.quote_asset if self.side == Side.BUY else definition.base_asset

    def hold(self, lots: int) -> int:
        """What is held for `lots` of this order: quote units for a buy, base units for a sell; nothing without a limit."""
        if not self.flags & OrderFlag.HAS_LIMIT:
            return 0
        if self.side == Side.BUY:
            return self.market.value(self.price_ticks, lots)
        return lots * self.market.definition.lot_units


@dataclass(slots=True)
class Account:
    """A client, or the house."""

    name: bytes
    frozen: bool = False
    tier: int = 0
    balances: dict[int, Balance] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    """Open orders by id."""
    order_by_client_id: dict[bytes, Order] = field(default_factory=dict)
    open_orders: dict[int, int] = field(default_factory=dict)
    """Number of open orders by market."""
    fees: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(maker, taker) fees of this account by market; 0 means all markets without an entry of their own."""
    keys: dict[bytes, Key] = field(default_factory=dict)

    def available(self, asset: int) -> int:
        """What it may spend of an asset."""
        balance = self.balances.get(asset)
        return 0 if balance is None else balance.available

    def balance(self, asset: int) -> Balance:
        """What it has of an asset, to be changed; nothing to begin with."""
        return self.balances.setdefault(asset, Balance())

    def orders_by_market(self) -> list[Order]:
        """The open orders in the order in which they are closed together: by market number, then by id."""
        return sorted(self.orders.values(), key=lambda order: (order.market.number, order.id))


Level = dict[int, Order]
"""The orders of one price by id; a dict keeps them in the order in which they came."""


class Market:
    """One market: its definition and its book. Best price first on both sides: bids are keyed by the negative price."""

    def __init__(self, number: int, symbol: bytes, definition: MarketDefinition, lot_value_units: int) -> None:
        self.number = number
        self.symbol = symbol
        self.definition = definition
        self.lot_value_units = lot_value_units
        """Value of one lot at one tick, in smallest units of the quote asset."""
        self.maker_fee_ppm = definition.maker_fee_ppm
        self.taker_fee_ppm = definition.taker_fee_ppm
        self.state = MarketState.TRADING
        self.last_trade_id = 0
        self.last_update_id = 0
        """One more with each change of a level of the book: the update id of the depth streams."""
        self.last_price_ticks = 0
        """The price of the last trade; 0 before the first."""
        self.bids: SortedDict[int, Level] = SortedDict()
        self.asks: SortedDict[int, Level] = SortedDict()

    def value(self, price_ticks: int, lots: int) -> int:
        """Price × quantity in smallest units of the quote asset."""
        return price_ticks * lots * self.lot_value_units

    def levels(self, side: int) -> SortedDict[int, Level]:
        """The prices of a side, best first."""
        return self.bids if side == Side.BUY else self.asks

    def opposite(self, side: int) -> SortedDict[int, Level]:
        """The prices that an order of `side` takes from, best first."""
        return self.asks if side == Side.BUY else self.bids

    def best(self, side: int) -> int | None:
        """Best price of a side in ticks; None where it is empty."""
        levels = self.levels(side)
        return abs(levels.peekitem(0)[0]) if levels else None

    def orders(self, side: int) -> Iterator[Order]:
        """The orders of a side in priority."""
        for level in self.levels(side).values():
            yield from level.values()

    def add(self, order: Order) -> None:
        """Puts an order at the end of the queue of its price."""
        key = -order.price_ticks if order.side == Side.BUY else order.price_ticks
        self.levels(order.side).setdefault(key, {})[order.id] = order

    def remove(self, order: Order) -> None:
        """Takes an order out of its queue."""
        key = -order.price_ticks if order.side == Side.BUY else order.price_ticks
        levels = self.levels(order.side)
        level = levels[key]
        del level[order.id]
        if not level:
            del levels[key]


@dataclass(slots=True)
class Asset:
    """What is traded."""

    name: bytes
    scale: int
    issued: int = 0
    """Deposits minus withdrawals: what all accounts together have."""


class AgendaItem(NamedTuple):
    """Work that one command, or one entry, could not finish."""

    kind: AgendaKind
    account: int
    market: int
    reason: int


@dataclass(slots=True)
class Entry:
    """The event entry in hand. What is emitted answers the command with this index and kind."""

    command_index: int = NO_COMMAND
    command: int = 0
    events: list[Event] = field(default_factory=list)
    blobs: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Exchange:
    """The whole state, and the entry in hand."""

    time_us: int = 0
    accepted_difference_us: int = 0
    """How far an operator has accepted that the store's clock is ahead of the machine's. Only clock guards look at it."""
    accepted_time_us: int = 0
    """The time when an operator accepted it last; 0: never."""
    accepted_store_us: int = 0
    """What the store's clock showed then."""
    rules_version: int = RULES_VERSION
    venue_state: int = MarketState.TRADING
    last_order_id: int = 0
    assets: dict[int, Asset] = field(default_factory=dict)
    asset_names: set[bytes] = field(default_factory=set)
    markets: dict[int, Market] = field(default_factory=dict)
    symbols: set[bytes] = field(default_factory=set)
    accounts: dict[int, Account] = field(default_factory=lambda: {HOUSE_ACCOUNT: Account(HOUSE_NAME)})
    account_names: set[bytes] = field(default_factory=lambda: {HOUSE_NAME})
    orders: dict[int, Order] = field(default_factory=dict)
    """All open orders by id."""
    key_owners: dict[bytes, int] = field(default_factory=dict)
    tiers: dict[bytes, TierLimits] = field(default_factory=lambda: {DEFAULT_TIER: DEFAULT_LIMITS})
    """By name, in the order of their numbers. What the limits mean is for gateways."""
    producers: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Producer -> (incarnation, number) of its last batch that was executed."""
    agenda: deque[AgendaItem] = field(default_factory=deque)
    entry: Entry = field(default_factory=Entry)
