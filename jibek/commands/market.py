"""`jibek market …`: what is traded, the books, halts."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import click

from engine.decimals import format_decimal
from engine.listing import Listing, Market
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.records import PRICE_SCALE, Command, CommandKind, MarketState
from jibek.commands.account import open_directory
from jibek.commands.venue import running_venue, urls
from jibek.console.changes import execute, who_and_why
from jibek.console.output import Column, data_option, fail, json_option, print_json, print_table

HTTP_TIMEOUT_S = 10.0


@click.group()
def market() -> None:
    """List and show markets; halt and resume them."""


def find_market(listing: Listing, symbol: str) -> Market:
    """The market of this symbol. Fails with exit code 1 where there is none."""
    if symbol not in listing.market_by_symbol:
        fail(EXIT_REFUSED, f"No market is named {symbol}; there are {', '.join(listing.market_by_symbol)}.")
    return listing.market_by_symbol[symbol]


# -- list and show


@market.command("list")
@data_option
@json_option
def list_markets(data_dir: Path, as_json: bool) -> None:
    """List all markets.

    \b
      jibek market list
    """
    _, _, directory = open_directory(data_dir)
    listing = directory.listing
    found = [summary(each) for each in listing.markets.values()]
    if as_json:
        print_json({"venue_state": listing.venue_state.name.lower(), "markets": found})
        return
    columns = [
        Column("market"), Column("base"), Column("quote"), Column("tick", right=True), Column("lot", right=True),
        Column("maker fee", right=True), Column("taker fee", right=True), Column("state"),
    ]  # fmt: skip
    rows = [
        [
            each["market"], each["base"], each["quote"], each["tick"], each["lot"],
            percent(each["maker_fee_ppm"]), percent(each["taker_fee_ppm"]), each["state"],
        ]
        for each in found
    ]  # fmt: skip
    print_table(columns, rows, footer=f"The venue is {listing.venue_state.name.lower()}.")


@market.command()
@click.argument("symbol")
@data_option
@json_option
def show(symbol: str, data_dir: Path, as_json: bool) -> None:
    """Show a market: tick, lot, fees and limits.

    \b
      jibek market show BTCKZT
    """
    _, _, directory = open_directory(data_dir)
    found = details(find_market(directory.listing, symbol))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        click.echo(f"{name:18} {value}")


def summary(market: Market) -> dict[str, Any]:
    """A market in one line. Prices are in the quote asset, the lot in the base asset."""
    return {
        "market": market.symbol,
        "base": market.base.name,
        "quote": market.quote.name,
        "tick": price_text(market, 1),
        "lot": quantity_text(market, 1),
        "maker_fee_ppm": market.maker_fee_ppm,
        "taker_fee_ppm": market.taker_fee_ppm,
        "state": market.state.name.lower(),
    }


def details(market: Market) -> dict[str, Any]:
    """A market with its limits."""
    definition = market.definition
    return summary(market) | {
        "price_min": price_text(market, definition.price_min_ticks),
        "price_max": price_text(market, definition.price_max_ticks),
        "quantity_min": quantity_text(market, definition.quantity_min_lots),
        "quantity_max": quantity_text(market, definition.quantity_max_lots),
        "notional_min": market.quote.format(definition.notional_min),
        "notional_max": market.quote.format(definition.notional_max),
        "open_orders_max": definition.open_orders_max,
    }


def price_text(market: Market, ticks: int) -> str:
    """A price as a decimal without zeros at its end."""
    return _without_end_zeros(format_decimal(ticks * market.definition.tick_e8, PRICE_SCALE))


def quantity_text(market: Market, lots: int) -> str:
    """A quantity as a decimal without zeros at its end."""
    return _without_end_zeros(market.base.format(lots * market.definition.lot_units))


def _without_end_zeros(text: str) -> str:
    """
    >>> _without_end_zeros("1000.00000000"), _without_end_zeros("0.00001000"), _without_end_zeros("100")
    ('1000', '0.00001', '100')
    """
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(ppm: int) -> str:
    """
    >>> percent(1500)
    '0.15%'
    """
    return _without_end_zeros(format_decimal(ppm, 4)) + "%"


# -- book


@market.command()
@click.argument("symbol")
@click.option("--limit", type=click.IntRange(1, 5000), default=10, show_default=True, help="Price levels on each side.")
@data_option
@json_option
def book(symbol: str, limit: int, data_dir: Path, as_json: bool) -> None:
    """Show the best price levels of a market, as the gateway gives them to clients.

    \b
      jibek market book BTCKZT
      jibek market book BTCKZT --limit 100 --json
    """
    address = running_venue(data_dir)
    query = urllib.parse.urlencode({"symbol": symbol, "limit": limit})
    depth = fetch(f"{urls(address.host, address.port)['http']}/depth?{query}")
    if as_json:
        print_json(depth)
        return
    bids, asks = depth["bids"], depth["asks"]
    columns = [Column(title, right=True) for title in ("bid quantity", "bid", "ask", "ask quantity")]
    rows = []
    for index in range(max(len(bids), len(asks))):
        bid_price, bid_quantity = bids[index] if index < len(bids) else ("", "")
        ask_price, ask_quantity = asks[index] if index < len(asks) else ("", "")
        rows.append([bid_quantity, bid_price, ask_price, ask_quantity])
    print_table(columns, rows, title=symbol, footer=f"update {depth['lastUpdateId']}")


def fetch(url: str) -> Any:
    """The JSON at a URL of the gateway. Fails with exit code 1 where it is refused, 3 where no gateway answers."""
    try:
        with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        fail(EXIT_REFUSED, _message_of(error))
    except (OSError, ValueError) as error:
        fail(EXIT_UNREACHABLE, f"The gateway does not answer ({error}): see `jibek status`.")


def _message_of(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["msg"])
    except (ValueError, KeyError, TypeError):
        return str(error)


# -- halt and resume


def target_options(command: Any) -> Any:
    """A symbol, or --all for the whole venue."""
    whole = click.option("--all", "whole_venue", is_flag=True, help="The whole venue instead of one market.")
    return click.argument("symbol", required=False)(whole(command))


@market.command()
@target_options
@data_option
@json_option
@who_and_why(why_required=False)
def halt(symbol: str | None, whole_venue: bool, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Halt a market, or the whole venue: no order can be placed, orders can still be cancelled.

    \b
      jibek market halt BTCKZT --why "wrong tick in the feed"
      jibek market halt --all --why "evacuation drill"
    """
    _set_state(MarketState.HALTED, symbol, whole_venue, data_dir, as_json, who, why)


@market.command()
@target_options
@data_option
@json_option
@who_and_why(why_required=False)
def resume(symbol: str | None, whole_venue: bool, data_dir: Path, as_json: bool, who: str, why: str) -> None:
    """Resume a market, or the whole venue. A market that was halted by itself stays so when the venue is resumed.

    \b
      jibek market resume BTCKZT --why "feed is right again"
      jibek market resume --all
    """
    _set_state(MarketState.TRADING, symbol, whole_venue, data_dir, as_json, who, why)


def _set_state(
    state: MarketState, symbol: str | None, whole_venue: bool, data_dir: Path, as_json: bool, who: str, why: str
) -> None:
    if (symbol is None) != whole_venue:
        raise click.UsageError("name a market, or say --all for the whole venue.")
    _, client, directory = open_directory(data_dir)
    number = 0 if symbol is None else find_market(directory.listing, symbol).number
    execute(client, Command(kind=CommandKind.MARKET_STATE_SET, market=number, state=state), who=who, why=why)
    if as_json:
        print_json({"market": symbol, "state": state.name.lower()})
    else:
        click.echo(f"{symbol or 'The venue'} is {state.name.lower()}.")
