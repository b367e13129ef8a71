"""A load test from its request to its report, on the venue of a data folder or on one that only its URL names.

find the market → choose prices and quantities → open accounts (or use the given key) → run → count fills and CPU
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.client.rest import fetch
from jibek.client.trading import Credentials
from jibek.console.failure import fail, store_errors
from jibek.console.live import live_view
from jibek.load.flow import Flow, Terms, TermsImpossible, make_terms
from jibek.load.report import LoadReport, progress_line, progress_table
from jibek.load.run import Load, LoadClient, LoadFailed, LoadResult, run_load
from jibek.load.venue import LoadedVenue


@dataclass(frozen=True)
class LoadRequest:
    """What to send, as the command line asks for it."""

    amount: Load
    symbol: str | None
    """None for the venue's first market."""
    price: Decimal | None
    """The price to trade around; None for what the book says."""
    clients: int
    mix: str
    """One of `flow.MIXES`."""
    reply: str
    """One of `flow.REPLIES`."""
    signature: str
    """`session`, `hmac` or `ed25519`."""

    def load_clients(self, terms: Terms, credentials: list[Credentials]) -> list[LoadClient]:
        """The clients, each with its own seed. If there are fewer keys than clients, they share them in turn."""
        run = secrets.token_hex(3)
        made = []
        for number in range(self.clients):
            key = credentials[number % len(credentials)]
            logs_on = self.signature == "session" and key.can_log_on
            flow = Flow(terms, self.mix, self.reply, f"{run}-{number}-", number, None if logs_on else key)
            made.append(LoadClient(flow, key, logs_on))
        return made

    def report(self, symbol: str, result: LoadResult, fills: int | None, cpu_s: dict[str, float]) -> LoadReport:
        in_flight = self.amount.in_flight if self.amount.rate is None else None
        return LoadReport(self.clients, in_flight, self.amount.rate, symbol, result, fills, cpu_s)


def load_local(data_dir: Path, request: LoadRequest) -> LoadReport:
    """Loads the venue that runs on a data folder, with accounts that it opens for that.

    Raises:
        Failure: exit code 1 if there is no such market, the price is impossible or the clients are too many, 3 if the venue cannot be reached.
    """
    with store_errors():
        venue = LoadedVenue.open(data_dir)
        venue.check_connections(request.clients)
        market = venue.market(request.symbol)
        rules = fetch(f"{venue.address.urls['http']}/exchangeInfo", symbol=market.symbol)["symbols"][0]
        terms = possible_terms(rules, request.price or venue.price(market.symbol))
        credentials = venue.open_accounts(request.clients, market, terms, hmac=request.signature == "hmac")
        before, cpu_before_s = venue.journal_end(), venue.cpu_seconds()
        clients = request.load_clients(terms, credentials)
        result = run_until_stopped(venue.ws_api, clients, request.amount, market.symbol)
        cpu_s = {name: after_s - cpu_before_s.get(name, 0.0) for name, after_s in venue.cpu_seconds().items()}
        fills = venue.trades_between(before, venue.journal_end(), market)
    return request.report(market.symbol, result, fills, cpu_s)


def load_remote(url: str, credentials: Credentials, request: LoadRequest) -> LoadReport:
    """Loads a venue of which only the URL is known, with a key of the caller's account.

    Raises:
        Failure: as `load_local`.
    """
    ws_api = url if url.endswith("/ws-api/v3") else f"{url.rstrip('/')}/ws-api/v3"
    symbols = fetch(f"{http_of(ws_api)}/exchangeInfo")["symbols"]
    rules = next((each for each in symbols if request.symbol in (None, each["symbol"])), None)
    if rules is None:
        fail(EXIT_REFUSED, f"No market is named {request.symbol}. See `jibek market list`.")
    terms = possible_terms(rules, request.price)
    clients = request.load_clients(terms, [credentials])
    result = run_until_stopped(ws_api, clients, request.amount, terms.symbol)
    return request.report(terms.symbol, result, None, {})


def run_until_stopped(url: str, clients: list[LoadClient], amount: Load, symbol: str) -> LoadResult:
    """Runs the load and shows how it goes; Ctrl-C ends it early.

    Raises:
        Failure: exit code 3 if it cannot begin.
    """

    async def run() -> LoadResult:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with live_view(progress_table, progress_line, stderr=True, transient=True) as (show, interval_s):
            return await run_load(url, clients, amount, symbol, stop=stop, show=show, show_s=interval_s)

    try:
        return uvloop.run(run())
    except LoadFailed as error:
        fail(EXIT_UNREACHABLE, f"{error}.")


def possible_terms(rules: dict[str, Any], price: Decimal | None) -> Terms:
    """
    Raises:
        Failure: exit code 1 if the market has no room for the load at this price.
    """
    try:
        return make_terms(rules, price)
    except TermsImpossible as error:
        fail(EXIT_REFUSED, f"{error}: choose another with --price.")


def http_of(ws_api: str) -> str:
    """
    >>> http_of("wss://venue.example:9443/ws-api/v3")
    'https://venue.example:9443/api/v3'
    """
    return ws_api.replace("ws", "http", 1).replace("/ws-api/v3", "/api/v3")
