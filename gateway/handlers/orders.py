"""Placing and cancelling orders: requests become commands for the journal."""

from __future__ import annotations

from gateway.dialect import orders
from gateway.dialect.constants import CANCEL, CANCEL_ALL
from gateway.dialect.order_names import find_order, order_name
from gateway.handlers.call import Call
from gateway.journal.pending import PendingCommand


def place(call: Call) -> PendingCommand:
    """A new order.

    Raises:
        Rejected: a parameter is missing or wrong; what depends on the account or the book, the engine decides.
    """
    markets = call.state.view.projection.markets_by_symbol
    command, response = orders.place_order(call.request, markets, call.account.number)
    return _pending(call, command, response)


def cancel(call: Call) -> PendingCommand:
    """Cancels one order, named by its id, by its client id or by both.

    Raises:
        Rejected: no name is given, or the order has not both of two. Whether it is open, the engine decides.
    """
    market = call.market()
    name = order_name(call.params)
    find_order(call.account, market, name)
    command, blob = orders.cancel_order(call.params, market, call.account.number, name)
    return _pending(call, command, CANCEL, reduces=True, blob=blob)


def cancel_all(call: Call) -> PendingCommand:
    """Cancels all orders of the account in a market."""
    command = orders.cancel_all(call.market(), call.account.number)
    return _pending(call, command, CANCEL_ALL, reduces=True)


def _pending(call: Call, command: bytes, response: str, *, reduces: bool = False, blob: bytes = b"") -> PendingCommand:
    request = call.request
    return PendingCommand(
        call.caller,
        call.account,
        request.id_text,
        command,
        response,
        call.caller.wants_rate_limits(request.params),
        expires_ms=request.expires_ms,
        reduces=reduces,
        blob=blob,
        mark=call.mark,
    )
