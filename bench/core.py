"""How fast is the exchange core: accounts, holds, fees, client ids and full events on top of the book?

The flow is W1 and W2, spread over 1,000 accounts, a client id on every order, in entries of 256 commands as the journal has them. The
baseline is the yardstick's bare book where its folder is given, else the reference book on sortedcontainers. Not counted:
making the commands, hashing, the store.

    python -m bench.core [--smoke] [--json] [--yardstick FOLDER]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from bench.book import MEMORY_ORDERS, ROUNDS, SMOKE_ROUNDS, make_baseline, make_workloads, rates
from bench.command import run
from bench.probes import ask
from bench.workload import OPERATIONS, SMOKE_OPERATIONS, Workload
from bench.yardstick import BaselineFailed
from engine.book import OperationKind
from engine.core import Core
from engine.library_values import command_dtype, event_dtype
from engine.records import (
    ASSET_DEFINITION,
    BATCH_COMMANDS_MAX,
    EVENT_HEADER,
    FEES,
    MARKET_DEFINITION,
    AssetDefinition,
    BatchBuilder,
    BatchHeader,
    Command,
    CommandKind,
    EventKind,
    Fees,
    MarketDefinition,
    OrderType,
    seal_batch,
)

ACCOUNTS = 1_000
FUNDS = 10**15
OWN_FEES = Fees(maker_fee_ppm=400, taker_fee_ppm=900)
SMOKE_MEMORY_ORDERS = 300_000
"""With fewer orders than this, pages and the allocator count for more than the orders."""
NOTE = (b"bench", b"funds", b"")
MARKET = MarketDefinition(
    base_asset=2,
    quote_asset=1,
    tick_e8=100_000_000_000,
    lot_units=1_000,
    price_min_ticks=1,
    price_max_ticks=10**9,
    quantity_min_lots=1,
    quantity_max_lots=10**6,
    notional_min=100,
    notional_max=10**15,
    maker_fee_ppm=500,
    taker_fee_ppm=1_000,
    open_orders_max=10**6,
)


def measure(*, smoke: bool = False, yardstick: Path | None = None) -> dict[str, Any]:
    """The rate of the core on W1 and W2 and that of the baseline, in alternating rounds.

    Raises:
        BaselineFailed: the baseline cannot be built, or the core's trades are not those of the workload.
    """
    operations, rounds = (SMOKE_OPERATIONS, SMOKE_ROUNDS) if smoke else (OPERATIONS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="jibek-bench-") as folder:
        workloads = make_workloads(operations, yardstick, Path(folder))
        baseline = make_baseline(yardstick, Path(folder))
        told = [compare(workload, baseline, rounds) for workload in workloads]
        account_fees_ratio = compare_account_fees(workloads[0], rounds)
    return {
        "benchmark": "core",
        "baseline": "yardstick" if yardstick else "reference book",
        "smoke": smoke,
        "accounts": ACCOUNTS,
        "workloads": told,
        "account_fees_ratio": account_fees_ratio,
        "bytes_per_order": ask("core_memory", SMOKE_MEMORY_ORDERS if smoke else MEMORY_ORDERS),
    }


def compare(workload: Workload, baseline: Callable[[Workload], float], rounds: int) -> dict[str, Any]:
    """Rates of core and baseline on one workload, after both gave the trades that it must give."""
    flow = Flow(commands_of(workload.preload), commands_of(workload.operations))
    check_trades(flow, workload)
    core_seconds, baseline_seconds = [], []
    for _ in range(rounds):
        core_seconds.append(run_core(flow)[0])
        baseline_seconds.append(baseline(workload))
    return rates(workload, len(flow.commands), core_seconds, baseline_seconds)


def compare_account_fees(workload: Workload, rounds: int) -> float:
    """The rate of the core where every account has fees of its own, by its rate where none has, in alternating rounds."""
    flow = Flow(commands_of(workload.preload), commands_of(workload.operations))
    ratios = [run_core(flow)[0] / run_core(flow, account_fees=True)[0] for _ in range(rounds)]
    return round(statistics.median(ratios), 3)


class Flow(NamedTuple):
    """A workload as commands."""

    preload: Any
    """Commands that come before the measured ones."""
    commands: Any


def commands_of(operations: Any) -> Any:
    """Operations as commands. The core numbers accepted orders 1, 2, 3, … as workloads do; a replace is two commands."""
    replaces = operations["kind"] == OperationKind.REPLACE
    first = numpy.cumsum(1 + replaces) - 1 - replaces
    commands = numpy.zeros(int(len(operations) + replaces.sum()), command_dtype())
    fill_commands(commands, first, operations, operations["order_id"])
    fill_commands(commands, first[replaces] + 1, operations[replaces], operations["new_order_id"][replaces])
    commands["kind"][first[replaces]] = CommandKind.ORDER_CANCEL
    commands["kind"][first[replaces] + 1] = CommandKind.ORDER_PLACE
    commands["order_id"][commands["kind"] == CommandKind.ORDER_PLACE] = 0
    return commands


def fill_commands(commands: Any, at: Any, operations: Any, ids: Any) -> None:
    """Writes one command for each operation; an order's account follows from its id."""
    is_cancel = operations["kind"] == OperationKind.CANCEL
    is_market = operations["kind"] == OperationKind.MARKET
    commands["kind"][at] = numpy.where(is_cancel, CommandKind.ORDER_CANCEL, CommandKind.ORDER_PLACE)
    commands["market"][at] = 1
    commands["account"][at] = 1 + ids * 2654435761 % 2**32 % ACCOUNTS
    commands["order_id"][at] = ids
    for field in ("side", "price_ticks", "quantity_lots"):
        commands[field][at] = numpy.where(is_cancel, 0, operations[field])
    commands["order_type"][at] = numpy.where(is_cancel, 0, numpy.where(is_market, OrderType.MARKET, OrderType.LIMIT))
    commands["time_in_force"][at] = numpy.where(is_cancel | is_market, 0, operations["time_in_force"])
    names = numpy.char.add("order-", ids.astype("U20")).astype("S36")
    commands["client_id"][at] = numpy.where(is_cancel, b"", names)


def funded_core(*, account_fees: bool = False) -> Core:
    """A core with one market and 1,000 accounts that can afford everything; each has fees of its own if that is asked."""
    core, venue = Core(), BatchBuilder()
    venue.add(Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(2)), b"KZT", *NOTE)
    venue.add(Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(8)), b"BTC", *NOTE)
    venue.add(Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(MARKET), b"BTCKZT", *NOTE)
    core.execute(1, venue.build(producer=1, incarnation=1, number=1))
    for account in range(1, ACCOUNTS + 1):
        funding = BatchBuilder()
        funding.add(Command(kind=CommandKind.ACCOUNT_ADD), f"client{account}".encode(), *NOTE)
        for asset in (1, 2):
            funding.add(Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=FUNDS), *NOTE)
        if account_fees:
            funding.add(Command(kind=CommandKind.FEES_SET, account=account, market=1), FEES.pack(OWN_FEES), *NOTE)
        core.execute(account + 1, funding.build(producer=1, incarnation=1, number=account + 1))
    return core


def batches_of(commands: Any, first: int) -> list[bytes]:
    """The commands in entries as the journal has them, of which the first is the gateway's batch of that number."""
    batches = []
    for number, at in enumerate(range(0, len(commands), BATCH_COMMANDS_MAX), start=first):
        part = commands[at : at + BATCH_COMMANDS_MAX]
        header = BatchHeader(command_count=len(part), producer=2, incarnation=1, number=number)
        batches.append(seal_batch(header, part.tobytes()))
    return batches


def run_core(flow: Flow, *, keep: bool = False, account_fees: bool = False) -> tuple[float, list[bytes]]:
    """Seconds that the core took for the measured commands, and their event entries if they are to be kept."""
    core, kept, seconds = funded_core(account_fees=account_fees), [], 0.0
    preload = batches_of(flow.preload, 1)
    time_us = ACCOUNTS + 1
    for batch in preload:
        time_us += 1
        core.execute(time_us, batch)
    for batch in batches_of(flow.commands, len(preload) + 1):
        time_us += 1
        # In a venue an entry has just been received when the core gets it. The copy represents that, and is not counted.
        received = bytes(bytearray(batch))
        start = time.perf_counter()
        entry = core.execute(time_us, received)
        seconds += time.perf_counter() - start
        if keep:
            kept.append(entry)
    return seconds, kept


def check_trades(flow: Flow, workload: Workload) -> None:
    """Compares the core's trades with those that every price-time book gives."""
    trades = checksum = 0
    layout = event_dtype()
    for entry in run_core(flow, keep=True)[1]:
        header = EVENT_HEADER.unpack_from(entry)
        events = numpy.frombuffer(entry, layout, header.event_count, EVENT_HEADER.size)
        made = events[events["kind"] == EventKind.TRADE]
        trades += len(made)
        checksum += int(numpy.sum(made["price_ticks"] * made["quantity_lots"]))
    if (trades, checksum) != (workload.trades, workload.checksum):
        raise BaselineFailed(
            f"{workload.name}: {trades} trades with checksum {checksum}, not {workload.trades} with {workload.checksum}"
        )


def render(report: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'':10}{'core':>14}{report['baseline']:>18}{'ratio':>8}{'trades':>10}  checksum"]
    for told in report["workloads"]:
        lines.append(
            f"{told['name']:10}{told['operations_per_second']:>12,}/s{told['baseline_operations_per_second']:>16,}/s"
            f"{told['ratio']:>8.3f}{told['trades']:>10,}  {told['checksum']}"
        )
    lines += ["", f"with own fees of every account: {report['account_fees_ratio']:.3f} of the rate on W1"]
    memory = report["bytes_per_order"]
    told_memory = "not measured" if memory is None else f"{memory:.0f} bytes a resting order, with both indexes"
    return "\n".join([*lines, f"{report['accounts']:,} accounts; memory: {told_memory}"])


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; the exit code is 1 where the baseline failed or the trades are wrong."""
    return run("core", "How fast is the exchange core?", measure, render, arguments)


if __name__ == "__main__":
    sys.exit(main())
