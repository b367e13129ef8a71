"""`jibek bench …`: the benchmarks of the package `bench`.

Each benchmark is a module that answers one question and takes `--smoke` and `--json`. It is started in a process
of its own, so what this command has imported weighs on no measurement.
"""

from __future__ import annotations

import subprocess
import sys

import click

HELP = {
    "book": """One order book, beside the yardstick or a reference book.

    \b
      jibek bench book --smoke
      jibek bench book --yardstick ../shared/yardstick --json
    """,
    "core": """The exchange core, with accounts, holds, fees and events, beside the same.

    \b
      jibek bench core --smoke
      jibek bench core --yardstick ../shared/yardstick --json
    """,
    "growth": """How an operation of the core grows with accounts, markets and orders.

    \b
      jibek bench growth --smoke
      jibek bench growth --json
    """,
    "price-index": """The index of prices in the book, beside others that it could have had.

    \b
      jibek bench price-index --smoke
      jibek bench price-index --yardstick ../shared/yardstick --json
    """,
    "end-to-end": """The way of an order, from socket to socket, beside a bare WebSocket server.

    \b
      jibek bench end-to-end --smoke
      jibek bench end-to-end --json
    """,
}


@click.group()
def bench() -> None:
    """Measure a part of the venue, beside what it is compared with.

    Each takes --smoke, a small size that only shows that it works, --json, and --help for the rest.

    \b
      jibek bench end-to-end
      jibek bench book --json
    """


def add_benchmark(name: str, help_text: str) -> None:
    """Adds a command that hands all its arguments to the benchmark, and ends with its exit code."""

    @bench.command(name, help=help_text, context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        command = [sys.executable, "-P", "-m", f"bench.{name.replace('-', '_')}", *arguments]
        sys.exit(subprocess.run(command, check=False).returncode)


for benchmark, text in HELP.items():
    add_benchmark(benchmark, text)
