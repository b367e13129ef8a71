"""Does an operation cost the same whatever the shape of the book?

Each shape rests its orders, then cancels a random one and places another like it, over and over; the crash lets market
orders sweep the bids down to one tick and fills them up again. Each is compared with an ordinary
operation, one of W1.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy

from bench.probes import apply_all, batches_of
from bench.workload import Workload
from engine.book import Book, OperationKind, operation_dtype
from engine.records import Side, TimeInForce

MIDDLE_TICKS = 2_000_000
SEED = 20261123

Prices = Callable[[Any, int], Any]
"""From a random generator and a count to that many distances from the middle."""

SHAPES: dict[str, tuple[int, Prices]] = {
    "5,000 orders on 100 levels": (5_000, lambda rng, count: rng.integers(1, 51, count)),
    "1,000 orders on 50 levels": (1_000, lambda rng, count: rng.integers(1, 26, count)),
    "1,000,000 orders on 5,000 levels": (1_000_000, lambda rng, count: rng.integers(1, 2_501, count)),
    "1,000,000 orders on one level a side": (1_000_000, lambda rng, count: numpy.ones(count, "i8")),
    "10,000 levels over a million ticks": (10_000, lambda rng, count: 100 * rng.integers(1, 5_001, count)),
}


def measure_shapes(ordinary: Workload, *, smoke: bool = False, rounds: int = 5) -> list[dict[str, Any]]:
    """Nanoseconds an operation for each shape, and how many times that of an ordinary operation it is; rounds alternate.

    Args:
        ordinary: the workload whose operations are the ordinary ones; the first of the list.
    """
    shapes = {name: (1_000 if smoke else orders, prices) for name, (orders, prices) in SHAPES.items()}
    count = 5_000 if smoke else 200_000
    flows: dict[str, tuple[Any, Any]] = {
        f"{ordinary.name}, an ordinary market": (ordinary.preload, ordinary.operations)
    }
    flows |= {name: churn(orders, prices, count) for name, (orders, prices) in shapes.items()}
    flows["a crash to one tick and back"] = crash(20 if smoke else 400)
    taken: dict[str, list[float]] = {name: [] for name in flows}
    for _ in range(1 if smoke else rounds):
        for name, (preload, operations) in flows.items():
            taken[name].append(nanoseconds(preload, operations))
    base = statistics.median(next(iter(taken.values())))
    return [
        {
            "shape": name,
            "nanoseconds": round(statistics.median(times), 1),
            "factor": round(statistics.median(times) / base, 2),
        }
        for name, times in taken.items()
    ]


def nanoseconds(preload: Any, operations: Any) -> float:
    book = Book()
    apply_all(book, preload)
    batches = batches_of(operations)
    start = time.perf_counter()
    for batch in batches:
        book.apply(batch)
    return (time.perf_counter() - start) / len(operations) * 1e9


def places(ids: Any, sides: Any, distances: Any) -> Any:
    """Limit orders on either side of the middle."""
    operations = numpy.zeros(len(ids), operation_dtype())
    operations["kind"] = OperationKind.PLACE
    operations["side"] = sides
    operations["time_in_force"] = TimeInForce.GTC
    operations["order_id"] = ids
    operations["price_ticks"] = MIDDLE_TICKS + numpy.where(sides == Side.SELL, distances, -distances)
    operations["quantity_lots"] = 10
    return operations


def churn(orders: int, prices: Prices, count: int) -> tuple[Any, Any]:
    """Resting orders, then pairs of a cancel of a random one and a new one."""
    rng = numpy.random.default_rng(SEED)
    total = orders + count // 2
    made = places(numpy.arange(1, total + 1), rng.integers(Side.BUY, Side.SELL + 1, total), prices(rng, total))
    live = list(range(1, orders + 1))
    gone = []
    for new_id, index in enumerate(rng.integers(0, orders, count // 2).tolist(), start=orders + 1):
        gone.append(live[index])
        live[index] = new_id
    operations = numpy.zeros(count, operation_dtype())
    operations["kind"][0::2] = OperationKind.CANCEL
    operations["order_id"][0::2] = gone
    operations[1::2] = made[orders:]
    return made[:orders], operations


def crash(turns: int) -> tuple[Any, Any]:
    """Bids from just under the middle down to one tick; each turn sells all of them and places them again."""
    rungs = numpy.unique(numpy.geomspace(1, MIDDLE_TICKS - 1, 400).astype("i8"))
    bids = numpy.zeros(len(rungs), operation_dtype())
    bids["kind"], bids["side"], bids["time_in_force"] = OperationKind.PLACE, Side.BUY, TimeInForce.GTC
    bids["price_ticks"], bids["quantity_lots"] = rungs, 10
    sweep = numpy.zeros(len(rungs), operation_dtype())
    sweep["kind"], sweep["side"], sweep["quantity_lots"] = OperationKind.MARKET, Side.SELL, 10
    turn = numpy.concatenate([bids, sweep])
    operations = numpy.tile(turn, turns)
    operations["order_id"] = numpy.arange(1, len(operations) + 1)
    return operations[:0], operations
