"""A replay on a venue from its file to its report.

    read the plan → check market and book → open accounts → send the plan, cancel what is open → compare → reconcile

It sends nothing before every check has passed, and leaves no open order behind, however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvloop
from websockets.exceptions import WebSocketException

from engine.journal import Store
from engine.listing import Market
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.records import AMOUNT_MAX, MarketState
from jibek.client.rest import fetch
from jibek.client.trading import Credentials, RequestRefused
from jibek.console.failure import fail, store_errors
from jibek.console.live import progress_shown
from jibek.replay.check import UnmatchedFill, first_difference, outcomes_at_venue, outcomes_in_book, totals
from jibek.replay.plan import Plan, make_plan
from jibek.replay.recording import OrderFlowError, read_order_flow
from jibek.replay.report import ReplayReport
from jibek.replay.run import ReplayResult, cancel_open_orders, run_plan
from jibek.venue.accounts import open_trading_accounts
from jibek.venue.address import VenueAddress
from jibek.venue.directory import find_market, open_directory
from jibek.venue.offsets import NotCaughtUp, wait_until_settled
from ledger.reconciliation import Reconciliation, reconcile
from ledger.snapshot import NotSettled
from ledger.store import LedgerBroken, LedgerStore

CLEAN_UP_WAIT_S = 15.0
CLEAN_UP_RETRY_S = 0.2

VENUE_ERRORS = (OSError, WebSocketException)
"""The venue is away or went away; lost connections and timeouts are among them."""


def replay_on_venue(file: Path, symbol: str, accounts: int, in_flight: int, data_dir: Path) -> ReplayReport:
    """Replays a file on the venue that runs on a data folder.

    Args:
        symbol: the market; its book must be empty.
        accounts: how many new accounts place the orders in turn.
        in_flight: how many requests may be without a reply.

    Raises:
        Failure: exit code 1 if the file or the market is not fit for it, 3 if the venue cannot be reached.
    """
    address, client, directory = open_directory(data_dir)
    market = find_market(directory.listing, symbol)
    check_market_is_open(market, directory.listing.venue_state)
    plan = read_plan(file, market, accounts)
    check_book_is_empty(address, market)
    check_funds(plan)
    names = account_names(accounts)
    with store_errors():
        credentials = open_accounts(client, data_dir, plan, names)
    with venue_errors():
        result = uvloop.run(run_and_clean_up(address.urls["ws_api"], plan, names, credentials, in_flight))
    return compare(file, plan, names, result, reconcile_ledger(client))


# -- before it


def read_plan(file: Path, market: Market, accounts: int) -> Plan:
    """What the replay will do.

    Raises:
        Failure: exit code 1 if the file is not a recording, or has no order that the market takes.
    """
    try:
        plan = make_plan(read_order_flow(file), market, accounts)
    except (OrderFlowError, OSError) as error:
        fail(EXIT_REFUSED, f"{file}: {error}")
    if not plan.orders:
        fail(EXIT_REFUSED, f"{file} holds no order that {market.symbol} takes, in {plan.rows:,} rows.")
    return plan


def check_market_is_open(market: Market, venue_state: MarketState) -> None:
    """
    Raises:
        Failure: exit code 1 if the market or the venue is halted.
    """
    if MarketState.HALTED in (market.state, venue_state):
        fail(EXIT_REFUSED, f"{market.symbol} is halted: `jibek market resume` lets it trade again.")


def check_book_is_empty(address: VenueAddress, market: Market) -> None:
    """
    Raises:
        Failure: exit code 1 if the market has open orders.
    """
    depth = fetch(f"{address.urls['http']}/depth", symbol=market.symbol, limit="5000")
    bids, asks = len(depth["bids"]), len(depth["asks"])
    if bids or asks:
        fail(
            EXIT_REFUSED,
            f"The book of {market.symbol} is not empty: it has {bids:,} price levels bid and {asks:,} asked. With other "
            "people's orders in it, the trades cannot be compared with engine.Book, so nothing was sent; replay on an "
            "empty market, or with --up.",
        )


def check_funds(plan: Plan) -> None:
    """
    Raises:
        Failure: exit code 1 if the venue cannot hold as much money as the orders may need together.
    """
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


def account_names(count: int) -> list[str]:
    """Names that no earlier replay has used."""
    run = secrets.token_hex(4)
    return [f"replay-{run}-{number}" for number in range(1, count + 1)]


def open_accounts(client: Store, data_dir: Path, plan: Plan, names: list[str]) -> list[Credentials]:
    """Opens the accounts with all the funds that their orders may need, and gives each an hmac key."""
    deposits = {}
    for name, funds in zip(names, plan.funds, strict=True):
        wanted = ((plan.market.base, funds.base), (plan.market.quote, funds.quote))
        deposits[name] = [(asset, amount) for asset, amount in wanted if amount]
    why = f"recorded order flow on {plan.market.symbol}"
    keys = open_trading_accounts(client, data_dir, deposits, hmac=True, who="replay", why=why)
    return [Credentials.of_key(key) for key in keys]


# -- the replay itself


async def run_and_clean_up(
    url: str, plan: Plan, names: list[str], credentials: list[Credentials], in_flight: int
) -> ReplayResult:
    """Runs the plan; however that ends, it leaves no open order."""
    try:
        with progress_shown("replaying") as progress:
            return await run_plan(url, plan, credentials, in_flight, progress)
    finally:
        await clean_up(url, plan.market, names, credentials)


async def clean_up(url: str, market: Market, names: list[str], credentials: list[Credentials]) -> None:
    """Cancels the open orders. If the gateway is away, it waits a while for its restart.

    Raises:
        Failure: exit code 3 if orders may still be open.
    """
    deadline_s = time.monotonic() + CLEAN_UP_WAIT_S
    while True:
        try:
            await cancel_open_orders(url, market, credentials)
            return
        except VENUE_ERRORS as error:
            if time.monotonic() > deadline_s:
                fail(
                    EXIT_UNREACHABLE,
                    f"Orders of {names[0]} to {names[-1]} may still be open, because they could not be cancelled "
                    f"({error}): `jibek account freeze` cancels those of an account.",
                )
        await asyncio.sleep(CLEAN_UP_RETRY_S)


@contextlib.contextmanager
def venue_errors() -> Iterator[None]:
    """Turns what goes wrong on the connection into a failure with one sentence."""
    try:
        yield
    except RequestRefused as error:
        fail(EXIT_REFUSED, f"The venue did not let the replay begin: {error}.")
    except VENUE_ERRORS as error:
        fail(EXIT_UNREACHABLE, f"The venue went away during the replay ({error}), so nothing can be compared.")


# -- after it


def compare(
    file: Path, plan: Plan, names: list[str], result: ReplayResult, reconciliation: Reconciliation
) -> ReplayReport:
    """Compares what the venue did with `engine.Book`."""
    book, resting = outcomes_in_book(plan.commands)
    market = plan.market
    try:
        venue = outcomes_at_venue(plan.commands, result)
        difference = first_difference(plan, venue, book)
        venue_totals = totals(venue, market)
    except UnmatchedFill as error:
        difference, venue_totals = str(error), None
    return ReplayReport(
        file=file,
        plan=plan,
        accounts=names,
        seconds=result.seconds,
        refusals=Counter(str(refused) for refused in result.refusals.values()),
        venue=venue_totals,
        book=totals(book, market),
        resting=resting,
        difference=difference,
        reconciliation=reconciliation,
    )


def reconcile_ledger(client: Store) -> Reconciliation:
    """Waits until the ledger has caught up, and reconciles it.

    Raises:
        Failure: exit code 1 if the ledger does not catch up.
    """
    with store_errors():
        try:
            wait_until_settled(client)
            with progress_shown("reconciling") as progress:
                return reconcile(LedgerStore(client), progress=progress)
        except NotCaughtUp as error:
            fail(EXIT_REFUSED, f"The ledger cannot be reconciled: {error}.")
        except NotSettled as error:
            fail(EXIT_REFUSED, f"The ledger has not caught up: {error}.")
        except LedgerBroken as error:
            fail(EXIT_REFUSED, f"The ledger is broken: {error}.")
