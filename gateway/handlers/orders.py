"""Placing and cancelling orders: requests become commands for the journal."""

from __future__ import annotations

from engine.reasons import Reason
from gateway.dialect import orders
from gateway.dialect.constants import CANCEL, CANCEL_ALL
from gateway.dialect.rejects import Rejected
from gateway.handlers.call import Call
from gateway.journal.pending import PendingCommand
from gateway.view.accounts import Account


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
        Rejected: no name is given, or the two mean different orders. Whether the order is open, the engine decides.
    """
    market = call.market()
    name = orders.order_name(call.params)
    check_names_agree(call.account, name)
    command, blob = orders.cancel_order(call.params, market, call.account.number, name)
    return _pending(call, command, CANCEL, reduces=True, blob=blob)


def cancel_all(call: Call) -> PendingCommand:
    """Cancels all orders of the account in a market."""
    command = orders.cancel_all(call.market(), call.account.number)
    return _pending(call, command, CANCEL_ALL, reduces=True)


def check_names_agree(account: Account, name: orders.OrderName) -> None:
    """Raises Rejected where the two names of a request mean different orders, as far as is known here."""
    if name.order_id is None or name.client is None:
        return
    order = account.find(name.order_id, None)
    if order is not None and order.client != name.client:
        raise Rejected(Reason.CLIENT_ID_MISMATCH)


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
