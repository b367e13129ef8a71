"""What the tests of the replay share: a market without a venue, rows in a few words, a venue that only repeats the book."""

from __future__ import annotations

from engine.decimals import parse_decimal
from engine.listing import Market
from engine.venue_file import load_venue
from jibek.client.trading import RequestRefused
from jibek.replay.check import outcomes_in_book
from jibek.replay.plan import Plan
from jibek.replay.recording import ACTIONS, SIDES, Row
from jibek.replay.run import Fill
from jibek.replay.run import ReplayResult as Played


def default_market(symbol: str = "BTCUSDT") -> Market:
    """A market of the default venue, as the events would define it."""
    venue = load_venue()
    number, definition = next(
        (number, definition) for number, (name, definition) in enumerate(venue.markets, 1) if name == symbol
    )
    base, quote = venue.assets[definition.base_asset - 1], venue.assets[definition.quote_asset - 1]
    return Market(number, symbol, base, quote, definition, definition.maker_fee_ppm, definition.taker_fee_ppm)


def row(text: str) -> Row:
    """A row from `id action direction volume price`; the volume is in 1e-8.

    >>> row("7 created bid 200000000 236.47").price_e8
    23647000000
    """
    order_id, action, direction, volume, price = text.split()
    number = int(order_id)
    return Row(number, 1000 * number, parse_decimal(price, 8), int(volume), ACTIONS[action], SIDES[direction])


def played_like_the_book(plan: Plan) -> Played:
    """What a venue reports that does exactly what `engine.Book` does."""
    outcomes, _ = outcomes_in_book(plan.commands)
    played = Played(seconds=1.0)
    for index, outcome in enumerate(outcomes):
        if outcome.refusal:
            played.refusals[index] = RequestRefused(-2011, "Unknown order sent.")
        for trade in outcome.trades:
            # A venue counts trades from its own beginning, and reports to the maker first.
            id, terms = 100 + trade.number, (trade.price_ticks, trade.quantity_lots)
            played.fills.append(Fill(id, trade.maker_order_id, True, *terms))
            played.fills.append(Fill(id, trade.taker_order_id, False, *terms))
    return played
