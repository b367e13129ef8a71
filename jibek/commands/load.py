"""`jibek load`: as many orders as a venue takes, or as many a second as you ask for, over real WebSockets."""

from __future__ import annotations

import contextlib
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click
from click.core import ParameterSource

from engine.process import EXIT_REFUSED
from jibek.client.trading import Credentials
from jibek.console.failure import fail
from jibek.console.options import data_option, json_option
from jibek.console.output import print_json
from jibek.console.trust import trust_authority
from jibek.load.flow import MIXES, REPLIES
from jibek.load.report import load_report_json, print_load_report
from jibek.load.request import LoadRequest, load_local, load_remote
from jibek.load.run import Load
from jibek.venue.temporary_venue import temporary_venue

SECONDS_DEFAULT = 10.0
IN_FLIGHT_MAX = 8192
"""The most that a gateway takes from one connection."""
CLIENTS_MAX = 1000
FILES_PATH = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@data_option
@click.option("--up", "own_venue", is_flag=True, help="Start a venue on a temporary folder, and stop it at the end.")
@click.option("--url", help="A venue elsewhere, as ws://host:port or wss://host:port; needs --key.")
@click.option("--key", "key_id", metavar="KEY", help="With --url: the API key.")
@click.option("--private-key", "private_key_file", type=FILES_PATH, help="With --url: PEM file of an ed25519 key.")
@click.option("--secret", "secret_file", type=FILES_PATH, help="With --url: file with the secret of an hmac key.")
@click.option(
    "--ca",
    "authority",
    type=FILES_PATH,
    help="With --url wss://…: PEM file of the authority that signed the venue's certificate.",
)
@click.option("--market", "symbol", metavar="SYMBOL", help="The market to trade on.  [default: the first one]")
@click.option("--price", metavar="PRICE", help="The price to trade around.  [default: the middle of the book]")
@click.option(
    "--clients", type=click.IntRange(1, CLIENTS_MAX), default=8, show_default=True, help="Number of connections."
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, IN_FLIGHT_MAX),
    default=32,
    show_default=True,
    help="Requests that each client keeps in flight.",
)
@click.option("--orders", type=click.IntRange(1), help="Stop after so many orders.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), help=f"Stop after so many seconds.  [default: {SECONDS_DEFAULT:g}]"
)
@click.option("--rate", type=click.FloatRange(min=0.1), help="Requests a second of all clients, sent on schedule.")
@click.option("--mix", type=click.Choice(MIXES), default="mixed", show_default=True, help="What to send; see above.")
@click.option("--reply", type=click.Choice(REPLIES), default="ack", show_default=True, help="Type of reply to ask for.")
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
    authority: Path | None,
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
    """Load-test a venue: throughput, latency, CPU.

    Each client has a connection, an account and a key of its own. It keeps --in-flight requests in flight (closed
    loop). With --rate, requests leave on schedule whatever the venue does (open loop), and a latency counts from the
    time at which the request was due. At the end all open orders are cancelled.

    \b
      trade    pairs of orders at one price that fill each other
      cancel   orders that rest for a while and are cancelled
      mixed    both

    With several clients, orders of one pair may also fill those of another; then there are fewer fills than pairs, and
    the orders that are left over are cancelled at the end.

    The load adds accounts, keys and deposits to the venue, and the tier load_test, which has no limits; they stay, with
    their trades, and cannot be deleted. To keep a venue clean, use --up, which loads a venue of its own.

    With --url the load uses the account of the key and adds nothing. In the tier default most orders are refused: let the
    operator put the account into a tier with room first. `jibek account key NAME --type ed25519` makes the key, and
    prints the private key this once.

    The rates count orders that the venue accepted. Exit codes: 0 every request got its reply, 1 a connection or a reply
    was lost or every order was refused, 2 wrong usage, 3 the venue cannot be reached.

    \b
      jibek load --up
      jibek load --clients 16 --in-flight 64 --seconds 30
      jibek load --rate 5000 --seconds 10 --json
      jibek load --url ws://venue.example:9443 --key 6f1d… \\
          --private-key key.pem --market BTCUSDT
    """
    if own_venue and (url or context.get_parameter_source("data_dir") == ParameterSource.COMMANDLINE):
        raise click.UsageError("--up starts a venue of its own: give one of --up, --data and --url.")
    trust_given(url, authority)
    amount = Load(in_flight, orders, SECONDS_DEFAULT if orders is seconds is None else seconds, rate)
    request = LoadRequest(amount, symbol, parse_price(price), clients, mix, reply, signature)
    with temporary_venue("load") if own_venue else contextlib.nullcontext(data_dir) as folder:
        if url is not None:
            report = load_remote(url, given_credentials(key_id, private_key_file, secret_file), request)
        else:
            report = load_local(folder, request)
        if as_json:
            print_json(load_report_json(report))
        else:
            print_load_report(report)
        result = report.result
        if result.failures or result.unknown:
            fail(EXIT_REFUSED, f"The load was cut off: {', '.join(sorted(set(result.failures))) or 'no reply'}.")
        if result.orders and not result.orders_accepted:
            [(reason, _)] = result.refusals.most_common(1)
            fail(EXIT_REFUSED, f"Every order was refused: {reason}")


def parse_price(text: str | None) -> Decimal | None:
    """
    Raises:
        click.UsageError: it is not a positive number.
    """
    try:
        price = Decimal(text) if text is not None else None
    except InvalidOperation:
        price = Decimal(0)
    if price is not None and not (price.is_finite() and price > 0):
        raise click.UsageError(f"--price: {text!r} is not a positive number.")
    return price


def trust_given(url: str | None, authority: Path | None) -> None:
    """Accepts what the authority vouches for at the place of the URL.

    Raises:
        click.UsageError: there is no such URL, or the file holds no certificate.
    """
    if authority is None:
        return
    if url is None or not url.startswith("wss://"):
        raise click.UsageError("--ca goes with --url wss://host:port.")
    try:
        trust_authority(url, authority)
    except OSError:
        raise click.UsageError(f"--ca: {authority} holds no certificate in PEM form.") from None


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
