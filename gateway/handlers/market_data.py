"""What any client may ask: ping, time, exchangeInfo, depth."""

from __future__ import annotations

from engine.reasons import Reason
from gateway.dialect import exchange_info as exchange_info_text
from gateway.dialect import replies
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import limit_of
from gateway.handlers.call import Call, Result
from gateway.limits import DEPTH_LEVELS_DEFAULT, DEPTH_LEVELS_MAX


def ping(call: Call) -> Result:
    """Nothing: a client asks whether the gateway answers."""
    return Result("{}")


def time(call: Call) -> Result:
    """The gateway's clock, in the unit that the client wants."""
    return Result(replies.server_time(call.state.clock.now_us(), call.caller.unit))


def exchange_info(call: Call) -> Result:
    """All markets, or those that the parameters ask for, and the limits that hold for the caller. Raises Rejected."""
    symbols = call.state.view.market_texts.of(exchange_info_text.market_filter(call.params))
    settings = call.state.rate_limits.limits_of(call.caller.account)
    return Result(exchange_info_text.exchange_info(call.state.clock.now_us(), call.caller.unit, settings, symbols))


def depth(call: Call) -> Result:
    """A depth snapshot of a market, with `limit` levels a side.

    Raises:
        Rejected: the market is unknown, or not in the state of `symbolStatus`; the limit is zero or no number.
    """
    market = call.market()
    levels = limit_of(call.params, DEPTH_LEVELS_DEFAULT, DEPTH_LEVELS_MAX)
    status = exchange_info_text.symbol_status_of(call.params)
    venue_state = call.state.view.projection.listing.venue_state
    if status not in (None, exchange_info_text.symbol_status(market, venue_state)):
        raise Rejected(Reason.SYMBOL_STATUS_MISMATCH)
    book = call.state.view.feeds.books[market.number]
    return Result(book.snapshot(levels))
