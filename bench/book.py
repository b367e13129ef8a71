"""How fast is the book, in a batch and in one Python call an order, and what does that cost?

Baseline: a bare book in C++ if you name its folder, else the reference book on sortedcontainers. Both run in alternating
rounds, so a machine that is busy for a while slows both; the figures are medians. The time includes writing out every event, but
not reading the file and making the operations.

    python -m bench.book [--smoke] [--json] [--yardstick FOLDER]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from bench.command import run
from bench.empty import EmptyBook
from bench.probes import ask, batches_of, count_allocations, count_instructions
from bench.reference_book import ReferenceBook
from bench.shapes import measure_shapes
from bench.workload import OPERATIONS, SMOKE_OPERATIONS, Workload, own_workload, yardstick_workload
from bench.yardstick import BaselineFailed, compile_yardstick, run_yardstick
from engine.book import Book, BookEventKind, OperationKind

ROUNDS = 5
SMOKE_ROUNDS = 3
RUNS_A_ROUND = 3
MEMORY_ORDERS = 200_000


def measure(*, smoke: bool = False, yardstick: Path | None = None) -> dict[str, Any]:
    """All figures of the book.

    Args:
        smoke: a small size that ends within seconds and shows only that everything runs.
        yardstick: the folder of the C++ baseline; None for the reference book.

    Raises:
        BaselineFailed: the baseline cannot be built, or it and the book disagree about the trades.
    """
    operations, rounds = (SMOKE_OPERATIONS, SMOKE_ROUNDS) if smoke else (OPERATIONS, ROUNDS)
    with tempfile.TemporaryDirectory(prefix="jibek-bench-") as folder:
        workloads = make_workloads(operations, yardstick, Path(folder))
        baseline = make_baseline(yardstick, Path(folder))
        told = [compare(workload, baseline, rounds) for workload in workloads]
    return {
        "benchmark": "book",
        "baseline": "yardstick" if yardstick else "reference book",
        "smoke": smoke,
        "workloads": told,
        "calls": compare_calls(workloads[0], rounds),
        "latency_ns": latency(workloads[0]),
        "shapes": measure_shapes(workloads[0], smoke=smoke),
        "bytes_per_order": ask("memory", MEMORY_ORDERS),
        "allocations_after_warm_up": count_allocations(operations // 2),
        "instructions_per_operation": None if smoke else count_instructions(operations // 10),
    }


def make_workloads(operations: int, yardstick: Path | None, cache: Path) -> list[Workload]:
    if yardstick is None:
        return [own_workload(name, operations) for name in ("W1", "W2")]
    return [yardstick_workload(name, yardstick, cache, operations) for name in ("W1", "W2")]


def make_baseline(yardstick: Path | None, cache: Path) -> Callable[[Workload], float]:
    """A function from a workload to the seconds that the baseline takes for it."""
    if yardstick is None:
        return run_reference
    program = compile_yardstick(yardstick, cache)
    return lambda workload: run_yardstick(program, workload)


# -- batches


def compare(workload: Workload, baseline: Callable[[Workload], float], rounds: int) -> dict[str, Any]:
    """Rates of book and baseline on one workload, after both gave the trades that it must give."""
    check_trades(workload)
    book_seconds, baseline_seconds = [], []
    for _ in range(rounds):
        book_seconds.append(statistics.median(run_book(workload) for _ in range(RUNS_A_ROUND)))
        baseline_seconds.append(baseline(workload))
    return rates(workload, len(workload.operations), book_seconds, baseline_seconds)


def rates(workload: Workload, count: int, seconds: list[float], baseline_seconds: list[float]) -> dict[str, Any]:
    """The result of a workload: the rates of `count` operations and of the baseline's, by the medians of the rounds."""
    rate = count / statistics.median(seconds)
    baseline_rate = len(workload.operations) / statistics.median(baseline_seconds)
    return {
        "name": workload.name,
        "operations_per_second": round(rate),
        "baseline_operations_per_second": round(baseline_rate),
        "ratio": round(rate / baseline_rate, 3),
        "trades": workload.trades,
        "checksum": workload.checksum,
    }


def run_book(workload: Workload) -> float:
    """Seconds for the batches of a workload, on a book that has its preload."""
    book = Book()
    book.apply(workload.preload)
    batches = batches_of(workload.operations)
    start = time.perf_counter()
    for batch in batches:
        book.apply(batch)
    return time.perf_counter() - start


def check_trades(workload: Workload) -> None:
    """Applies a workload and compares its trades with what every price-time book gives."""
    book = Book()
    book.apply(workload.preload)
    events = book.apply(workload.operations)
    trades = events[events["kind"] == BookEventKind.TRADE]
    checksum = int(numpy.sum(trades["price_ticks"] * trades["quantity_lots"]))
    if (len(trades), checksum) != (workload.trades, workload.checksum):
        raise BaselineFailed(
            f"{workload.name}: {len(trades)} trades with checksum {checksum}, not {workload.trades} with {workload.checksum}"
        )


def run_reference(workload: Workload) -> float:
    """Seconds that the reference book takes for a workload."""
    book = ReferenceBook()
    for method, arguments in calls_of(book, workload.preload, with_time_in_force=False):
        method(*arguments)
    calls = calls_of(book, workload.operations, with_time_in_force=False)
    start = time.perf_counter()
    for method, arguments in calls:
        method(*arguments)
    return time.perf_counter() - start


# -- one Python call an order


def calls_of(book: Any, operations: Any, *, with_time_in_force: bool = True) -> list[tuple[Any, tuple[int, ...]]]:
    """The operations as methods of a book and their arguments."""
    calls: list[tuple[Any, tuple[int, ...]]] = []
    for kind, side, time_in_force, _, _, order_id, new_order_id, price_ticks, lots in operations.tolist():
        if kind == OperationKind.PLACE:
            arguments = (order_id, side, price_ticks, lots)
            calls.append((book.place, (*arguments, time_in_force) if with_time_in_force else arguments))
        elif kind == OperationKind.CANCEL:
            calls.append((book.cancel, (order_id,)))
        elif kind == OperationKind.MARKET:
            calls.append((book.market, (order_id, side, lots)))
        else:
            calls.append((book.replace, (order_id, new_order_id, price_ticks, lots)))
    return calls


def compare_calls(workload: Workload, rounds: int) -> dict[str, Any]:
    """Rates of one Python call an order, to the book and to an empty Cython method with the same arguments."""
    book_seconds, empty_seconds = [], []
    for _ in range(rounds):
        book_seconds.append(seconds_of_calls(calls_of(Book(), workload.operations)))
        empty_seconds.append(seconds_of_calls(calls_of(EmptyBook(), workload.operations)))
    count = len(workload.operations)
    book_rate, empty_rate = count / statistics.median(book_seconds), count / statistics.median(empty_seconds)
    return {
        "operations_per_second": round(book_rate),
        "empty_method_operations_per_second": round(empty_rate),
        "ratio": round(book_rate / empty_rate, 3),
    }


def seconds_of_calls(calls: list[tuple[Any, tuple[int, ...]]]) -> float:
    start = time.perf_counter()
    for method, arguments in calls:
        method(*arguments)
    return time.perf_counter() - start


def latency(workload: Workload) -> dict[str, int]:
    """Percentiles of one Python call of one operation in nanoseconds, less what reading the clock costs."""
    clock = time.perf_counter_ns
    taken = []
    for method, arguments in calls_of(Book(), workload.operations):
        start = clock()
        method(*arguments)
        taken.append(clock() - start)
    empty = []
    for _ in range(10_000):
        start = clock()
        empty.append(clock() - start)
    sorted_ns = numpy.sort(taken) - int(statistics.median(empty))
    return {
        name: int(sorted_ns[int(share * (len(sorted_ns) - 1))])
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    }


# -- the face


def render(report: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{'':10}{'book':>14}{report['baseline']:>18}{'ratio':>8}{'trades':>10}  checksum"]
    for told in report["workloads"]:
        lines.append(
            f"{told['name']:10}{told['operations_per_second']:>12,}/s{told['baseline_operations_per_second']:>16,}/s"
            f"{told['ratio']:>8.2f}{told['trades']:>10,}  {told['checksum']}"
        )
    calls, tail = report["calls"], report["latency_ns"]
    lines += [
        "",
        f"one Python call an order: {calls['operations_per_second']:,}/s, the empty method "
        f"{calls['empty_method_operations_per_second']:,}/s, ratio {calls['ratio']:.2f}",
        "one call takes: " + ", ".join(f"{name} {value} ns" for name, value in tail.items()),
        f"memory: {shown(report['bytes_per_order'], '.1f')} bytes a resting order",
        f"allocations after warm-up: {shown(report['allocations_after_warm_up'])}",
        f"instructions an operation: {shown(report['instructions_per_operation'], '.0f')}",
        "",
    ]
    for told in report["shapes"]:
        lines.append(f"{told['shape']:40}{told['nanoseconds']:>8.1f} ns an operation{told['factor']:>6.2f} x")
    return "\n".join(lines)


def shown(value: float | None, form: str = "") -> str:
    return "not measured" if value is None else format(value, form)


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; the exit code is 1 where the baseline failed or the trades are wrong."""
    return run("book", "How fast is the order book?", measure, render, arguments)


if __name__ == "__main__":
    sys.exit(main())
