"""`jibek bench …`: the benchmarks of the folder `bench`, which stands beside the sources and is not installed with them.

Each benchmark is a module that answers one question and takes `--smoke` and `--json`. It is started in a process
of its own, so what this command has imported weighs on no measurement.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click

import jibek
from engine.process import EXIT_USAGE
from ledger.console import fail


class Benchmark(NamedTuple):
    """A module of the folder, and its line in the list of commands."""

    module: str
    help: str


ROOT = Path(jibek.__file__).resolve().parent.parent
BENCHMARKS = {
    "book": Benchmark("book", "One order book, beside the yardstick."),
    "core": Benchmark("core", "The exchange core: accounts, holds, fees, events."),
    "end-to-end": Benchmark("end_to_end", "The way of an order, beside a bare WebSocket server."),
}


class BenchGroup(click.Group):
    """The benchmarks whose scripts are there."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name, benchmark in BENCHMARKS.items() if script(benchmark.module).exists()]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in BENCHMARKS:
            return None
        benchmark = BENCHMARKS[name]
        return click.Command(
            name,
            params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
            callback=lambda arguments: run_benchmark(benchmark.module, arguments),
            help=benchmark.help,
            context_settings={"ignore_unknown_options": True, "help_option_names": []},
        )


@click.group(cls=BenchGroup)
def bench() -> None:
    """Measure a part of the venue, beside what it is compared with.

    Each takes --smoke, a small size that only shows that it works, and --json.

    \b
      jibek bench end-to-end
      jibek bench book --json
    """


def script(module: str) -> Path:
    """Where a benchmark is, if it is there."""
    return ROOT / "bench" / f"{module}.py"


def run_benchmark(module: str, arguments: tuple[str, ...]) -> None:
    """Runs a benchmark in a process of its own, and ends with its exit code."""
    if not script(module).exists():
        fail(EXIT_USAGE, f"{script(module)} is missing: the benchmarks are run from a clone of the repository.")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", f"bench.{module}", *arguments]
    sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode)
