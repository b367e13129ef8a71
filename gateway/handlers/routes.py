"""Every method that a client may call, in one table."""

from __future__ import annotations

from engine.reasons import Reason
from engine.records import Permission
from gateway.auth.authentication import authenticate_logon
from gateway.dialect.rejects import Rejected
from gateway.handlers import account, market_data, orders, session, weights
from gateway.handlers.call import Call, Result, Route
from gateway.limits import NAME_CHARACTERS_SHOWN_MAX

READ, TRADE = Permission.READ, Permission.TRADE


def unknown(call: Call) -> Result:
    """Refuses a method that the venue does not have: always raises Rejected."""
    raise Rejected(Reason.UNKNOWN_METHOD, call.request.method[:NAME_CHARACTERS_SHOWN_MAX])


ROUTES: dict[str, Route] = {
    "ping": Route(market_data.ping, 1, http="GET /api/v3/ping"),
    "time": Route(market_data.time, 1, http="GET /api/v3/time"),
    "exchangeInfo": Route(market_data.exchange_info, 20, http="GET /api/v3/exchangeInfo"),
    "depth": Route(market_data.depth, 5, http="GET /api/v3/depth", weigh=weights.of_depth),
    "session.logon": Route(session.logon, 2, needs=READ, opens=True, authenticate=authenticate_logon),
    "session.status": Route(session.status, 2),
    "session.logout": Route(session.logout, 2),
    "session.subscriptions": Route(session.subscriptions, 2),
    "order.place": Route(orders.place, 1, needs=TRADE, counts_orders=True),
    "order.cancel": Route(orders.cancel, 1, needs=TRADE, cancels=True),
    "order.status": Route(account.order_status, 4, needs=READ),
    "openOrders.status": Route(account.open_orders, 6, needs=READ, weigh=weights.of_open_orders),
    "openOrders.cancelAll": Route(orders.cancel_all, 1, needs=TRADE, cancels=True),
    "account.status": Route(account.account_status, 20, needs=READ),
    "myTrades": Route(account.my_trades, 5, needs=READ, weigh=weights.of_my_trades),
    "userDataStream.subscribe": Route(session.subscribe, 2),
    "userDataStream.subscribe.signature": Route(session.subscribe_signed, 2, needs=READ, opens=True),
    "userDataStream.unsubscribe": Route(session.unsubscribe, 2),
}
UNKNOWN = Route(unknown, 1)
