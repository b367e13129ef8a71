"""The traders of the demo: market makers who keep quotes around a price that walks, and takers who trade with them.

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
"""A taker's order is this part of a maker's, so that there is always something to take."""
WALK_INTERVAL_S = 0.1
PAUSE_S_MAX = 0.004
"""A trader thinks for so long at most between two orders."""
ROUND_TRIPS_KEPT = 1000

EXPECTED_CODES = {-2010, -2011}
"""Part of the game: a quote would have matched at once, or an order to be cancelled was filled just before."""


@dataclass
class Statistics:
    """What all traders of a market did together."""

    orders: int = 0
    cancels: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    round_trips_s: deque[float] = field(default_factory=lambda: deque(maxlen=ROUND_TRIPS_KEPT))
    errors: list[str] = field(default_factory=list)
    """What ended a trader before its time."""


@dataclass
class Game:
    """One market as its traders see it: a fair price that walks, and the size of things."""

    symbol: str
    price: Decimal
    """Where the fair price begins."""
    step: Decimal
    """Distance between two price levels of a maker."""
    quantity: Decimal
    """A typical order."""
    tick: Decimal = Decimal(1)
    lot: Decimal = Decimal(1)
    statistics: Statistics = field(default_factory=Statistics)

    async def walk(self, randomness: random.Random) -> None:
        """Moves the fair price now and then, until it is cancelled."""
        while True:
            self.price = max(self.step * 100, self.price + self.step * randomness.choice((-1, 0, 0, 1)))
            await asyncio.sleep(WALK_INTERVAL_S)

    def price_at(self, steps: float) -> str:
        """The price so many steps from the fair price, on a tick."""
        return rounded(self.price + self.step * Decimal(str(steps)), self.tick)

    def random_quantity(self, randomness: random.Random, share: int = 1) -> str:
        """Around a typical quantity, or a whole part of it."""
        return rounded(self.quantity * Decimal(randomness.randint(20, 200)) / 100 / share, self.lot)


def rounded(value: Decimal, unit: Decimal) -> str:
    """The multiple of `unit` next to `value`, as plain digits.

    >>> rounded(Decimal("45000400"), Decimal("1000.00000000"))
    '45000000'
    >>> rounded(Decimal("0.0012345"), Decimal("0.00001000"))
    '0.00123'
    """
    unit = unit.normalize()
    return f"{(value / unit).to_integral_value(ROUND_HALF_EVEN) * unit:f}"


class Trader:
    """One connection that sends an order, waits for the answer, and thinks a moment."""

    def __init__(self, game: Game, client: TradingClient, seed: str) -> None:
        self.game = game
        self.client = client
        self.randomness = random.Random(seed)

    async def run(self) -> None:
        """Trades until it is cancelled. An error that is not part of the game ends this trader and is noted."""
        try:
            async with self.client:
                while True:
                    await self.turn()
                    await asyncio.sleep(self.randomness.uniform(0, PAUSE_S_MAX))
        except (OSError, TimeoutError, WebSocketException, RequestRefused) as error:
            self.game.statistics.errors.append(f"{self.game.symbol}: {error}")

    async def turn(self) -> None:
        raise NotImplementedError

    async def place(self, **params: str) -> int | None:
        """Places an order and returns its id; None where it was refused as may happen in the game."""
        statistics = self.game.statistics
        began_s = time.perf_counter()
        try:
            placed = await self.client.call("order.place", symbol=self.game.symbol, newOrderRespType="ACK", **params)
        except RequestRefused as refused:
            self._accept(refused)
            return None
        finally:
            statistics.orders += 1
            statistics.round_trips_s.append(time.perf_counter() - began_s)
        return int(placed["orderId"])

    async def cancel(self, order_id: int) -> None:
        self.game.statistics.cancels += 1
        try:
            await self.client.call("order.cancel", symbol=self.game.symbol, orderId=str(order_id))
        except RequestRefused as refused:
            self._accept(refused)

    def _accept(self, refused: RequestRefused) -> None:
        if refused.code not in EXPECTED_CODES:
            raise refused
        self.game.statistics.refusals[refused.message] += 1


class Maker(Trader):
    """Quotes both sides by turns; what is too old is taken back."""

    def __init__(self, game: Game, client: TradingClient, seed: str) -> None:
        super().__init__(game, client, seed)
        self.open_orders: dict[str, deque[int]] = {"BUY": deque(), "SELL": deque()}

    async def turn(self) -> None:
        for side, direction in (("BUY", -1), ("SELL", 1)):
            distance = 0.5 + self.randomness.randrange(LEVELS)
            order_id = await self.place(
                side=side,
                type="LIMIT_MAKER",
                price=self.game.price_at(direction * distance),
                quantity=self.game.random_quantity(self.randomness),
            )
            mine = self.open_orders[side]
            if order_id is not None:
                mine.append(order_id)
            if len(mine) > LEVELS:
                await self.cancel(mine.popleft())


class Taker(Trader):
    """Takes what is offered, in each way that there is."""

    async def turn(self) -> None:
        side = self.randomness.choice(("BUY", "SELL"))
        quantity = self.game.random_quantity(self.randomness, share=TAKER_SHARE)
        kind = self.randomness.choice(("by quantity", "by amount", "IOC", "FOK"))
        if kind == "by quantity":
            await self.place(side=side, type="MARKET", quantity=quantity)
        elif kind == "by amount":
            amount = rounded(self.game.price * Decimal(quantity), Decimal("0.01"))
            await self.place(side=side, type="MARKET", quoteOrderQty=amount)
        else:
            price = self.game.price_at(2 if side == "BUY" else -2)
            await self.place(side=side, type="LIMIT", timeInForce=kind, price=price, quantity=quantity)
