"""`jibek load`: as many orders as a venue takes, or as many a second as are asked for, over real WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click
import uvloop
from click.core import ParameterSource

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.client.trading import Credentials
from jibek.commands.market import fetch
from jibek.console.output import data_option, fail, json_option, print_json, store_errors
from jibek.load.flow import MIXES, REPLIES, Flow, Terms, TermsImpossible, make_terms
from jibek.load.report import Report, display, print_report, report_json
from jibek.load.run import Load, LoadClient, LoadFailed, Outcome, run_load
from jibek.load.venue import LoadedVenue
from jibek.venue.temporary_venue import temporary_venue

SECONDS_DEFAULT = 10.0
IN_FLIGHT_MAX = 8192
"""More than that a gateway takes from no connection."""
CLIENTS_MAX = 1000
FILES_PATH = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@data_option
@click.option("--up", "own_venue", is_flag=True, help="Start a venue on a temporary folder, and stop it at the end.")
@click.option("--url", help="A venue elsewhere, as ws://host:port; give a key of yours with it.")
@click.option("--key", "key_id", metavar="KEY", help="With --url: the API key.")
@click.option("--private-key", "private_key_file", type=FILES_PATH, help="With --url: PEM file of an ed25519 key.")
@click.option("--secret", "secret_file", type=FILES_PATH, help="With --url: file with the secret of an hmac key.")
@click.option("--market", "symbol", metavar="SYMBOL", help="The market to trade on.  [default: the first one]")
@click.option("--price", metavar="PRICE", help="About which to trade.  [default: what the book says]")
@click.option("--clients", type=click.IntRange(1, CLIENTS_MAX), default=8, show_default=True, help="Connections.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, IN_FLIGHT_MAX),
    default=32,
    show_default=True,
    help="Requests of each client on their way at once.",
)
@click.option("--orders", type=click.IntRange(1), help="Stop after so many orders.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help=f"Stop after so long.  [default: {SECONDS_DEFAULT:g}]")
@click.option("--rate", type=click.FloatRange(min=0.1), help="Requests a second of all clients, whatever comes back.")
@click.option("--mix", type=click.Choice(MIXES), default="mixed", show_default=True, help="What is sent.")
@click.option("--reply", type=click.Choice(REPLIES), default="ack", show_default=True, help="What orders ask for.")
@click.option(
    "--signature",
    type=click.Choice(["session", "hmac", "ed25519"]),
    default="session",
    show_default=True,
    help="Log sessions on, or sign each request.",
)
@json_option
@click.pass_context
def load(
    context: click.Context,
    data_dir: Path,
    own_venue: bool,
    url: str | None,
    key_id: str | None,
    private_key_file: Path | None,
    secret_file: Path | None,
    symbol: str | None,
    price: str | None,
    clients: int,
    in_flight: int,
    orders: int | None,
    seconds: float | None,
    rate: float | None,
    mix: str,
    reply: str,
    signature: str,
    as_json: bool,
) -> None:
    """Load a venue with orders, and tell how many it took and how long each waited for its acknowledgement.

    Each client has a connection, an account and a key of its own. In a closed loop it keeps --in-flight requests on their
    way; with --rate requests leave by a schedule, and a latency counts from when the request was due. What still rests at
    the end is cancelled. The exit code is 1 where a connection was lost or a request never got a reply.

    \b
      trade    pairs of orders that fill each other
      cancel   orders that rest for a while and are cancelled
      mixed    both

    \b
      jibek load --up
      jibek load --clients 16 --in-flight 64 --seconds 30
      jibek load --rate 5000 --seconds 10 --json
      jibek load --url ws://venue.example:9443 --key 6f1d… --private-key key.pem --market BTCUSDT
    """
    if own_venue and (url or context.get_parameter_source("data_dir") == ParameterSource.COMMANDLINE):
        raise click.UsageError("--up starts a venue of its own: say one of --up, --data and --url.")
    wanted = Load(in_flight, orders, SECONDS_DEFAULT if orders is seconds is None else seconds, rate)
    wish = Wish(symbol, parse_price(price), clients, mix, reply, signature)
    with temporary_venue("load") if own_venue else contextlib.nullcontext(data_dir) as folder:
        if url is not None:
            credentials = given_credentials(key_id, private_key_file, secret_file)
            report = load_remote(url, credentials, wish, wanted)
        else:
            report = load_local(folder, wish, wanted)
        if as_json:
            print_json(report_json(report))
        else:
            print_report(report)
        if report.outcome.failures or report.outcome.unknown:
            fail(
                EXIT_REFUSED, f"The load was cut off: {', '.join(sorted(set(report.outcome.failures))) or 'no reply'}."
            )


class Wish:
    """What shall be sent, before the market is known."""

    def __init__(
        self, symbol: str | None, price: Decimal | None, clients: int, mix: str, reply: str, signature: str
    ) -> None:
        self.symbol = symbol
        self.price = price
        self.clients = clients
        self.mix = mix
        self.reply = reply
        self.signature = signature

    def load_clients(self, terms: Terms, credentials: list[Credentials]) -> list[LoadClient]:
        """The clients, with a seed each; keys are shared in turn where there are fewer."""
        run = secrets.token_hex(3)
        made = []
        for number in range(self.clients):
            key = credentials[number % len(credentials)]
            logs_on = self.signature == "session" and key.can_log_on
            signs = None if logs_on else key
            flow = Flow(terms, self.mix, self.reply, f"{run}-{number}-", number, signs)
            made.append(LoadClient(flow, key, logs_on))
        return made


def load_local(data_dir: Path, wish: Wish, wanted: Load) -> Report:
    """Loads the venue that runs on a data folder, with accounts that are opened for it."""
    with store_errors():
        venue = LoadedVenue.open(data_dir)
        market = venue.market(wish.symbol)
        rules = fetch(f"{http_of(venue.ws_api)}/exchangeInfo?symbol={market.symbol}")["symbols"][0]
        terms = make_terms_or_fail(rules, wish.price or venue.price(market.symbol))
        credentials = venue.open_accounts(wish.clients, market, terms, hmac=wish.signature == "hmac")
        before, cpu_before_s = venue.journal_end(), venue.cpu_seconds()
        outcome = run(venue.ws_api, wish.load_clients(terms, credentials), wanted, market.symbol)
        cpu_s = {name: after_s - cpu_before_s.get(name, 0.0) for name, after_s in venue.cpu_seconds().items()}
        fills = venue.trades_between(before, venue.journal_end(), market)
    return make_report(wish, wanted, market.symbol, outcome, fills, cpu_s)


def load_remote(url: str, credentials: Credentials, wish: Wish, wanted: Load) -> Report:
    """Loads a venue of which only the URL is known, with a key of the caller's account."""
    place = url if url.endswith("/ws-api/v3") else f"{url.rstrip('/')}/ws-api/v3"
    symbols = fetch(f"{http_of(place)}/exchangeInfo")["symbols"]
    rules = next((each for each in symbols if wish.symbol in (None, each["symbol"])), None)
    if rules is None:
        fail(EXIT_REFUSED, f"The venue has no market {wish.symbol}.")
    terms = make_terms_or_fail(rules, wish.price)
    outcome = run(place, wish.load_clients(terms, [credentials]), wanted, terms.symbol)
    return make_report(wish, wanted, terms.symbol, outcome, None, {})


def run(url: str, clients: list[LoadClient], wanted: Load, symbol: str) -> Outcome:
    """The load itself; Ctrl-C ends it early. Fails with exit code 3 where it cannot begin."""

    async def until_stopped() -> Outcome:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with display() as (show, show_s):
            return await run_load(url, clients, wanted, symbol, stop=stop, show=show, show_s=show_s)

    try:
        return uvloop.run(until_stopped())
    except LoadFailed as error:
        fail(EXIT_UNREACHABLE, f"{error}.")


def make_report(
    wish: Wish, wanted: Load, symbol: str, outcome: Outcome, fills: int | None, cpu_s: dict[str, float]
) -> Report:
    in_flight = wanted.in_flight if wanted.rate is None else None
    return Report(wish.clients, in_flight, wanted.rate, symbol, outcome, fills, cpu_s)


def make_terms_or_fail(rules: dict[str, Any], price: Decimal | None) -> Terms:
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


def parse_price(text: str | None) -> Decimal | None:
    """
    Raises:
        click.UsageError: it is no positive number.
    """
    try:
        price = Decimal(text) if text is not None else None
    except InvalidOperation:
        price = Decimal(0)
    if price is not None and not (price.is_finite() and price > 0):
        raise click.UsageError(f"--price: {text!r} is no positive number.")
    return price


def given_credentials(key_id: str | None, private_key_file: Path | None, secret_file: Path | None) -> Credentials:
    """
    Raises:
        click.UsageError: there is no key, or not exactly one secret for it.
    """
    if key_id is None or (private_key_file is None) == (secret_file is None):
        raise click.UsageError("--url needs --key, and either --private-key or --secret.")
    if private_key_file is not None:
        return Credentials.ed25519(key_id, private_key_file.read_text())
    assert secret_file is not None
    return Credentials.hmac(key_id, secret_file.read_text().strip())
