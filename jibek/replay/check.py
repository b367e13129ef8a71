"""Executes the same commands in `engine.Book`, in process, and finds where the venue did something else.

Both sides become a list of outcomes: for each command whether it was refused, and its trades in order. Two equal lists
mean the same trades, one for one, between the same orders, caused by the same commands. Of two different lists only the
first different outcome is reported, because the others may follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from engine import Book
from engine.book import BookEventKind
from engine.listing import Market
from engine.records import Side
from jibek.console.text import price_text, quantity_text
from jibek.replay.plan import PlaceOrder, Plan, ReplayCommand
from jibek.replay.run import Fill, ReplayResult


class Trade(NamedTuple):
    """One trade between two orders of the replay."""

    number: int
    """Counted from 1 in the order of the trades."""
    price_ticks: int
    quantity_lots: int
    taker_order_id: int
    maker_order_id: int


class CommandOutcome(NamedTuple):
    """What one command did."""

    refusal: str
    """Why it was refused; empty if it was executed. Venue and book word the same reason differently."""
    trades: tuple[Trade, ...] = ()


class Totals(NamedTuple):
    """The sums of a list of outcomes."""

    trades: int
    volume_lots: int
    value_units: int
    """In smallest units of the quote asset."""


class UnmatchedFill(Exception):
    """A trade was reported in a way that cannot come from this replay alone; the text says how."""


# -- the two sides


def outcomes_in_book(commands: Iterable[ReplayCommand]) -> tuple[list[CommandOutcome], int]:
    """What `engine.Book` does with the commands, and how many orders rest in it at the end. Cost: about 5 µs a command."""
    book = Book()
    outcomes = []
    count = 0
    for command in commands:
        if isinstance(command, PlaceOrder):
            book.place(command.order_id, command.side, command.price_ticks, command.quantity_lots)
        else:
            book.cancel(command.order_id)
        refusal, trades = "", []
        for event in book.events():
            if event.kind == BookEventKind.REJECTED:
                refusal = event.reason.text
            elif event.kind == BookEventKind.TRADE:
                count += 1
                trades.append(
                    Trade(count, event.price_ticks, event.quantity_lots, event.order_id, event.maker_order_id)
                )
        outcomes.append(CommandOutcome(refusal, tuple(trades)))
    return outcomes, len(book)


def outcomes_at_venue(commands: Iterable[ReplayCommand], result: ReplayResult) -> list[CommandOutcome]:
    """What the venue did with the commands.

    Raises:
        UnmatchedFill: see `pair_fills`.
    """
    trades_of: dict[int, list[Trade]] = {}
    for trade in pair_fills(result.fills):
        trades_of.setdefault(trade.taker_order_id, []).append(trade)
    outcomes = []
    for index, command in enumerate(commands):
        refused = result.refusals.get(index)
        trades = trades_of.get(command.order_id, ()) if isinstance(command, PlaceOrder) else ()
        outcomes.append(CommandOutcome("" if refused is None else str(refused), tuple(trades)))
    return outcomes


def pair_fills(fills: Iterable[Fill]) -> list[Trade]:
    """The trades, in the order of their ids, from the reports to both sides of each.

    Raises:
        UnmatchedFill: a trade lacks a side, or its sides disagree: another client traded in the market, or reports are
            missing.
    """
    trades: list[Trade] = []
    first_id = 0
    for trade_id, group in groupby(sorted(fills), key=lambda fill: fill.trade_id):
        sides = sorted(group, key=lambda fill: fill.is_maker)
        if [fill.is_maker for fill in sides] != [False, True]:
            orders = ", ".join(str(fill.order_id) for fill in sides)
            raise UnmatchedFill(
                f"trade {trade_id} was reported to order {orders} and not once to a taker and once to a maker: "
                "did another client trade in this market?"
            )
        taker, maker = sides
        if taker[3:] != maker[3:]:
            raise UnmatchedFill(f"trade {trade_id} was reported differently to its two sides: {taker} and {maker}")
        first_id = first_id or trade_id
        trades.append(
            Trade(trade_id - first_id + 1, taker.price_ticks, taker.quantity_lots, taker.order_id, maker.order_id)
        )
    return trades


# -- the comparison


def totals(outcomes: Iterable[CommandOutcome], market: Market) -> Totals:
    trades = [trade for outcome in outcomes for trade in outcome.trades]
    return Totals(
        len(trades),
        sum(trade.quantity_lots for trade in trades),
        sum(trade.price_ticks * trade.quantity_lots for trade in trades) * market.lot_value_units,
    )


def first_difference(plan: Plan, venue: list[CommandOutcome], book: list[CommandOutcome]) -> str:
    """The first command with different outcomes at the venue and in the book, in words; empty if there is none."""
    assert len(plan.commands) == len(venue) == len(book)
    for index, command in enumerate(plan.commands):
        if bool(venue[index].refusal) != bool(book[index].refusal) or venue[index].trades != book[index].trades:
            return (
                f"command {index + 1} of {len(plan.commands)}, {command_text(command, plan.market)}: "
                f"the venue {outcome_text(venue[index], plan.market)}; "
                f"engine.Book {outcome_text(book[index], plan.market)}"
            )
    return ""


def command_text(command: ReplayCommand, market: Market) -> str:
    if not isinstance(command, PlaceOrder):
        return f"cancel order {command.order_id}"
    quantity, price = quantity_text(market, command.quantity_lots), price_text(market, command.price_ticks)
    return f"order {command.order_id} to {Side(command.side).name.lower()} {quantity} at {price}"


def outcome_text(outcome: CommandOutcome, market: Market) -> str:
    if outcome.refusal:
        return f"refused it ({outcome.refusal})"
    if not outcome.trades:
        return "took it and made no trade"
    return "made " + ", ".join(trade_text(trade, market) for trade in outcome.trades)


def trade_text(trade: Trade, market: Market) -> str:
    quantity, price = quantity_text(market, trade.quantity_lots), price_text(market, trade.price_ticks)
    return f"trade {trade.number} of {quantity} at {price} with order {trade.maker_order_id}"
