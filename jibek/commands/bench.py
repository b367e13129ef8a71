"""`jibek bench …`: the benchmarks of the package `bench`.

Each benchmark is a module that answers one question and takes `--smoke` and `--json`. It runs in a process of its own, so
that the imports of this command do not distort a measurement.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import NamedTuple

import click

from engine.process import EXIT_REFUSED
from jibek.console.failure import fail


class Benchmark(NamedTuple):
    """A benchmark and its help text."""

    needs_numpy: bool
    help: str


BENCHMARKS = {
    "book": Benchmark(True, """The order book, compared with a baseline.

    The baseline is a simple book in Python; with --yardstick, a bare book in C++, which needs g++.

    \b
      jibek bench book --smoke
      jibek bench book --yardstick ../shared/yardstick --json
    """),
    "core": Benchmark(True, """The exchange core, compared with a baseline.

    It measures the book with accounts, holds, fees and events. The baselines are those of `jibek bench book`.

    \b
      jibek bench core --smoke
      jibek bench core --yardstick ../shared/yardstick --json
    """),
    "growth": Benchmark(True, """How an operation's cost grows with the venue.

    It measures the core with more and more accounts, markets and orders.

    \b
      jibek bench growth --smoke
      jibek bench growth --json
    """),
    "price-index": Benchmark(True, """The book's price index, compared with alternatives.

    All of them are in C++ and need g++; with --yardstick the C++ baseline runs as well.

    \b
      jibek bench price-index --smoke
      jibek bench price-index --yardstick ../shared/yardstick --json
    """),
    "end-to-end": Benchmark(False, """A whole venue, compared with a bare WebSocket server.

    It measures orders from socket to socket: throughput, CPU and latency.

    \b
      jibek bench end-to-end --smoke
      jibek bench end-to-end --json
    """),
    "fairness": Benchmark(False, """A quiet client among hostile ones.

    It measures how long pings and orders of a quiet client take while others flood the venue. The exit code is 4 if
    that is longer than the goals allow; with --smoke the goals are not judged.

    \b
      jibek bench fairness --smoke
      jibek bench fairness --flood pings --seconds 10 --json
    """),
}  # fmt: skip


@click.group()
def bench() -> None:
    """Measure one part of the venue against a baseline.

    Each benchmark takes --smoke, a small size that only shows that it works, --json, and --help for its other options.
    The exit code is 1 if something that it needs is missing, or if the trades are wrong.

    \b
      jibek bench end-to-end
      jibek bench book --json
    """


def add_benchmark(name: str, benchmark: Benchmark) -> None:
    """Adds a command that hands all its arguments to the benchmark, and ends with its exit code."""

    @bench.command(
        name, help=benchmark.help, context_settings={"ignore_unknown_options": True, "help_option_names": []}
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        if benchmark.needs_numpy and importlib.util.find_spec("numpy") is None:
            fail(
                EXIT_REFUSED,
                f"jibek bench {name} needs NumPy: run `make build` in a clone, elsewhere `pip install numpy`.",
            )
        command = [sys.executable, "-P", "-m", f"bench.{name.replace('-', '_')}", *arguments]
        sys.exit(subprocess.run(command, check=False).returncode)


for each_name, each_benchmark in BENCHMARKS.items():
    add_benchmark(each_name, each_benchmark)
