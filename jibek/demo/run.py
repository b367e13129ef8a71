"""`jibek demo`: a venue with traders on it, a live view, and at the end the proof that its books balance."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import uvloop
from websockets.exceptions import WebSocketException

from engine.journal import Store, connect
from engine.process import EXIT_REFUSED
from jibek.client.trading import Credentials, TradingClient
from jibek.commands.account import PERMISSIONS, KeyAdder, open_account
from jibek.commands.ledger import print_reconciliation, print_trial_balance
from jibek.commands.market import fetch
from jibek.commands.venue import urls
from jibek.console.output import fail, find_venue, store_errors
from jibek.console.text import counted
from jibek.demo.traders import Game, Maker, Taker, Trader
from jibek.demo.view import MarketView, Moment, Rate, watch
from jibek.venue.directory import read_directory
from jibek.venue.launch import VenueOptions
from jibek.venue.offsets import read_positions
from jibek.venue.temporary_venue import free_port, launched_venue, temporary_folder
from ledger.reconciliation import reconcile
from ledger.reports import trial_balance, trial_totals
from ledger.snapshot import NotSettled, take_snapshot
from ledger.store import LedgerStore

# market     where its price begins   distance of two levels   a typical order
GAMES = (
    ("BTCKZT",  "45000000",           "5000",                  "0.002"),
    ("ETHKZT",  "1600000",            "300",                   "0.05"),
    ("USDTKZT", "505",                "0.05",                  "200"),
    ("BTCUSDT", "89000",              "10",                    "0.002"),
)  # fmt: skip
MAKERS = 2
TAKERS = 2
"""Of each, on each market, with an account and a key of its own."""
FUNDS_ORDERS = 20_000
"""What an account begins with: enough for so many typical orders on either side."""

DRAWS_PER_S = 4
LINES_PER_S = 1
SETTLE_WAIT_S = 60.0

REFUSALS_EXPLAINED = {"Unknown order sent.": "the order had just been filled"}
"""Why a trader of the demo gets an answer whose text does not say it."""


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="Stop after so many seconds instead of at Ctrl-C.")
@click.option(
    "--data", "data_dir", type=click.Path(file_okay=False, path_type=Path), help="Keep the venue's data here."
)
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on.  [default: a free one]")
@click.option("--engine", type=click.Choice(["compiled", "reference"]), default="compiled", show_default=True)
def demo(seconds: float | None, data_dir: Path | None, port: int | None, engine: str) -> None:
    """Run a whole venue with traders on it, and prove at the end that its books balance.

    Market makers and takers trade four markets over WebSockets with accounts and keys of their own. At the end, or on
    Ctrl-C, the ledger catches up; the trial balance and each check of the reconciliation are printed. The exit code is
    0 only if every check passed and something was traded.

    \b
      jibek demo
      jibek demo --seconds 20
      jibek demo --data ./demo-data --port 9443
    """
    with temporary_folder("demo") if data_dir is None else contextlib.nullcontext(data_dir) as folder:
        options = VenueOptions(folder, port=port or free_port(), engine=engine)
        with launched_venue(options):
            click.echo(f"The venue is up: {urls(options.host, options.port)['ws_api']} ({engine} engine).")
            client = connect(find_venue(folder).store)
            games, traders = set_up(options, client)
            views = {game.symbol: MarketView(game.symbol) for game in games}
            with store_errors():
                uvloop.run(play(options, client, games, traders, views, seconds))
                passed = prove(client)
        judge(games, views, passed)


# -- accounts, keys and traders


def set_up(options: VenueOptions, client: Store) -> tuple[list[Game], list[Trader]]:
    """The markets with their traders, each with an account, money and a key."""
    places = urls(options.host, options.port)
    rules = {market["symbol"]: market for market in fetch(f"{places['http']}/exchangeInfo")["symbols"]}
    games: list[Game] = []
    traders: list[Trader] = []
    for symbol, price, step, quantity in GAMES:
        game = Game(symbol, Decimal(price), Decimal(step), Decimal(quantity), *tick_and_lot(rules[symbol]))
        games.append(game)
        kinds: tuple[tuple[type[Trader], int], ...] = ((Maker, MAKERS), (Taker, TAKERS))
        for kind, count in kinds:
            for number in range(1, count + 1):
                name = f"{kind.__name__.lower()}-{symbol.lower()}-{number}"
                credentials = open_trading_account(client, options.data, name, game, signs_each=kind is Taker)
                traders.append(kind(game, TradingClient(places["ws_api"], credentials), seed=name))
    click.echo(f"{len(traders)} traders have accounts, money and keys.")
    return games, traders


def tick_and_lot(rules: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """Tick and lot of a market, from the filters that the venue publishes."""
    filters = {each["filterType"]: each for each in rules["filters"]}
    return Decimal(filters["PRICE_FILTER"]["tickSize"]), Decimal(filters["LOT_SIZE"]["stepSize"])


def open_trading_account(client: Store, data: Path, name: str, game: Game, *, signs_each: bool) -> Credentials:
    """An account with funds for its market, opened where it is missing, and a new key: hmac where the trader signs each
    request, else ed25519."""
    who, why = "demo", "a trader of the demo"
    directory = read_directory(client, data)
    if name not in directory.account_by_name:
        market = directory.listing.market_by_symbol[game.symbol]
        base = FUNDS_ORDERS * game.quantity
        funds = ((market.base, base), (market.quote, base * game.price))
        amounts = [(asset, int(amount.scaleb(asset.scale))) for asset, amount in funds]
        open_account(client, name, amounts, who=who, why=why)
        directory = read_directory(client, data)
    adder = KeyAdder(client, directory.account_by_name[name], PERMISSIONS["trade"], who, why)
    if signs_each:
        made = adder.hmac(data)
        return Credentials.hmac(made["key"], made["secret"])
    made = adder.ed25519(None)
    return Credentials.ed25519(made["key"], made["private_key"])


# -- the trading


async def play(
    options: VenueOptions,
    client: Store,
    games: list[Game],
    traders: list[Trader],
    views: dict[str, MarketView],
    seconds: float | None,
) -> None:
    """Lets the traders trade and shows it, for so many seconds or until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(follow(urls(options.host, options.port)["stream"], views, games))]
    tasks += [asyncio.create_task(game.walk(random.Random(game.symbol))) for game in games]
    trading = [asyncio.create_task(trader.run()) for trader in traders]
    tasks += trading
    # Traders end by themselves only when they are cut off; without any there is nothing left to show.
    asyncio.gather(*trading, return_exceptions=True).add_done_callback(lambda _: stop.set())
    try:
        with display() as (show, per_s):
            await show_until(stop, client, games, views, seconds, show, 1 / per_s)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def follow(url: str, views: dict[str, MarketView], games: list[Game]) -> None:
    """Watches the public streams; an end that nobody asked for is noted."""
    try:
        await watch(url, views)
    except (OSError, WebSocketException) as error:
        games[0].statistics.errors.append(f"the public streams: {error}")


async def show_until(
    stop: asyncio.Event,
    client: Store,
    games: list[Game],
    views: dict[str, MarketView],
    seconds: float | None,
    show: Callable[[Moment], None],
    interval_s: float,
) -> None:
    began_s = time.monotonic()
    rates = {game.symbol: Rate(began_s) for game in games}
    while not stop.is_set() and (seconds is None or time.monotonic() - began_s < seconds):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), interval_s)
        ledger = (await asyncio.to_thread(read_positions, client))[-1]
        now_s = time.monotonic()
        orders_per_s = {game.symbol: rates[game.symbol].note(now_s, game.statistics.orders) for game in games}
        show(Moment(now_s - began_s, games, views, orders_per_s, ledger.lag_entries))


@contextlib.contextmanager
def display() -> Iterator[tuple[Callable[[Moment], None], int]]:
    """How a moment is shown, and how often: drawn in place on a terminal, a line of text elsewhere."""
    if not sys.stdout.isatty():
        yield lambda moment: click.echo(moment.line()), LINES_PER_S
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda moment: live.update(moment.table(), refresh=True), DRAWS_PER_S


# -- the proof


def prove(client: Store) -> bool:
    """Waits until the ledger has caught up, prints trial balance and reconciliation; says whether all is right."""
    wait_until_settled(client)
    store = LedgerStore(client)
    try:
        snapshot = take_snapshot(store)
        result = reconcile(store)
    except NotSettled as error:
        fail(EXIT_REFUSED, f"The ledger has not caught up: {error}.")
    rows = trial_balance(snapshot)
    click.echo()
    print_trial_balance(snapshot.id, rows, store.names(()))
    click.echo()
    print_reconciliation(result)
    return result.passed and all(total.is_balanced() for total in trial_totals(rows))


def wait_until_settled(client: Store) -> None:
    """Waits until engine and settlement have done all that stands in the journal."""
    deadline = time.monotonic() + SETTLE_WAIT_S
    while any(position.lag_entries for position in read_positions(client)):
        if time.monotonic() > deadline:
            fail(EXIT_REFUSED, f"The ledger has not caught up within {SETTLE_WAIT_S:.0f} s.")
        time.sleep(0.02)


def judge(games: list[Game], views: dict[str, MarketView], passed: bool) -> None:
    """Says what came of it; fails with exit code 1 unless all is well."""
    orders = sum(game.statistics.orders for game in games)
    trades = sum(view.trades for view in views.values())
    refusals = sum((game.statistics.refusals for game in games), Counter[str]())
    errors = [error for game in games for error in game.statistics.errors]
    click.echo(f"\n{orders:,} orders were placed and {trades:,} trades made.")
    for message, count in refusals.most_common():
        reason = f" ({REFUSALS_EXPLAINED[message]})" if message in REFUSALS_EXPLAINED else ""
        click.echo(f"  {counted(count, 'time')} the answer was: {message}{reason}")
    if errors:
        fail(EXIT_REFUSED, f"Cut off: {counted(len(errors), 'trader')}; the first: {errors[0]}")
    if not trades:
        fail(EXIT_REFUSED, "Nothing was traded.")
    if not passed:
        fail(EXIT_REFUSED, "Not every check passed.")
    click.echo("Every check passed.")
