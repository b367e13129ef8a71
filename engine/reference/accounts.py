"""Clients, and which orders of theirs are open."""

from __future__ import annotations

from engine.definitions import Rejected, reject_unless
from engine.reasons import Reason
from engine.records import HOUSE_ACCOUNT, NO_CLIENT_ID
from engine.reference.state import Account, Exchange, Order


def find_client(exchange: Exchange, number: int) -> Account:
    """The client of this number. Raises Rejected if there is none; the house is no client."""
    reject_unless(number != HOUSE_ACCOUNT and number in exchange.accounts, Reason.UNKNOWN_ACCOUNT)
    return exchange.accounts[number]


def find_order(account: Account, market: int, order_id: int, client_id: bytes) -> Order:
    """The open order of an account with this id, or if that is 0 with this client id.

    Raises Rejected if there is none in this market, or if a client id is given that is not the order's.
    """
    order = account.orders.get(order_id) if order_id else account.order_by_client_id.get(client_id)
    if order is None or order.market.number != market or client_id not in (NO_CLIENT_ID, order.client_id):
        raise Rejected(Reason.UNKNOWN_ORDER)
    return order


def list_order(exchange: Exchange, order: Order) -> None:
    """Puts an order into every index of open orders."""
    account, market = exchange.accounts[order.account], order.market.number
    assert order.id not in exchange.orders, "an order is listed once"
    exchange.orders[order.id] = account.orders[order.id] = order
    if order.client_id != NO_CLIENT_ID:
        assert order.client_id not in account.order_by_client_id, "a client id names one open order"
        account.order_by_client_id[order.client_id] = order
    account.open_orders[market] = account.open_orders.get(market, 0) + 1


def unlist_order(exchange: Exchange, order: Order) -> None:
    """Takes an order out of every index of open orders."""
    account = exchange.accounts[order.account]
    del exchange.orders[order.id]
    del account.orders[order.id]
    if order.client_id != NO_CLIENT_ID:
        del account.order_by_client_id[order.client_id]
    account.open_orders[order.market.number] -= 1
    assert account.open_orders[order.market.number] >= 0, "no more orders end than were open"
