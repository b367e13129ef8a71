"""`jibek market …`: list and show markets, show their books, halt and resume them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.listing import Listing, Market
from engine.process import EXIT_REFUSED
from engine.records import Command, CommandKind, MarketState
from jibek.client.rest import fetch
from jibek.console.changes import execute
from jibek.console.failure import Failure
from jibek.console.options import combined, data_option, json_option, who_and_why
from jibek.console.output import Column, print_json, print_line, print_table
from jibek.console.text import percent_text, price_text, quantity_text
from jibek.venue.address import running_venue
from jibek.venue.clocks import check_clocks_let_resume, halt_json, venue_state_text
from jibek.venue.directory import find_market, open_directory


@click.group()
def market() -> None:
    """List and show markets, show their books, halt and resume them.

    \b
      jibek market list
      jibek market halt BTCKZT --why "wrong tick in the feed"
    """


# -- list and show


@market.command("list")
@data_option
@json_option
def list_markets(data_dir: Path, as_json: bool) -> None:
    """List all markets with their ticks, lots and fees.

    \b
      jibek market list
    """
    _, _, directory = open_directory(data_dir)
    listing = directory.listing
    found = [summary(each) for each in listing.markets.values()]
    if as_json:
        print_json(
            {
                "venue_state": listing.venue_state.name.lower(),
                "venue_halt": halt_json(listing.venue_halt),
                "markets": found,
            }
        )
        return
    columns = [
        Column("market"), Column("base"), Column("quote"), Column("tick", right=True), Column("lot", right=True),
        Column("maker fee", right=True), Column("taker fee", right=True), Column("state"),
    ]  # fmt: skip
    rows = [
        [
            each["market"], each["base"], each["quote"], each["tick"], each["lot"],
            percent_text(each["maker_fee_ppm"]), percent_text(each["taker_fee_ppm"]), each["state"],
        ]
        for each in found
    ]  # fmt: skip
    print_table(columns, rows, footer=venue_state_text(listing))


@market.command()
@click.argument("symbol")
@data_option
@json_option
def show(symbol: str, data_dir: Path, as_json: bool) -> None:
    """Show one market: tick, lot, fees and limits.

    \b
      jibek market show BTCKZT
    """
    _, _, directory = open_directory(data_dir)
    found = details(find_market(directory.listing, symbol))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        title = name.removesuffix("_ppm").replace("_", " ")
        print_line(f"{title:18} {percent_text(value) if name.endswith('_ppm') else value}")


def summary(market: Market) -> dict[str, Any]:
    """A market as a row of the list. Prices are in the quote asset, the lot in the base asset."""
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


# -- book


@market.command()
@click.argument("symbol")
@click.option("--limit", type=click.IntRange(1, 5000), default=10, show_default=True, help="Price levels on each side.")
@data_option
@json_option
def book(symbol: str, limit: int, data_dir: Path, as_json: bool) -> None:
    """Show the best price levels of a market, as clients see them.

    \b
      jibek market book BTCKZT
      jibek market book BTCKZT --limit 100 --json
    """
    url = f"{running_venue(data_dir).urls['http']}/depth"
    try:
        depth = fetch(url, symbol=symbol, limit=str(limit))
    except Failure as failure:
        if failure.exit_code == EXIT_REFUSED:
            # The gateway says it to clients; an operator gets the list of markets.
            find_market(open_directory(data_dir)[2].listing, symbol)
        raise
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
    print_table(
        columns, rows, title=symbol, footer=f"{len(bids)} bids, {len(asks)} asks, after update {depth['lastUpdateId']}"
    )


# -- halt and resume


state_options = combined(
    click.argument("symbol", required=False),
    click.option("--all", "whole_venue", is_flag=True, help="The whole venue instead of one market."),
    data_option,
    json_option,
    who_and_why(why_required=False),
)


@market.command()
@state_options
def halt(**given: Any) -> None:
    """Halt a market, or the whole venue.

    New orders are refused; open orders can be cancelled.

    \b
      jibek market halt BTCKZT --why "wrong tick in the feed"
      jibek market halt --all --why "evacuation drill"
    """
    _set_state(MarketState.HALTED, **given)


@market.command()
@state_options
def resume(**given: Any) -> None:
    """Resume a market, or the whole venue.

    A market that you halted by its symbol stays halted when you resume the whole venue. If the clock guard has halted the
    venue, or its clocks part now, the command is refused: see `jibek clock show`.

    \b
      jibek market resume BTCKZT --why "feed is right again"
      jibek market resume --all
    """
    _set_state(MarketState.TRADING, **given)


def _set_state(
    state: MarketState, symbol: str | None, whole_venue: bool, data_dir: Path, as_json: bool, who: str, why: str
) -> None:
    if (symbol is None) != whole_venue:
        raise click.UsageError("name a market, or give --all for the whole venue.")
    _, client, directory = open_directory(data_dir)
    if whole_venue and state == MarketState.TRADING:
        check_clocks_let_resume(client, directory)
    number = 0 if symbol is None else find_market(directory.listing, symbol).number
    execute(client, Command(kind=CommandKind.MARKET_STATE_SET, market=number, state=state), who=who, why=why)
    if as_json:
        print_json({"market": symbol, "state": state.name.lower()})
    else:
        still = [] if symbol or state == MarketState.HALTED else halted_markets(directory.listing)
        rest = f"; still halted: {', '.join(still)}" if still else ""
        print_line(f"{symbol or 'The venue'} is {state.name.lower()}{rest}.")


def halted_markets(listing: Listing) -> list[str]:
    """The symbols of the markets that are halted on their own, whatever the state of the venue."""
    return [market.symbol for market in listing.markets.values() if market.state == MarketState.HALTED]
