"""What any client may ask: ping, time, exchangeInfo, depth."""

from __future__ import annotations

from engine.reasons import Reason
from gateway.dialect import exchange_info as exchange_info_text
from gateway.dialect import replies
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import integer_of, symbols_of
from gateway.handlers.call import Call, Result
from gateway.limits import DEPTH_LEVELS_DEFAULT, DEPTH_LEVELS_MAX


def ping(call: Call) -> Result:
    """Nothing: a client asks whether the gateway answers."""
    return Result("{}")


def time(call: Call) -> Result:
    """The gateway's clock, in the unit that the client wants."""
    return Result(replies.server_time(call.state.clock.now_us(), call.caller.unit))


def exchange_info(call: Call) -> Result:
    """All markets, or those in `symbol` or `symbols`, and the limits that hold for the caller."""
    symbols = call.state.view.market_texts.of(symbols_of(call.params))
    settings = call.state.rate_limits.limits_of(call.caller.account)
    return Result(exchange_info_text.exchange_info(call.state.clock.now_us(), call.caller.unit, settings, symbols))


def depth(call: Call) -> Result:
    """A depth snapshot of a market, with `limit` levels a side.

    Raises:
        Rejected: the market is unknown, or the limit is zero or no number.
    """
    market = call.market()
    levels = integer_of(call.params, "limit")
    if levels == 0:
        raise Rejected(Reason.INVALID_PARAMETER, "limit")
    book = call.state.view.feeds.books[market.number]
    return Result(book.snapshot(min(levels or DEPTH_LEVELS_DEFAULT, DEPTH_LEVELS_MAX)))
