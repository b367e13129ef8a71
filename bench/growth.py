"""How does an operation of the core grow with the venue?

    python -m bench.growth [--smoke]

Random new orders and cancels of random resting orders, in turn, on a core that has so many accounts, markets and resting
orders. Processor time of one command, and the heap that a resting order takes. Not counted: making the commands.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from typing import Any, NamedTuple

import numpy

from engine.core import Core
from engine.exchange import command_dtype
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
)

NOTE = (b"bench", b"growth")
MARKET = MarketDefinition(2, 1, 10**8, 1, 1, 10**7, 1, 10**6, 100, 10**12, 500, 1000, 10**6, 0)
MIDDLE_TICKS = 100_000


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
                self._execute(builder.build(gateway=1, boot=1, number=self.batches + 1))
                builder = BatchBuilder()
            builder.add(command, *parts)
        self._execute(builder.build(gateway=1, boot=1, number=self.batches + 1))

    def _execute(self, batch: bytes) -> None:
        self.batches += 1
        self.core.execute(self.batches, batch)

    def execute(self, commands: Any) -> float:
        """Carries out the commands; the processor time that the core took, in seconds."""
        seconds = 0.0
        for start in range(0, len(commands), BATCH_COMMANDS_MAX):
            part = commands[start : start + BATCH_COMMANDS_MAX]
            header = BatchHeader(command_count=len(part), gateway=1, boot=1, number=self.batches + 1)
            batch = BATCH_HEADER.pack(header) + part.tobytes()
            began = time.process_time()
            self._execute(batch)
            seconds += time.process_time() - began
        return seconds

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


def measure(size: Size, operations: int) -> tuple[float, float]:
    """(nanoseconds a command, heap bytes a resting order) at a size."""
    venue = Venue(size)
    before = heap_bytes()
    resting = venue.new_orders(size.resting)
    venue.execute(resting)
    bytes_an_order = (heap_bytes() - before - resting.nbytes) / venue.core.open_order_count
    half = operations // 2
    chosen = venue.random.permutation(size.resting)[:half]
    commands = numpy.zeros(2 * len(chosen), command_dtype())
    commands[0::2] = venue.new_orders(len(chosen))
    commands[1::2]["kind"] = CommandKind.ORDER_CANCEL
    for field in ("account", "market"):
        commands[field][1::2] = resting[field][chosen]
    commands["order_id"][1::2] = chosen + 1
    return venue.execute(commands) / len(commands) * 1e9, bytes_an_order


class Mallinfo(ctypes.Structure):
    """The answer of glibc's mallinfo2."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def heap_bytes() -> int:
    """What malloc has given out; 0 where the C library does not tell."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return 0
    library.mallinfo2.restype = Mallinfo
    info = library.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes that only show that it works")
    options = parser.parse_args(argv)
    print(f"{'accounts':>9} {'markets':>8} {'resting':>8} {'levels':>7} {'ns a command':>13} {'bytes an order':>15}")
    for size in SMOKE if options.smoke else FULL:
        nanoseconds, memory = measure(size, 200 if options.smoke else 200_000)
        print(
            f"{size.accounts:>9,} {size.markets:>8,} {size.resting:>8,} {size.levels:>7,} {nanoseconds:>13.0f} {memory:>15.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
