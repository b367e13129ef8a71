"""The one walk through the makers, and what a fill does.

Price-time priority at the maker's price. `plan_fills` says which makers an order would trade with now, and how much with
each. Matching executes that plan, a FOK order asks whether the plan fills it whole, and the cost of a market buy and the
lots of a market sell are sums over it. So all of them follow the same rule of who trades with whom, and none of them counts
on more fills than an order may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from engine.records import FILLS_MAX, Side
from engine.reference.accounts import unlist_order
from engine.reference.events import emit_trade
from engine.reference.money import fee_rate_ppm, settle_side
from engine.reference.state import Exchange, Market, Order


class WalkEnd(Enum):
    """Why a walk through the makers ended."""

    SATISFIED = auto()
    """The order wants no more: its quantity is filled, or the remainder of its amount does not buy one lot."""
    NO_MAKER = auto()
    """No maker is left at a price that it accepts."""
    FILL_LIMIT = auto()
    """It has had as many fills as an order may have in one command, and would have more."""


class Plan(NamedTuple):
    """The fills that an order would have now."""

    fills: list[tuple[Order, int]]
    """Makers in the order in which they are taken, and the lots taken from each."""
    end: WalkEnd


def crosses(side: int, price_ticks: int, limit_ticks: int | None) -> bool:
    """Whether an order of `side` with that limit (None: no limit) takes at `price_ticks`."""
    if limit_ticks is None:
        return True
    return price_ticks <= limit_ticks if side == Side.BUY else price_ticks >= limit_ticks


def makers(market: Market, side: int, limit_ticks: int | None) -> Iterator[Order]:
    """The resting orders that an order of `side` may take, in the order in which it takes them."""
    for level in market.opposite(side).values():
        for maker in level.values():
            if not crosses(side, maker.price_ticks, limit_ticks):
                return
            yield maker


def plan_fills(market: Market, side: int, limit_ticks: int | None, *, lots: int = 0, quote_amount: int = 0) -> Plan:
    """The fills of an order for `lots`, or for as many lots as `quote_amount` buys or brings."""
    fills: list[tuple[Order, int]] = []
    by_quote = quote_amount > 0
    for maker in makers(market, side, limit_ticks):
        wanted = quote_amount // market.value(maker.price_ticks, 1) if by_quote else lots
        if wanted == 0:
            return Plan(fills, WalkEnd.SATISFIED)
        if len(fills) == FILLS_MAX:
            return Plan(fills, WalkEnd.FILL_LIMIT)
        filled = min(maker.remaining_lots, wanted)
        fills.append((maker, filled))
        lots -= 0 if by_quote else filled
        quote_amount -= market.value(maker.price_ticks, filled) if by_quote else 0
        if filled < maker.remaining_lots:
            # The maker is still first in line, and the remainder buys no lot of it.
            return Plan(fills, WalkEnd.SATISFIED)
    return Plan(fills, WalkEnd.NO_MAKER if lots or quote_amount else WalkEnd.SATISFIED)


def would_take(market: Market, side: int, limit_ticks: int) -> bool:
    """Whether an order with that limit would trade at once."""
    return next(makers(market, side, limit_ticks), None) is not None


def cost_of(market: Market, lots: int) -> int:
    """What buying up to `lots` without a limit costs now."""
    fills = plan_fills(market, Side.BUY, None, lots=lots).fills
    return sum(market.value(maker.price_ticks, filled) for maker, filled in fills)


def lots_sold_for(market: Market, quote_amount: int) -> int:
    """How many lots a sell without a limit for up to `quote_amount` needs now."""
    return sum(filled for _, filled in plan_fills(market, Side.SELL, None, quote_amount=quote_amount).fills)


def fills_whole(order: Order) -> bool:
    """Whether an order by quantity can be filled entirely at once."""
    plan = plan_fills(order.market, order.side, order.limit_ticks, lots=order.remaining_lots)
    return plan.end is WalkEnd.SATISFIED


def match_order(exchange: Exchange, taker: Order) -> WalkEnd:
    """Fills `taker` against the book as far as it goes."""
    plan = plan_fills(
        taker.market, taker.side, taker.limit_ticks, lots=taker.remaining_lots, quote_amount=taker.quote_amount
    )
    for maker, lots in plan.fills:
        fill(exchange, taker, maker, lots)
    return plan.end


def fill(exchange: Exchange, taker: Order, maker: Order, lots: int) -> None:
    """One fill at the maker's price: quantities, money, fees, event."""
    market, value = taker.market, taker.market.value(maker.price_ticks, lots)
    assert 0 < lots <= maker.remaining_lots and maker.side != taker.side, (taker, maker, lots)
    if not taker.quote_amount:
        taker.remaining_lots -= lots
    maker.remaining_lots -= lots
    for order in (taker, maker):
        order.cumulative_lots += lots
        order.cumulative_quote += value
        order.updated_us = exchange.time_us
    market.last_trade_id += 1
    market.last_update_id += 1
    market.last_price_ticks = maker.price_ticks
    rates_ppm = fee_rate_ppm(exchange, taker, is_maker=False), fee_rate_ppm(exchange, maker, is_maker=True)
    fees = (
        settle_side(exchange, taker, lots, value, rates_ppm[0]),
        settle_side(exchange, maker, lots, value, rates_ppm[1]),
    )
    emit_trade(exchange, taker, maker, lots, fees, rates_ppm)
    if maker.remaining_lots == 0:
        market.remove(maker)
        unlist_order(exchange, maker)
    assert taker.remaining_lots >= 0 and maker.remaining_lots >= 0, (taker, maker)
