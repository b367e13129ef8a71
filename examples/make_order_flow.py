"""Writes examples/order-flow.csv: a small recording of an exchange that never was, in the format of docs/replay.md.

    python examples/make_order_flow.py > examples/order-flow.csv

The exchange is an order book on which prices walk. It runs for a while before the recording begins, as real ones do, so
the recording speaks of orders that it has not created. Volumes are finer than the lot of most markets, and now and then
comes an order that a market has to drop: off the tick, less than a lot, below the minimum notional, or far too large. The
same seed gives the same file.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine import Book
from engine.book import BookEventKind
from engine.records import Side

HEADING = "id,timestamp,exchange.timestamp,price,volume,action,direction"
START_MS = 1_767_225_600_000
UNRECORDED_STEPS = 300
TICKS_PER_UNIT = 100
ODD_ORDERS = (
    ("236.50", 40),
    ("236.50", 200_000),
    ("236.50", 150_000_000_000),
    ("236.505", 100_000_000),
)
"""Price and volume: less than a lot, a notional below 1, a volume above 1000, a price off the tick."""


@dataclass
class Exchange:
    """The book, a fair price that walks, and the rows that tell what happens."""

    randomness: random.Random
    book: Book = field(default_factory=Book)
    next_id: int = 65_000_000
    time_ms: int = START_MS
    price_ticks: int = 23_650

    def step(self) -> Iterator[str]:
        """One thing that somebody does, and what follows from it."""
        self.time_ms += self.randomness.randrange(1, 800)
        self.price_ticks += self.randomness.choice((-1, 0, 0, 1))
        resting = self.book.orders(Side.BUY) + self.book.orders(Side.SELL)
        if len(resting) > 20 and self.randomness.random() < 0.45:
            yield self.cancel(self.randomness.choice(resting).order_id)
        else:
            yield from self.place()

    def place(self) -> Iterator[str]:
        side = self.randomness.choice((Side.BUY, Side.SELL))
        away = self.randomness.randrange(-8, 60)
        ticks = self.price_ticks - away if side == Side.BUY else self.price_ticks + away
        volume = self.randomness.randrange(1_000_000, 300_000_000)
        order_id = self.new_id()
        yield self.row(order_id, ticks, volume, "created", side)
        self.book.place(order_id, side, ticks, volume)
        for event in self.book.events():
            if event.kind == BookEventKind.TRADE:
                volume -= event.quantity_lots
                yield self.fill(order_id, ticks, volume, side)
                other = Side.SELL if side == Side.BUY else Side.BUY
                yield self.fill(event.maker_order_id, event.price_ticks, event.remaining_lots, other)

    def cancel(self, order_id: int) -> str:
        order = self.book.order(order_id)
        assert order is not None
        self.book.cancel(order_id)
        return self.row(order_id, order.price_ticks, order.remaining_lots, "deleted", order.side)

    def fill(self, order_id: int, ticks: int, left: int, side: Side) -> str:
        return self.row(order_id, ticks, left, "changed" if left else "deleted", side)

    def odd_order(self, price: str, volume: int) -> Iterator[str]:
        """An order that a market has to drop, and its cancel. It never meets the others."""
        order_id = self.new_id()
        for action in ("created", "deleted"):
            self.time_ms += 1
            yield f"{order_id},{self.time_ms},{self.exchange_ms()},{price},{volume},{action},bid"

    def row(self, order_id: int, ticks: int, volume: int, action: str, side: Side) -> str:
        self.time_ms += self.randomness.randrange(0, 3)
        units, cents = divmod(ticks, TICKS_PER_UNIT)
        direction = "bid" if side == Side.BUY else "ask"
        return f"{order_id},{self.time_ms},{self.exchange_ms()},{units}.{cents:02d},{volume},{action},{direction}"

    def exchange_ms(self) -> int:
        """The exchange's own clock shows seconds."""
        return self.time_ms // 1000 * 1000

    def new_id(self) -> int:
        self.next_id += self.randomness.randrange(1, 4)
        return self.next_id


def order_flow(seed: int, rows: int) -> list[str]:
    """The lines of a recording with about `rows` rows, the heading first."""
    exchange = Exchange(random.Random(seed))
    for _ in range(UNRECORDED_STEPS):
        for _ in exchange.step():
            pass
    lines = [HEADING]
    odd_orders = list(ODD_ORDERS)
    while len(lines) <= rows:
        lines += exchange.step()
        if odd_orders and len(lines) > rows * (len(ODD_ORDERS) - len(odd_orders) + 1) // (len(ODD_ORDERS) + 1):
            lines += exchange.odd_order(*odd_orders.pop(0))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a small recording of order flow to standard output.")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same file (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=1500, help="about how many rows (default: %(default)s)")
    arguments = parser.parse_args()
    sys.stdout.write("\n".join(order_flow(arguments.seed, arguments.rows)) + "\n")


if __name__ == "__main__":
    main()
