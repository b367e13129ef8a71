"""The workloads of the benchmarks: W1, like a market; W2, the same on a deep book; wide, with a level for each order.

The folder of the C++ baseline has its own generator of W1 and W2, whose files every book must answer with the same trades.
Without that folder the generator below makes flow of the same kind: 48 % limit orders near the touch of which a sixth
cross, 45 % cancels of a random live order, 5 % market orders, 2 % replaces, around a middle price that wanders.

A file has `OBW1`, then three 32-bit numbers (operations that are preloaded, operations after them, the largest id), then
the operations, 20 bytes each.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from bench.reference_book import ReferenceBook
from engine.book import OperationKind, operation_dtype
from engine.records import Side, TimeInForce

SEEDS = {"W1": 20261123, "W2": 20261124, "wide": 20261125}
PRELOADED = {"W1": 0, "W2": 100_000, "wide": 10_000}
LIVE_TARGETS = {"W1": 5_000, "W2": 100_000, "wide": 10_000}
OPERATIONS = 1_000_000
SMOKE_OPERATIONS = 20_000

FILE_MAGIC = b"OBW1"
FILE_HEADER_BYTES = 16
FILE_FIELDS = [
    ("kind", "u1"),
    ("side", "u1"),
    ("zero", "<u2"),
    ("id", "<u4"),
    ("new_id", "<u4"),
    ("price", "<i4"),
    ("lots", "<i4"),
]
FILE_KINDS = (OperationKind.PLACE, OperationKind.CANCEL, OperationKind.MARKET, OperationKind.REPLACE)
"""The kinds of operation by their number in a file of the C++ baseline."""

Operation = tuple[int, int, int, int, int, int, int, int, int]
"""One operation with the fields of `operation_dtype()`."""


@dataclass
class Workload:
    """Operations, and what every price-time book answers to them."""

    name: str
    preload: Any
    """Operations that come before the measured ones."""
    operations: Any
    trades: int
    checksum: int
    file: Path | None = None
    """The file that the programs in C++ read."""


def yardstick_workload(name: str, folder: Path, cache: Path, operations: int = OPERATIONS) -> Workload:
    """A workload made by the C++ baseline's own generator, kept in `cache`."""
    file = cache / f"{name}.bin"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        for source in ("make_workload.py", "reference_book.py"):
            shutil.copyfile(folder / source, cache / source)
        program = f"import make_workload as m; m.gen({name!r}, {SEEDS[name]}, {PRELOADED[name]}, {LIVE_TARGETS[name]}, N={operations})"
        subprocess.run([sys.executable, "-c", program], cwd=cache, check=True, stdout=subprocess.DEVNULL)
    data = file.read_bytes()
    preloaded = int.from_bytes(data[4:8], "little")
    records = numpy.frombuffer(data, FILE_FIELDS, offset=FILE_HEADER_BYTES)
    told = json.loads((cache / f"{name}.json").read_text())
    made = operations_of_file(records)
    return Workload(name, made[:preloaded], made[preloaded:], told["trades"], told["checksum"], file)


def operations_of_file(records: Any) -> Any:
    """The operations of a file of the C++ baseline, as the book takes them."""
    operations = numpy.zeros(len(records), operation_dtype())
    operations["kind"] = numpy.array(FILE_KINDS, "u1")[records["kind"]]
    operations["side"] = records["side"] + Side.BUY
    operations["time_in_force"] = TimeInForce.GTC
    operations["order_id"] = records["id"]
    operations["new_order_id"] = records["new_id"]
    operations["price_ticks"] = records["price"]
    operations["quantity_lots"] = records["lots"]
    return operations


def write_file(workload: Workload, file: Path) -> None:
    """Writes a workload as the programs in C++ read it, and notes the file in it."""
    operations = numpy.concatenate([workload.preload, workload.operations])
    numbers = numpy.zeros(max(FILE_KINDS) + 1, "u1")
    numbers[list(FILE_KINDS)] = range(len(FILE_KINDS))
    records = numpy.zeros(len(operations), FILE_FIELDS)
    records["kind"] = numbers[operations["kind"]]
    records["side"] = operations["side"] == Side.SELL
    records["id"] = operations["order_id"]
    records["new_id"] = operations["new_order_id"]
    records["price"] = operations["price_ticks"]
    records["lots"] = operations["quantity_lots"]
    largest_id = max(records["id"].max(), records["new_id"].max())
    counts = numpy.array([len(workload.preload), len(workload.operations), largest_id], "<u4")
    file.write_bytes(FILE_MAGIC + counts.tobytes() + records.tobytes())
    workload.file = file


def own_workload(name: str, operations: int = OPERATIONS) -> Workload:
    """A workload of the same kind, made here."""
    flow = (WideFlow if name == "wide" else Flow)(SEEDS[name], LIVE_TARGETS[name])
    preload = numpy.array(list(flow.preload(PRELOADED[name])), operation_dtype())
    made = numpy.array([flow.next_operation() for _ in range(operations)], operation_dtype())
    return Workload(name, preload, made, flow.book.trades, flow.book.checksum)


class Flow:
    """A seeded stream of operations that follows its own book, so that cancels name live orders.

    Args:
        seed: the same seed gives the same flow.
        live_target: below this many live orders there are fewer cancels.
    """

    def __init__(self, seed: int, live_target: int) -> None:
        self.random = random.Random(seed)
        self.live_target = live_target
        self.book = ReferenceBook()
        self.middle_ticks = 100_000
        self.last_id = 0
        self.ids: list[int] = []
        """Ids that may be live, for a random choice among them."""

    def preload(self, count: int) -> Iterator[Operation]:
        """Orders spread evenly over 5,000 prices around the middle."""
        for _ in range(count):
            side = self.random.choice((Side.BUY, Side.SELL))
            distance = self.random.randint(1, 2_500)
            yield self.place(side, self.middle_ticks + (distance if side == Side.SELL else -distance), 100)

    def next_operation(self) -> Operation:
        if self.random.random() < 0.02:
            self.middle_ticks += self.random.choice((-1, 1))
        roll = self.random.random()
        live = len(self.book)
        cancels = 0.45 * min(1.0, max(0.0, 2 * live / self.live_target - 1))
        if live < 200:
            return self.make()
        if roll < 0.05:
            return self.take_market()
        if roll < 0.07:
            return self.replace()
        if roll < 0.07 + cancels:
            return self.cancel()
        return self.take() if self.random.random() < 0.17 else self.make()

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def live_id(self) -> int:
        """A random live order. Ids that were filled meanwhile are dropped as they are met."""
        while True:
            index = self.random.randrange(len(self.ids))
            order_id = self.ids[index]
            if order_id in self.book.places:
                return order_id
            self.ids[index] = self.ids[-1]
            self.ids.pop()

    def maker_price(self, side: Side) -> int:
        """A few ticks behind the touch, geometrically distributed with a mean of eight."""
        distance = 1 + int(math.log(1 - self.random.random()) / math.log(1 - 1 / 8))
        bid, ask = self.touch()
        return min(self.middle_ticks, ask) - distance if side == Side.BUY else max(self.middle_ticks, bid) + distance

    def touch(self) -> tuple[int, int]:
        bid, ask = self.book.best(Side.BUY), self.book.best(Side.SELL)
        return bid or self.middle_ticks - 1, ask or self.middle_ticks + 1

    def taker_side(self) -> Side:
        """Takers lean so that the touch follows the middle."""
        bid, ask = self.touch()
        lean = max(-0.4, min(0.4, 0.1 * (self.middle_ticks - (bid + ask) / 2)))
        return Side.BUY if self.random.random() < 0.5 + lean else Side.SELL

    def place(self, side: Side, price_ticks: int, lots_max: int) -> Operation:
        order_id, lots = self.new_id(), self.random.randint(1, lots_max)
        self.book.place(order_id, side, price_ticks, lots)
        if order_id in self.book.places:
            self.ids.append(order_id)
        return (OperationKind.PLACE, side, TimeInForce.GTC, 0, 0, order_id, 0, price_ticks, lots)

    def make(self) -> Operation:
        side = self.random.choice((Side.BUY, Side.SELL))
        return self.place(side, self.maker_price(side), 100)

    def take(self) -> Operation:
        side, through = self.taker_side(), self.random.randint(0, 2)
        bid, ask = self.touch()
        return self.place(side, ask + through if side == Side.BUY else bid - through, 25)

    def take_market(self) -> Operation:
        order_id, side, lots = self.new_id(), self.taker_side(), self.random.randint(1, 25)
        self.book.market(order_id, side, lots)
        return (OperationKind.MARKET, side, TimeInForce.GTC, 0, 0, order_id, 0, 0, lots)

    def cancel(self) -> Operation:
        order_id = self.live_id()
        self.book.cancel(order_id)
        return (OperationKind.CANCEL, 0, 0, 0, 0, order_id, 0, 0, 0)

    def replace(self) -> Operation:
        order_id, new_id, lots = self.live_id(), self.new_id(), self.random.randint(1, 100)
        side = Side(self.book.places[order_id][0])
        self.book.cancel(order_id)
        price_ticks = self.maker_price(side)
        self.book.place(new_id, side, price_ticks, lots)
        self.ids.append(new_id)
        return (OperationKind.REPLACE, side, TimeInForce.GTC, 0, 0, order_id, new_id, price_ticks, lots)


class WideFlow(Flow):
    """Orders spread evenly over a million prices, so nearly each has a level of its own, which goes with it.

    New orders and cancels of a random one keep the book at its size; one operation in twenty takes from the touch.
    """

    def __init__(self, seed: int, live_target: int) -> None:
        super().__init__(seed, live_target)
        self.middle_ticks = 2_000_000

    def preload(self, count: int) -> Iterator[Operation]:
        for _ in range(count):
            yield self.make()

    def next_operation(self) -> Operation:
        if self.random.random() < 0.05:
            return self.take_market()
        return self.make() if len(self.book) < self.live_target else self.cancel()

    def maker_price(self, side: Side) -> int:
        distance = self.random.randint(1, 500_000)
        return self.middle_ticks + (distance if side == Side.SELL else -distance)
