"""A demo from the start of its venue to the proof that the books balance.

accounts and keys for the traders → trading, shown live → the ledger catches up → trial balance, reconciliation
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop
from websockets.exceptions import WebSocketException

from engine.journal import Store, connect
from engine.listing import Asset, Market
from engine.process import EXIT_REFUSED
from jibek.client.rest import fetch
from jibek.client.trading import Credentials, TradingClient
from jibek.console.books import (
    print_reconciliation,
    print_trial_balance,
    reconciliation_json,
    trial_balance_json,
)
from jibek.console.failure import fail, store_errors
from jibek.console.live import live_view
from jibek.console.output import print_json, print_line
from jibek.console.text import counted
from jibek.demo.traders import DemoMarket, Maker, Taker, Trader
from jibek.demo.view import DemoSnapshot, MarketView, Rate, watch
from jibek.venue.accounts import open_trading_accounts
from jibek.venue.address import VenueAddress, find_venue
from jibek.venue.directory import find_market, read_directory, read_names
from jibek.venue.launch import VenueOptions
from jibek.venue.offsets import NotCaughtUp, read_offsets, wait_until_settled
from jibek.venue.temporary_venue import launched_venue
from ledger.names import Names
from ledger.reconciliation import Reconciliation, reconcile
from ledger.reports import TrialRow, trial_balance, trial_totals
from ledger.snapshot import NotSettled, Snapshot, take_snapshot
from ledger.store import LedgerBroken, LedgerStore

# market     first fair price   distance of two levels   a typical order
MARKETS = (
    ("BTCKZT",  "45000000",      "5000",                  "0.002"),
    ("ETHKZT",  "1600000",       "300",                   "0.05"),
    ("USDTKZT", "505",           "0.05",                  "200"),
    ("BTCUSDT", "89000",         "10",                    "0.002"),
)  # fmt: skip
TRADERS: tuple[tuple[type[Trader], int], ...] = ((Maker, 2), (Taker, 2))
"""How many of each kind trade on each market."""
FUNDS_ORDERS = 20_000
"""An account begins with the funds of so many typical orders on either side."""

REFUSALS_EXPLAINED = {"Unknown order sent.": "the order had just been filled"}
"""Why a trader of the demo gets a reply whose text does not explain it."""


@dataclass
class Demo:
    """The markets of a demo, with their traders and what the public streams have shown of them."""

    address: VenueAddress
    client: Store
    markets: list[DemoMarket]
    traders: list[Trader]
    views: dict[str, MarketView]


@dataclass(frozen=True)
class Proof:
    """What the ledger says once it has caught up."""

    snapshot: Snapshot
    rows: list[TrialRow]
    names: Names
    reconciliation: Reconciliation

    @property
    def passed(self) -> bool:
        return self.reconciliation.passed and all(total.is_balanced() for total in trial_totals(self.rows))


def run_demo(options: VenueOptions, seconds: float | None, *, as_json: bool) -> None:
    """Runs a demo and prints its result.

    Args:
        options: of the venue to start.
        seconds: how long to trade; None until SIGINT or SIGTERM.
        as_json: prints the result as one JSON value, and everything else on standard error.

    Raises:
        Failure: exit code 1 if a check failed, a trader was cut off or nothing was traded; else as `jibek up`.
    """
    with launched_venue(options):
        address = find_venue(options.data)
        print_line(f"The venue is up: {address.urls['ws_api']} ({options.engine} engine).", err=as_json)
        with store_errors():
            demo = set_up(address)
            print_line(f"{len(demo.traders)} traders have accounts, money and keys.", err=as_json)
            uvloop.run(trade(demo, seconds, stderr=as_json))
            proof = prove(demo.client, options.data)
    if as_json:
        print_json(result_json(demo, proof))
    else:
        print_result(demo, proof)
    check_result(demo, proof)
    if not as_json:
        print_line("Every check passed.")


# -- accounts, keys and traders


def set_up(address: VenueAddress) -> Demo:
    """The markets with their traders, each with an account, money and a key."""
    client = connect(address.store)
    rules = {market["symbol"]: market for market in fetch(f"{address.urls['http']}/exchangeInfo")["symbols"]}
    demo = Demo(address, client, [], [], {})
    listing = read_directory(client, address.data_dir).listing
    for symbol, price, step, quantity in MARKETS:
        tick, lot = tick_and_lot(rules[symbol])
        market = DemoMarket(symbol, Decimal(price), Decimal(step), Decimal(quantity), tick, lot)
        demo.markets.append(market)
        demo.views[symbol] = MarketView(symbol)
        for kind, count in TRADERS:
            demo.traders += make_traders(demo, market, find_market(listing, symbol), kind, count)
    return demo


def tick_and_lot(rules: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """Tick and lot of a market, from the filters in exchangeInfo."""
    filters = {each["filterType"]: each for each in rules["filters"]}
    return Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"])


def make_traders(demo: Demo, market: DemoMarket, listed: Market, kind: type[Trader], count: int) -> list[Trader]:
    """Traders of one kind on one market. Accounts that exist from an earlier demo on the same data are used again."""
    names = [f"{kind.__name__.lower()}-{market.symbol.lower()}-{number}" for number in range(1, count + 1)]
    funds = funds_of(market, listed)
    keys = open_trading_accounts(
        demo.client,
        demo.address.data_dir,
        dict.fromkeys(names, funds),
        hmac=kind.signs_each_request,
        who="demo",
        why="a trader of the demo",
    )
    url = demo.address.urls["ws_api"]
    clients = [TradingClient(url, Credentials.of_key(key)) for key in keys]
    return [kind(market, client, seed=name) for name, client in zip(names, clients, strict=True)]


def funds_of(market: DemoMarket, listed: Market) -> list[tuple[Asset, int]]:
    """What a trader begins with, in smallest units of both assets."""
    base = FUNDS_ORDERS * market.quantity
    amounts = ((listed.base, base), (listed.quote, base * market.price))
    return [(asset, int(amount.scaleb(asset.scale))) for asset, amount in amounts]


# -- the trading


async def trade(demo: Demo, seconds: float | None, *, stderr: bool) -> None:
    """Lets the traders trade and shows it, for so many seconds or until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(follow(demo))]
    tasks += [asyncio.create_task(market.walk(random.Random(market.symbol))) for market in demo.markets]
    trading = [asyncio.create_task(trader.run()) for trader in demo.traders]
    tasks += trading
    # A trader ends by itself only if it is cut off; without traders the demo is over.
    asyncio.gather(*trading, return_exceptions=True).add_done_callback(lambda _: stop.set())
    try:
        with live_view(DemoSnapshot.table, DemoSnapshot.line, stderr=stderr, transient=False) as (show, interval_s):
            await show_until(stop, demo, seconds, show, interval_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def follow(demo: Demo) -> None:
    """Follows the public streams; if they end before the demo does, that is an error."""
    try:
        await watch(demo.address.urls["stream"], demo.views)
    except (OSError, WebSocketException) as error:
        demo.markets[0].statistics.errors.append(f"the public streams: {error}")


async def show_until(
    stop: asyncio.Event, demo: Demo, seconds: float | None, show: Callable[[DemoSnapshot], None], interval_s: float
) -> None:
    began_s = time.monotonic()
    rates = {market.symbol: Rate(began_s) for market in demo.markets}
    while not stop.is_set() and (seconds is None or time.monotonic() - began_s < seconds):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), interval_s)
        ledger = (await asyncio.to_thread(read_offsets, demo.client))[-1]
        now_s = time.monotonic()
        orders_per_s = {
            market.symbol: rates[market.symbol].note(now_s, market.statistics.orders) for market in demo.markets
        }
        show(DemoSnapshot(now_s - began_s, demo.markets, demo.views, orders_per_s, ledger.lag_entries))


# -- the proof


def prove(client: Store, data_dir: Path) -> Proof:
    """Waits until the ledger has caught up, then takes the trial balance and reconciles.

    Raises:
        Failure: exit code 1 if the ledger does not catch up.
    """
    store = LedgerStore(client)
    try:
        wait_until_settled(client)
        snapshot = take_snapshot(store)
        return Proof(snapshot, trial_balance(snapshot), read_names(client, data_dir), reconcile(store))
    except NotCaughtUp as error:
        fail(EXIT_REFUSED, f"The proof is impossible: {error}.")
    except NotSettled as error:
        fail(EXIT_REFUSED, f"The ledger has not caught up: {error}.")
    except LedgerBroken as error:
        fail(EXIT_REFUSED, f"The ledger is broken: {error}.")


def result_json(demo: Demo, proof: Proof) -> dict[str, Any]:
    """The result as one JSON value."""
    return {
        "passed": proof.passed,
        "orders": orders_of(demo),
        "trades": trades_of(demo),
        "refusals": dict(refusals_of(demo).most_common()),
        "errors": errors_of(demo),
        "trial_balance": trial_balance_json(proof.snapshot.id, proof.rows, proof.names),
        "reconciliation": reconciliation_json(proof.reconciliation),
    }


def print_result(demo: Demo, proof: Proof) -> None:
    print_line()
    print_trial_balance(proof.snapshot.id, proof.rows, proof.names)
    print_line()
    print_reconciliation(proof.reconciliation)
    print_line()
    print_line(f"{orders_of(demo):,} orders were placed and {trades_of(demo):,} trades made.")
    for message, count in refusals_of(demo).most_common():
        reason = f" ({REFUSALS_EXPLAINED[message]})" if message in REFUSALS_EXPLAINED else ""
        print_line(f"  {counted(count, 'request')} refused: {message}{reason}")


def check_result(demo: Demo, proof: Proof) -> None:
    """
    Raises:
        Failure: exit code 1 if a trader was cut off, nothing was traded, or a check failed.
    """
    if errors := errors_of(demo):
        fail(EXIT_REFUSED, f"Cut off: {counted(len(errors), 'trader')}; the first: {errors[0]}")
    if not trades_of(demo):
        fail(EXIT_REFUSED, "Nothing was traded.")
    if not proof.passed:
        fail(EXIT_REFUSED, "Not every check passed.")


def orders_of(demo: Demo) -> int:
    return sum(market.statistics.orders for market in demo.markets)


def trades_of(demo: Demo) -> int:
    return sum(view.trades for view in demo.views.values())


def refusals_of(demo: Demo) -> Counter[str]:
    return sum((market.statistics.refusals for market in demo.markets), Counter[str]())


def errors_of(demo: Demo) -> list[str]:
    return [error for market in demo.markets for error in market.statistics.errors]
