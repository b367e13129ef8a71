"""What a replay will do: each row of a recording becomes an order, a cancel, or nothing, and is counted as such.

A fill of the recorded exchange becomes nothing, whether it was partial or not: our engine decides fills itself, from the
orders. An order that was filled there but not here, because its other side came before the recording began, stays in our
book: the recording never cancels it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from engine.listing import Market
from engine.records import Side
from jibek.replay.recording import Action, Row

VOLUME_SCALE = 8


class RowDisposition(Enum):
    """What a row becomes; the value is the text for people."""

    ORDER = "placed as orders"
    CANCEL = "sent as cancels"
    RECORDED_PART_FILL = "orders filled in part on the recorded exchange, not sent: the venue decides its own fills"
    RECORDED_FILL = "orders filled to the end on the recorded exchange, not sent"
    UNKNOWN_ORDER = "about orders that the recording had not created, not sent"
    DROPPED_ORDER = "about dropped orders, not sent"
    USED_ID = "orders dropped: an order of this id was created before"
    PRICE_OFF_TICK = "orders dropped: price off the tick"
    PRICE_OUTSIDE_LIMITS = "orders dropped: price outside the market's limits"
    ROUNDED_TO_NOTHING = "orders dropped: less than a lot"
    QUANTITY_OUTSIDE_LIMITS = "orders dropped: quantity outside the market's limits"
    NOTIONAL_TOO_SMALL = "orders dropped: below the market's minimum notional"
    NOTIONAL_TOO_LARGE = "orders dropped: above the market's maximum notional"


class PlaceOrder(NamedTuple):
    """A limit order, good till cancelled."""

    order_id: int
    """The recorded id; the venue gets it as the client's id."""
    account: int
    """Which of the replay's accounts sends it, from 0."""
    side: Side
    price_ticks: int
    quantity_lots: int


class CancelOrder(NamedTuple):
    """The owner cancels what remains of an order."""

    order_id: int
    account: int


ReplayCommand = PlaceOrder | CancelOrder


@dataclass
class Funds:
    """What an account needs so that no order of it can be refused for lack of funds, in smallest units."""

    base: int = 0
    quote: int = 0


@dataclass
class Plan:
    """The commands of a replay in file order, and what the rows became. Memory: about 400 bytes an order."""

    market: Market
    commands: list[ReplayCommand] = field(default_factory=list)
    dispositions: Counter[RowDisposition] = field(default_factory=Counter)
    """Their sum is the number of rows."""
    rounded: int = 0
    """Orders whose volume was not a whole number of lots and was rounded down."""
    funds: list[Funds] = field(default_factory=list)
    """By account."""
    first_ms: int = 0
    last_ms: int = 0

    @property
    def rows(self) -> int:
        return self.dispositions.total()

    @property
    def orders(self) -> int:
        return self.dispositions[RowDisposition.ORDER]

    @property
    def cancels(self) -> int:
        return self.dispositions[RowDisposition.CANCEL]

    @property
    def recorded_s(self) -> float:
        """How long the recording took."""
        return (self.last_ms - self.first_ms) / 1000


def make_plan(rows: Iterable[Row], market: Market, accounts: int) -> Plan:
    """Plans the replay of `rows` on a market with so many accounts, which take turns in placing orders."""
    planner = _Planner(market, accounts)
    for row in rows:
        planner.take(row)
    return planner.plan


class _Planner:
    def __init__(self, market: Market, accounts: int) -> None:
        assert accounts > 0
        self.plan = Plan(market, funds=[Funds() for _ in range(accounts)])
        self._account_of: dict[int, int | None] = {}
        """Order id -> the account that placed it; None if it was dropped."""

    def take(self, row: Row) -> None:
        plan = self.plan
        plan.first_ms = min(plan.first_ms or row.time_ms, row.time_ms)
        plan.last_ms = max(plan.last_ms, row.time_ms)
        disposition = self._create(row) if row.action == Action.CREATED else self._follow(row)
        plan.dispositions[disposition] += 1

    def _create(self, row: Row) -> RowDisposition:
        plan = self.plan
        if row.order_id in self._account_of:
            return RowDisposition.USED_ID
        lots, remainder_e8 = divmod(row.volume_e8, lot_e8(plan.market))
        ticks, off_tick = divmod(row.price_e8, plan.market.definition.tick_e8)
        disposition = RowDisposition.PRICE_OFF_TICK if off_tick else check_order(plan.market, ticks, lots)
        if disposition != RowDisposition.ORDER:
            self._account_of[row.order_id] = None
            return disposition
        account = plan.orders % len(plan.funds)
        self._account_of[row.order_id] = account
        plan.rounded += remainder_e8 > 0
        plan.commands.append(PlaceOrder(row.order_id, account, row.side, ticks, lots))
        if row.side == Side.BUY:
            plan.funds[account].quote += ticks * lots * plan.market.lot_value_units
        else:
            plan.funds[account].base += lots * plan.market.definition.lot_units
        return disposition

    def _follow(self, row: Row) -> RowDisposition:
        """A row about an order that should exist."""
        if row.order_id not in self._account_of:
            return RowDisposition.UNKNOWN_ORDER
        account = self._account_of[row.order_id]
        if account is None:
            return RowDisposition.DROPPED_ORDER
        if row.action == Action.CHANGED:
            return RowDisposition.RECORDED_PART_FILL
        if row.volume_e8 == 0:
            return RowDisposition.RECORDED_FILL
        self.plan.commands.append(CancelOrder(row.order_id, account))
        return RowDisposition.CANCEL


def lot_e8(market: Market) -> int:
    """A lot in 1e-8 of the base asset, the unit of recorded volumes."""
    return int(market.definition.lot_units * 10 ** (VOLUME_SCALE - market.base.scale))


def check_order(market: Market, price_ticks: int, quantity_lots: int) -> RowDisposition:
    """ORDER if the market's limits allow the order, else the first limit that it breaks."""
    limits = market.definition
    if not limits.price_min_ticks <= price_ticks <= limits.price_max_ticks:
        return RowDisposition.PRICE_OUTSIDE_LIMITS
    if quantity_lots == 0:
        return RowDisposition.ROUNDED_TO_NOTHING
    if not limits.quantity_min_lots <= quantity_lots <= limits.quantity_max_lots:
        return RowDisposition.QUANTITY_OUTSIDE_LIMITS
    notional = price_ticks * quantity_lots * market.lot_value_units
    if notional < limits.notional_min:
        return RowDisposition.NOTIONAL_TOO_SMALL
    return RowDisposition.NOTIONAL_TOO_LARGE if notional > limits.notional_max else RowDisposition.ORDER
