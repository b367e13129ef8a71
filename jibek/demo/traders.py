"""The traders of the demo: market makers that quote around a price that walks, and takers that trade with them.

They know the venue only by its WebSocket API. Makers log a session on with an ed25519 key, takers sign each request with
an hmac key.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

from websockets.exceptions import WebSocketException

from jibek.client.trading import RequestRefused, TradingClient

LEVELS = 8
"""Orders that a maker keeps on each side."""
TAKER_SHARE = 4
"""A taker's order is this part of a maker's, so that the book never runs empty."""
WALK_INTERVAL_S = 0.1
PAUSE_S_MAX = 0.004
"""The longest pause of a trader between two orders."""
ROUND_TRIPS_KEPT = 1000

EXPECTED_CODES = {-2010, -2011}
"""Expected refusals: a quote would have matched at once, or an order to be cancelled had just been filled."""


@dataclass
class DemoStatistics:
    """What all traders of a market did together."""

    orders: int = 0
    cancels: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    round_trips_s: deque[float] = field(default_factory=lambda: deque(maxlen=ROUND_TRIPS_KEPT))
    errors: list[str] = field(default_factory=list)
    """What ended a trader before the demo was over."""


@dataclass
class DemoMarket:
    """One market as its traders see it: a fair price that walks, and the size of orders."""

    symbol: str
    price: Decimal
    """The fair price, as it is now."""
    step: Decimal
    """Distance between two price levels of a maker."""
    quantity: Decimal
    """A typical order."""
    tick: Decimal = Decimal(1)
    lot: Decimal = Decimal(1)
    statistics: DemoStatistics = field(default_factory=DemoStatistics)

    async def walk(self, randomness: random.Random) -> None:
        """Moves the fair price ten times a second, until it is cancelled."""
        while True:
            self.price = max(self.step * 100, self.price + self.step * randomness.choice((-1, 0, 0, 1)))
            await asyncio.sleep(WALK_INTERVAL_S)

    def price_at(self, steps: float) -> str:
        """The price so many steps from the fair price, rounded to a tick."""
        return rounded(self.price + self.step * Decimal(str(steps)), self.tick)

    def random_quantity(self, randomness: random.Random, share: int = 1) -> str:
        """A quantity between 0.2 and 2 times the typical one, divided by `share`."""
        return rounded(self.quantity * Decimal(randomness.randint(20, 200)) / 100 / share, self.lot)


def rounded(value: Decimal, unit: Decimal) -> str:
    """The multiple of `unit` nearest to `value`, as plain digits.

    >>> rounded(Decimal("45000400"), Decimal("1000.00000000"))
    '45000000'
    >>> rounded(Decimal("0.0012345"), Decimal("0.00001000"))
    '0.00123'
    """
    unit = unit.normalize()
    return f"{(value / unit).to_integral_value(ROUND_HALF_EVEN) * unit:f}"


class Trader:
    """One connection that sends an order, waits for the reply, and pauses a moment."""

    signs_each_request = False
    """Whether it has an hmac key and signs each request; else it logs a session on with an ed25519 key."""

    def __init__(self, market: DemoMarket, client: TradingClient, seed: str) -> None:
        self.market = market
        self.client = client
        self.randomness = random.Random(seed)

    async def run(self) -> None:
        """Trades until it is cancelled. An unexpected error ends this trader and goes into the statistics."""
        try:
            async with self.client:
                while True:
                    await self.turn()
                    await asyncio.sleep(self.randomness.uniform(0, PAUSE_S_MAX))
        except (OSError, TimeoutError, WebSocketException, RequestRefused) as error:
            self.market.statistics.errors.append(f"{self.market.symbol}: {error}")

    async def turn(self) -> None:
        raise NotImplementedError

    async def place(self, **params: str) -> int | None:
        """Places an order and returns its id; None if it was refused with an expected code."""
        statistics = self.market.statistics
        began_s = time.perf_counter()
        try:
            placed = await self.client.call("order.place", symbol=self.market.symbol, newOrderRespType="ACK", **params)
        except RequestRefused as refused:
            self._accept(refused)
            return None
        finally:
            statistics.orders += 1
            statistics.round_trips_s.append(time.perf_counter() - began_s)
        return int(placed["orderId"])

    async def cancel(self, order_id: int) -> None:
        self.market.statistics.cancels += 1
        try:
            await self.client.call("order.cancel", symbol=self.market.symbol, orderId=str(order_id))
        except RequestRefused as refused:
            self._accept(refused)

    def _accept(self, refused: RequestRefused) -> None:
        if refused.code not in EXPECTED_CODES:
            raise refused
        self.market.statistics.refusals[refused.message] += 1


class Maker(Trader):
    """Quotes both sides in turn, and cancels its oldest quotes."""

    def __init__(self, market: DemoMarket, client: TradingClient, seed: str) -> None:
        super().__init__(market, client, seed)
        self.open_orders: dict[str, deque[int]] = {"BUY": deque(), "SELL": deque()}

    async def turn(self) -> None:
        for side, direction in (("BUY", -1), ("SELL", 1)):
            distance = 0.5 + self.randomness.randrange(LEVELS)
            order_id = await self.place(
                side=side,
                type="LIMIT_MAKER",
                price=self.market.price_at(direction * distance),
                quantity=self.market.random_quantity(self.randomness),
            )
            mine = self.open_orders[side]
            if order_id is not None:
                mine.append(order_id)
            if len(mine) > LEVELS:
                await self.cancel(mine.popleft())


class Taker(Trader):
    """Takes from the book with every order type that can: MARKET by quantity and by amount, IOC, FOK."""

    signs_each_request = True

    async def turn(self) -> None:
        side = self.randomness.choice(("BUY", "SELL"))
        quantity = self.market.random_quantity(self.randomness, share=TAKER_SHARE)
        kind = self.randomness.choice(("by quantity", "by amount", "IOC", "FOK"))
        if kind == "by quantity":
            await self.place(side=side, type="MARKET", quantity=quantity)
        elif kind == "by amount":
            amount = rounded(self.market.price * Decimal(quantity), Decimal("0.01"))
            await self.place(side=side, type="MARKET", quoteOrderQty=amount)
        else:
            price = self.market.price_at(2 if side == "BUY" else -2)
            await self.place(side=side, type="LIMIT", timeInForce=kind, price=price, quantity=quantity)
