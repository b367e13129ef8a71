"""`jibek replay`: recorded order flow through a running venue, and the proof that the venue did what a book would do."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click
from click.core import ParameterSource

from engine.process import EXIT_REFUSED
from jibek.console.failure import fail
from jibek.console.options import data_option, json_option
from jibek.console.output import print_json
from jibek.replay.report import print_replay_report, replay_report_json
from jibek.replay.venue import replay_on_venue
from jibek.venue.temporary_venue import temporary_venue

IN_FLIGHT_DEFAULT = 512
IN_FLIGHT_MAX = 8192
"""The most that a gateway takes from one connection."""
ACCOUNTS_MAX = 1000


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--market", "symbol", required=True, metavar="SYMBOL", help="The market to replay it on.")
@click.option("--up", "own_venue", is_flag=True, help="Start a venue on a temporary folder, and stop it at the end.")
@click.option(
    "--accounts", type=click.IntRange(1, ACCOUNTS_MAX), default=8, show_default=True,
    help="Number of accounts that place the orders.",
)  # fmt: skip
@click.option(
    "--in-flight",
    type=click.IntRange(1, IN_FLIGHT_MAX),
    default=IN_FLIGHT_DEFAULT,
    show_default=True,
    help="Requests in flight at once.",
)
@data_option
@json_option
@click.pass_context
def replay(
    context: click.Context,
    file: Path,
    symbol: str,
    own_venue: bool,
    accounts: int,
    in_flight: int,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Send recorded order flow through a venue, and compare each trade.

    FILE is a CSV, plain or compressed with xz, in the format of docs/replay.md. Its orders and cancels go over one
    WebSocket connection in file order, signed by several new accounts. Then `engine.Book` executes the same commands:
    every trade must be the same. At the end all open orders are cancelled and the ledger is reconciled.

    The market's book must be empty at the beginning. The accounts stay in the venue, with their keys, deposits and
    trades; use --up to keep a venue clean.

    Exit codes: 0 every trade and every check is right, 1 one is wrong or the file cannot be replayed, 2 wrong usage,
    3 the venue cannot be reached.

    \b
      jibek replay examples/order-flow.csv --market BTCUSDT --up
      jibek replay recording.csv.xz --market BTCUSDT --accounts 20 --json
    """
    if own_venue and context.get_parameter_source("data_dir") == ParameterSource.COMMANDLINE:
        raise click.UsageError("--up starts a venue of its own: give either --up or --data.")
    with temporary_venue("replay") if own_venue else contextlib.nullcontext(data_dir) as folder:
        report = replay_on_venue(file, symbol, accounts, in_flight, folder)
        if as_json:
            print_json(replay_report_json(report))
        else:
            print_replay_report(report)
        if report.fault:
            fail(EXIT_REFUSED, report.fault)
