"""Which index of prices suits an order book?

bench/price_index.cpp is one matching book that is compiled with each index in turn: orders, ids and events are the same, so
only the index differs. They run in alternating rounds, with the C++ baseline if you name its folder; the figures are
medians. Every run compares trades and checksum. The time excludes reading the file and the preload.

    python -m bench.price_index [--smoke] [--json] [--yardstick FOLDER]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.book import ROUNDS, make_workloads
from bench.command import run
from bench.workload import OPERATIONS, SMOKE_OPERATIONS, Workload, own_workload, write_file
from bench.yardstick import BaselineFailed, compile_program, compile_yardstick, run_yardstick

SOURCE = Path(__file__).with_name("price_index.cpp")
RUNS_A_ROUND = 5
# Where a search is long, each operation on a wide book takes microseconds.
WIDE_SHARE = 5

INDEXES = {
    "leaves": "leaves of 64 prices in a radix tree, behind a cache",
    "window": "fixed window of 32,768 ticks, two-level bitmap",
    "binary": "sorted vector, binary search",
    "linear": "sorted vector, linear search from the touch",
    "map": "std::map, orders keep iterators",
}
YARDSTICK = "yardstick"
OUTSIDE = "outside the window"

Contender = Callable[[Workload], float | None]
"""From a workload to nanoseconds an operation; None where its prices are outside the window."""


def measure(*, smoke: bool = False, yardstick: Path | None = None) -> dict[str, Any]:
    """Nanoseconds an operation for each index on each workload.

    Args:
        smoke: a small size that ends within seconds and shows only that everything runs.
        yardstick: the folder of the C++ baseline, which then runs too and makes W1 and W2.

    Raises:
        BaselineFailed: a program cannot be built, or its trades are not those of the workload.
    """
    operations, rounds, runs = (SMOKE_OPERATIONS, 1, 1) if smoke else (OPERATIONS, ROUNDS, RUNS_A_ROUND)
    with tempfile.TemporaryDirectory(prefix="jibek-bench-") as folder:
        cache = Path(folder)
        contenders = make_contenders(yardstick, cache, runs)
        workloads = [*make_workloads(operations, yardstick, cache), own_workload("wide", operations // WIDE_SHARE)]
        for workload in workloads:
            if workload.file is None:
                write_file(workload, cache / f"{workload.name}.bin")
        figures = [figure for workload in workloads for figure in compare(workload, contenders, rounds)]
    return {
        "benchmark": "price-index",
        "smoke": smoke,
        "workloads": [
            {"name": workload.name, "trades": workload.trades, "checksum": workload.checksum} for workload in workloads
        ],
        "figures": figures,
    }


def make_contenders(yardstick: Path | None, cache: Path, runs: int) -> dict[str, Contender]:
    """The indexes by name, and after them the C++ baseline."""
    program = compile_program(SOURCE, cache)
    contenders: dict[str, Contender] = {index: partial(run_index, program, index, runs) for index in INDEXES}
    if yardstick is not None:
        contenders[YARDSTICK] = partial(run_bare_book, compile_yardstick(yardstick, cache))
    return contenders


def compare(workload: Workload, contenders: dict[str, Contender], rounds: int) -> list[dict[str, Any]]:
    """One figure for each contender on a workload."""
    taken: dict[str, list[float | None]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            taken[name].append(contender(workload))
    return [figure_of(name, workload, times) for name, times in taken.items()]


def figure_of(name: str, workload: Workload, times: list[float | None]) -> dict[str, Any]:
    """The median of the rounds, and the fastest; a remark in place of both where the prices are outside the window."""
    inside = [time for time in times if time is not None]
    return {
        "name": name,
        "workload": workload.name,
        "nanoseconds": round(statistics.median(inside), 1) if inside else None,
        "nanoseconds_min": round(min(inside), 1) if inside else None,
        "remark": None if inside else OUTSIDE,
    }


def run_index(program: Path, index: str, runs: int, workload: Workload) -> float | None:
    """Nanoseconds an operation with an index: the median of the runs in one process.

    Raises:
        BaselineFailed: its trades are not those of the workload.
    """
    command = [str(program), str(workload.file), index, str(runs)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    told = [json.loads(line) for line in lines]
    if told[0].get("outside"):
        return None
    for run_told in told:
        if (run_told["trades"], run_told["checksum"]) != (workload.trades, workload.checksum):
            raise BaselineFailed(
                f"{workload.name} with {index}: {run_told['trades']} trades with checksum {run_told['checksum']}, "
                f"not {workload.trades} with {workload.checksum}"
            )
    return float(statistics.median(run_told["nanoseconds"] for run_told in told))


def run_bare_book(program: Path, workload: Workload) -> float | None:
    """Nanoseconds an operation of the C++ baseline, whose window fits only W1 and W2."""
    if workload.name == "wide":
        return None
    return run_yardstick(program, workload) / len(workload.operations) * 1e9


def render(report: dict[str, Any]) -> str:
    """The figures for people: a row for each index, a column for each workload."""
    names = [workload["name"] for workload in report["workloads"]]
    rows: dict[str, list[str]] = {}
    for figure in report["figures"]:
        cell = figure["remark"] or f"{figure['nanoseconds']:.1f}"
        rows.setdefault(figure["name"], []).append(cell)
    lines = [f"{'nanoseconds an operation':54}" + "".join(f"{name:>20}" for name in names)]
    for name, cells in rows.items():
        lines.append(f"{INDEXES.get(name, name):54}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Runs the benchmark; the exit code is 1 where a program cannot be built or its trades are wrong."""
    return run("price_index", "Which index of prices suits an order book?", measure, render, arguments)


if __name__ == "__main__":
    sys.exit(main())
