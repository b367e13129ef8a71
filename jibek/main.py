"""The `jibek` command. A subcommand is imported only when it runs, so that `jibek --help` is fast."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import click

from jibek.console.printable import argument_fault, excerpt


class Subcommand(NamedTuple):
    """A subcommand by the place of its function, and its line in the list of commands."""

    place: str
    """`module:function`."""
    help: str


SUBCOMMANDS = {
    "up": Subcommand("jibek.commands.up:up", "Start a venue, and watch its processes."),
    "down": Subcommand("jibek.commands.down:down", "Stop a venue in order."),
    "status": Subcommand("jibek.commands.status:status", "Show a venue's processes, progress and memory."),
    "logs": Subcommand("jibek.commands.logs:logs", "Print the logs of a venue's processes."),
    "reset": Subcommand("jibek.commands.down:reset", "Delete a venue's data folder."),
    "demo": Subcommand(
        "jibek.commands.demo:demo", "Run a venue with traders on it, then prove that its books balance."
    ),
    "replay": Subcommand(
        "jibek.commands.replay:replay", "Send recorded order flow through a venue, and compare each trade."
    ),
    "load": Subcommand("jibek.commands.load:load", "Load-test a venue: throughput, latency, CPU."),
    "bench": Subcommand("jibek.commands.bench:bench", "Measure one part of the venue against a baseline."),
    "account": Subcommand(
        "jibek.commands.account:account", "Open accounts, give them API keys, freeze and unfreeze them."
    ),
    "limits": Subcommand(
        "jibek.commands.limits:limits", "List, show and set the tiers, which say how much an account may ask for."
    ),
    "market": Subcommand(
        "jibek.commands.market:market", "List and show markets, show their books, halt and resume them."
    ),
    "clock": Subcommand(
        "jibek.commands.clock:clock", "Compare the venue's clocks, and accept them as they are after a halt."
    ),
    "audit": Subcommand("jibek.commands.audit:audit", "Show who did what, when and why, from the verified journal."),
    "ledger": Subcommand(
        "jibek.commands.ledger:ledger", "Inspect the ledger, reconcile or rebuild it, deposit and withdraw."
    ),
}


SILENT = ("up", "down", "reset")
"""What prints no data, and needs no standard output."""


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports one only when it runs."""

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        *,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        from jibek.console.standard_streams import run

        words = sys.argv[1:] if args is None else list(args)
        sys.exit(
            run(
                lambda: super(LazyGroup, self).main(words, prog_name, standalone_mode=False, **extra),
                needs_output=not words or words[0] not in SILENT,
            )
        )

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        for fault in filter(None, map(argument_fault, args)):
            raise click.UsageError(f"an argument {fault}.", context)
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
        from engine.process.private_files import UnsafePath
        from jibek.console.failure import EXECUTED, fail

        try:
            return super().invoke(context)
        except UnsafePath as error:
            fail(EXIT_REFUSED, str(error))
        except KeyboardInterrupt:
            # An interruption that reads like a refusal would have a change made twice.
            if context.meta.get(EXECUTED):
                fail(EXIT_UNREACHABLE, "Interrupted, but the change was executed: `jibek audit` shows it.")
            raise

    def list_commands(self, context: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in SUBCOMMANDS:
            return None
        module, attribute = SUBCOMMANDS[name].place.split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in SUBCOMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], SUBCOMMANDS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            context.fail(f"No such command '{excerpt(args[0])}'.{hint}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, subcommand.help) for name, subcommand in SUBCOMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jibek", prog_name="jibek")
def main() -> None:
    """Jibek, an exchange core: an order book behind a WebSocket gateway, journalled and settled on disk.

    \b
      jibek demo --seconds 20      see it work
      jibek up                     run a venue in ./jibek-data
      jibek account create alice --deposit KZT=500000000 --why "first client"
      jibek ledger reconcile       prove that its books balance

    Exit codes: 0 good, 1 a check failed or the request was refused, 2 wrong usage, 3 the venue or its store cannot be reached.
    """
    from engine.process.private_files import PRIVATE_UMASK

    os.umask(PRIVATE_UMASK)
