"""How does the cost of an operation grow with the venue?

    python -m bench.growth [--smoke] [--json]

Random new orders and cancels of random resting orders, in turn, on a core that has so many accounts, markets and resting
orders; rounds alternate over the sizes. Processor time of one command, over all of them (mean) and in the middle one of the
entries of 256 commands (median), which leaves out the entries in which an array grew; and the memory that a resting
order takes. Not counted: making the commands.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy

from bench.command import run
from bench.resident import resident_bytes
from engine.core import Core
from engine.library_values import command_dtype
from engine.records import (
    ASSET_DEFINITION,
    BATCH_COMMANDS_MAX,
    BATCH_HEADER,
    MARKET_DEFINITION,
    AssetDefinition,
    BatchBuilder,
    BatchHeader,
    Command,
    CommandKind,
    MarketDefinition,
    OrderType,
    Side,
    TimeInForce,
    seal_batch,
)

NOTE = (b"bench", b"growth", b"")
MARKET = MarketDefinition(2, 1, 10**8, 1, 1, 10**7, 1, 10**6, 100, 10**12, 500, 1000, 10**6, 0)
MIDDLE_TICKS = 100_000
ROUNDS = 3
OPERATIONS = 200_000
RESTING_MIN = 50_000
"""With fewer orders than this, memory is too much a matter of pages."""


class Size(NamedTuple):
    accounts: int
    markets: int
    resting: int
    levels: int
    """Prices of a side over which orders are spread."""


FULL = (
    Size(1_000, 1, 1_000, 2_500),
    Size(1_000, 1, 100_000, 2_500),
    Size(1_000, 1, 1_000_000, 2_500),
    Size(1_000_000, 1, 100_000, 2_500),
    Size(1_000, 1, 100_000, 20),
    Size(1_000, 1_000, 100_000, 20),
)
SMOKE = (Size(10, 1, 100, 50), Size(100, 10, 1_000, 50))


class Venue:
    """A core of some size, and the commands that are put to it."""

    def __init__(self, size: Size) -> None:
        self.core = Core()
        self.size = size
        self.random = numpy.random.default_rng(1)
        self.batches = self.names = 0
        definitions: list[tuple[Any, ...]] = []
        for name in (b"KZT", b"BTC"):
            packed = ASSET_DEFINITION.pack(AssetDefinition(0))
            definitions.append((Command(kind=CommandKind.ASSET_ADD), packed, name, *NOTE))
        for number in range(size.markets):
            packed = MARKET_DEFINITION.pack(MARKET)
            definitions.append((Command(kind=CommandKind.MARKET_ADD), packed, b"M%d" % number, *NOTE))
        for account in range(1, size.accounts + 1):
            definitions.append((Command(kind=CommandKind.ACCOUNT_ADD), b"a%d" % account, *NOTE))
            for asset in (1, 2):
                deposit = Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=10**11)
                definitions.append((deposit, *NOTE))
        builder = BatchBuilder()
        for command, *parts in definitions:
            if not builder.has_room(256):
                self._execute(builder.build(producer=1, incarnation=1, number=self.batches + 1))
                builder = BatchBuilder()
            builder.add(command, *parts)
        self._execute(builder.build(producer=1, incarnation=1, number=self.batches + 1))

    def _execute(self, batch: bytes) -> None:
        self.batches += 1
        self.core.execute(self.batches, batch)

    def batches_of(self, commands: Any) -> Iterator[bytes]:
        """The commands in entries as the journal has them, to be carried out next."""
        for number, start in enumerate(range(0, len(commands), BATCH_COMMANDS_MAX), start=self.batches + 1):
            part = commands[start : start + BATCH_COMMANDS_MAX]
            header = BatchHeader(command_count=len(part), producer=1, incarnation=1, number=number)
            yield seal_batch(header, part.tobytes())

    def execute(self, batches: Iterable[bytes]) -> list[float]:
        """Executes batches; returns the processor time of a command in each, in nanoseconds.

        Make all batches before the first is executed: then the core has the processor's cache to itself.
        """
        taken = []
        for batch in batches:
            # In a venue the core gets an entry that has just been received. The copy does the same, and is not counted.
            received = bytes(bytearray(batch))
            began = time.process_time_ns()
            self._execute(received)
            taken.append((time.process_time_ns() - began) / BATCH_HEADER.unpack_from(batch).command_count)
        return taken

    def new_orders(self, count: int) -> Any:
        """Orders that rest, with client ids, on random accounts, markets and prices."""
        orders = numpy.zeros(count, command_dtype())
        orders["kind"] = CommandKind.ORDER_PLACE
        orders["account"] = self.random.integers(1, self.size.accounts + 1, count)
        orders["market"] = self.random.integers(1, self.size.markets + 1, count)
        orders["side"] = self.random.integers(Side.BUY, Side.SELL + 1, count)
        orders["order_type"], orders["time_in_force"] = OrderType.LIMIT, TimeInForce.GTC
        away = 1 + self.random.integers(0, self.size.levels, count)
        orders["price_ticks"] = numpy.where(orders["side"] == Side.BUY, MIDDLE_TICKS - away, MIDDLE_TICKS + away)
        orders["quantity_lots"] = 1 + self.random.integers(0, 9, count)
        orders["client_id"] = [b"c%d" % name for name in range(self.names, self.names + count)]
        self.names += count
        return orders


class Figures(NamedTuple):
    mean_ns: float
    median_ns: float
    bytes_an_order: float | None
    """None where the system does not tell, or the orders are too few to stand out."""


def measure(*, smoke: bool = False) -> dict[str, Any]:
    """What commands cost, and what a resting order takes, at each size: medians of the rounds.

    Args:
        smoke: small sizes that end within seconds and show only that everything runs.
    """
    sizes, rounds, operations = (SMOKE, 1, 200) if smoke else (FULL, ROUNDS, OPERATIONS)
    taken = [[measure_size(size, operations) for size in sizes] for _ in range(rounds)]
    return {
        "benchmark": "growth",
        "smoke": smoke,
        "sizes": [
            {
                **size._asdict(),
                "mean_ns": round(statistics.median(figures.mean_ns for figures in of_size)),
                "median_ns": round(statistics.median(figures.median_ns for figures in of_size)),
                "bytes_an_order": of_size[0].bytes_an_order,
            }
            for size, of_size in zip(sizes, zip(*taken, strict=True), strict=True)
        ],
    }


def measure_size(size: Size, operations: int) -> Figures:
    venue = Venue(size)
    resting = venue.new_orders(size.resting)
    before = resident_bytes()
    venue.execute(venue.batches_of(resting))
    after = resident_bytes()
    chosen = venue.random.permutation(size.resting)[: operations // 2]
    commands = numpy.zeros(2 * len(chosen), command_dtype())
    commands[0::2] = venue.new_orders(len(chosen))
    commands[1::2]["kind"] = CommandKind.ORDER_CANCEL
    for field in ("account", "market"):
        commands[field][1::2] = resting[field][chosen]
    commands["order_id"][1::2] = chosen + 1
    taken = venue.execute(list(venue.batches_of(commands)))
    memory = None if size.resting < RESTING_MIN or after is None or before is None else (after - before) / size.resting
    return Figures(statistics.fmean(taken), statistics.median(taken), memory and round(memory))


def render(report: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [
        f"{'accounts':>9} {'markets':>8} {'resting':>9} {'levels':>7} {'mean ns':>8} {'median ns':>10} {'bytes an order':>15}"
    ]
    for told in report["sizes"]:
        memory = "" if told["bytes_an_order"] is None else told["bytes_an_order"]
        lines.append(
            f"{told['accounts']:>9,} {told['markets']:>8,} {told['resting']:>9,} {told['levels']:>7,} {told['mean_ns']:>8} "
            f"{told['median_ns']:>10} {memory:>15}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark."""
    return run(
        "growth",
        "How does the cost of an operation grow with the venue?",
        measure,
        render,
        arguments,
        has_baseline=False,
    )


if __name__ == "__main__":
    sys.exit(main())
