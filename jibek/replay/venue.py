"""`jibek replay`: recorded order flow through a running venue, and the proof that the venue did what a book would do."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import uvloop
from click.core import ParameterSource
from websockets.exceptions import WebSocketException

from engine.journal import Store
from engine.listing import Asset, Market
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.records import AMOUNT_MAX, MarketState
from jibek.client.trading import Credentials, RequestRefused
from jibek.commands.account import PERMISSIONS, KeyAdder, open_account, open_directory
from jibek.commands.ledger import progress_shown
from jibek.commands.market import fetch, find_market
from jibek.commands.venue import urls
from jibek.console.output import VenueAddress, data_option, fail, json_option, print_json, store_errors
from jibek.replay.check import UnmatchedFill, first_difference, outcomes_at_venue, outcomes_in_book, totals
from jibek.replay.plan import Plan, make_plan
from jibek.replay.recording import OrderFlowError, read_order_flow
from jibek.replay.report import Report, print_report, report_json
from jibek.replay.run import Played, cancel_what_rests, play
from jibek.venue.directory import read_directory
from jibek.venue.offsets import read_positions
from jibek.venue.temporary_venue import temporary_venue
from ledger.reconciliation import Reconciliation, reconcile
from ledger.snapshot import NotSettled
from ledger.store import LedgerStore

IN_FLIGHT_DEFAULT = 512
IN_FLIGHT_MAX = 8192
"""More than that a gateway takes from no connection."""
ACCOUNTS_MAX = 1000
SETTLE_WAIT_S = 60.0
CLEAN_UP_WAIT_S = 15.0
CLEAN_UP_RETRY_S = 0.2

VENUE_ERRORS = (OSError, WebSocketException)
"""The venue is away, or went away; lost connections and timeouts are among them."""


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--market", "symbol", required=True, metavar="SYMBOL", help="The market to replay it on.")
@click.option("--up", "own_venue", is_flag=True, help="Start a venue on a temporary folder, and stop it at the end.")
@click.option("--accounts", type=click.IntRange(1, ACCOUNTS_MAX), default=8, show_default=True, help="Who trades.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, IN_FLIGHT_MAX),
    default=IN_FLIGHT_DEFAULT,
    show_default=True,
    help="Requests on their way at once.",
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
    """Send recorded order flow through a venue, and prove that it did what a book would do.

    FILE is a CSV, plain or compressed with xz, in the format of docs/replay.md. Its orders and cancels go over one
    WebSocket connection in file order, signed by several new accounts. The same commands are then carried out by
    `engine.Book`; every trade must be the same. At the end what rests is cancelled and the ledger is reconciled.

    The market's book must be empty at the beginning. The exit code is 0 only if every trade and every check is right.

    \b
      jibek replay examples/order-flow.csv --market BTCUSDT --up
      jibek replay recording.csv.xz --market BTCUSDT --accounts 20 --json
    """
    if own_venue and context.get_parameter_source("data_dir") == ParameterSource.COMMANDLINE:
        raise click.UsageError("--up starts a venue of its own: say either --up or --data.")
    with temporary_venue("replay") if own_venue else contextlib.nullcontext(data_dir) as folder:
        report = _replay(file, symbol, accounts, in_flight, folder)
        if as_json:
            print_json(report_json(report))
        else:
            print_report(report)
        if report.fault:
            fail(EXIT_REFUSED, report.fault)


def _replay(file: Path, symbol: str, accounts: int, in_flight: int, data_dir: Path) -> Report:
    address, client, directory = open_directory(data_dir)
    market = find_market(directory.listing, symbol)
    check_market_is_open(market, directory.listing.venue_state)
    plan = read_plan(file, market, accounts)
    ws_api = urls(address.host, address.port)["ws_api"]
    check_book_is_empty(address, market)
    names = account_names(accounts)
    with store_errors():
        credentials = open_accounts(client, data_dir, plan, names)
    with venue_errors():
        played = uvloop.run(play_and_clean_up(ws_api, plan, names, credentials, in_flight))
    return judge(file, plan, names, played, reconcile_ledger(client))


# -- before it


def read_plan(file: Path, market: Market, accounts: int) -> Plan:
    """What the replay will do. Fails with exit code 1 where the file is no recording or holds nothing to do."""
    try:
        plan = make_plan(read_order_flow(file), market, accounts)
    except (OrderFlowError, OSError) as error:
        fail(EXIT_REFUSED, f"{file}: {error}")
    if not plan.orders:
        fail(EXIT_REFUSED, f"{file} holds no order that {market.symbol} takes, in {plan.rows:,} rows.")
    return plan


def check_market_is_open(market: Market, venue_state: MarketState) -> None:
    if MarketState.HALTED in (market.state, venue_state):
        fail(EXIT_REFUSED, f"{market.symbol} is halted: `jibek market resume` lets it trade again.")


def check_book_is_empty(address: VenueAddress, market: Market) -> None:
    """Fails with exit code 1 where somebody's orders rest in the market."""
    depth = fetch(f"{urls(address.host, address.port)['http']}/depth?symbol={market.symbol}&limit=5000")
    bids, asks = len(depth["bids"]), len(depth["asks"])
    if bids or asks:
        fail(
            EXIT_REFUSED,
            f"The book of {market.symbol} is not empty: it has {bids:,} price levels bid and {asks:,} asked. What other "
            "people's orders trade cannot be compared with what engine.Book makes of the recording, so nothing was sent; "
            "replay on an empty market, or with --up.",
        )


def account_names(count: int) -> list[str]:
    """Names that no earlier replay has used."""
    run = secrets.token_hex(4)
    return [f"replay-{run}-{number}" for number in range(1, count + 1)]


def open_accounts(client: Store, data_dir: Path, plan: Plan, names: list[str]) -> list[Credentials]:
    """Opens the accounts, with all that their orders can need paid in, and gives each an hmac key."""
    who, why = "replay", f"recorded order flow on {plan.market.symbol}"
    check_funds(plan)
    for name, funds in zip(names, plan.funds, strict=True):
        wanted: list[tuple[Asset, int]] = [(plan.market.base, funds.base), (plan.market.quote, funds.quote)]
        deposits = [(asset, amount) for asset, amount in wanted if amount]
        open_account(client, name, deposits, who=who, why=why)
    opened = read_directory(client, data_dir).account_by_name
    credentials = []
    for name in names:
        made = KeyAdder(client, opened[name], PERMISSIONS["trade"], who, why).hmac(data_dir)
        credentials.append(Credentials.hmac(made["key"], made["secret"]))
    return credentials


def check_funds(plan: Plan) -> None:
    """Fails with exit code 1 where the venue cannot hold as much money as the orders can need together."""
    for asset, amount in (
        (plan.market.base, sum(funds.base for funds in plan.funds)),
        (plan.market.quote, sum(funds.quote for funds in plan.funds)),
    ):
        if amount > AMOUNT_MAX:
            fail(
                EXIT_REFUSED,
                f"All orders together are worth {asset.format(amount)} {asset.name}, more than the venue can hold "
                f"({asset.format(AMOUNT_MAX)}): replay the file in parts.",
            )


# -- the replay itself


async def play_and_clean_up(
    url: str, plan: Plan, names: list[str], credentials: list[Credentials], in_flight: int
) -> Played:
    """Plays the plan; however that ends, nothing of it is left in the book."""
    try:
        with progress_shown("replaying") as progress:
            return await play(url, plan, credentials, in_flight, progress)
    finally:
        await clean_up(url, plan.market, names, credentials)


async def clean_up(url: str, market: Market, names: list[str], credentials: list[Credentials]) -> None:
    """Cancels what rests. Where the gateway is away, it is given a while to be started again."""
    deadline_s = time.monotonic() + CLEAN_UP_WAIT_S
    while True:
        try:
            await cancel_what_rests(url, market, credentials)
            return
        except VENUE_ERRORS as error:
            if time.monotonic() > deadline_s:
                fail(
                    EXIT_UNREACHABLE,
                    f"Orders of {names[0]} to {names[-1]} may still rest, because they could not be cancelled "
                    f"({error}): `jibek account freeze` cancels those of an account.",
                )
        await asyncio.sleep(CLEAN_UP_RETRY_S)


@contextlib.contextmanager
def venue_errors() -> Iterator[None]:
    """Turns what may go wrong on the connection into a failure with one sentence."""
    try:
        yield
    except RequestRefused as error:
        fail(EXIT_REFUSED, f"The venue did not let the replay begin: {error}.")
    except VENUE_ERRORS as error:
        fail(EXIT_UNREACHABLE, f"The venue went away during the replay ({error}), so nothing can be compared.")


# -- after it


def judge(file: Path, plan: Plan, names: list[str], played: Played, reconciliation: Reconciliation) -> Report:
    """Compares the venue with `engine.Book` and says what is wrong, if anything is."""
    book, resting = outcomes_in_book(plan.commands)
    market = plan.market
    try:
        venue = outcomes_at_venue(plan.commands, played)
        difference = first_difference(plan, venue, book)
        venue_totals = totals(venue, market)
    except UnmatchedFill as error:
        difference, venue_totals = str(error), None
    return Report(
        file=file,
        plan=plan,
        accounts=names,
        seconds=played.seconds,
        refusals=Counter(str(refused) for refused in played.refusals.values()),
        venue=venue_totals,
        book=totals(book, market),
        resting=resting,
        difference=difference,
        reconciliation=reconciliation,
    )


def reconcile_ledger(client: Store) -> Reconciliation:
    """Waits until the ledger has all that happened, and proves that it is right."""
    with store_errors():
        wait_until_settled(client)
        try:
            with progress_shown("reconciling") as progress:
                return reconcile(LedgerStore(client), progress=progress)
        except NotSettled as error:
            fail(EXIT_REFUSED, f"The ledger has not caught up: {error}.")


def wait_until_settled(client: Store) -> None:
    """Waits until engine and settlement have done all that stands in the journal."""
    deadline_s = time.monotonic() + SETTLE_WAIT_S
    while any(position.lag_entries for position in read_positions(client)):
        if time.monotonic() > deadline_s:
            fail(EXIT_REFUSED, f"The ledger has not caught up within {SETTLE_WAIT_S:.0f} s.")
        time.sleep(0.02)
