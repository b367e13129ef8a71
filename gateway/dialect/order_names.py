"""Which order a request means: one rule for every method.

    orderId 5                                   order 5
    origClientOrderId "mine"                    the order with this client id: the open one, else the last one closed
    both                                        order 5, which must have this client id
    origClientOrderId "jibek-5"                 order 5, which must have no client id of its own

`order_name` reads the name, `find_order` finds the order among those that the gateway knows, and `named_in` says the same
to the engine, which then finds no other order where the gateway has not read the newest ones yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from engine.reasons import Reason
from engine.records import NO_CLIENT_ID, CommandFlag
from gateway.dialect.constants import CLIENT_ID_PATTERN, CLIENT_ID_RANGE, DERIVED_PREFIX
from gateway.dialect.numbers import MarketNumbers, parse_integer
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import integer_of
from gateway.view.accounts import Account, Order


class OrderName(NamedTuple):
    """How a request names an order."""

    order_id: int | None
    """0 where the name cannot be that of any order: ids begin at 1."""
    client_id: str | None
    """The order's own; never a derived one."""
    is_nameless: bool = False
    """Whether the order must have no client id of its own."""
    is_double: bool = False
    """Whether the request has both parameters."""


_NO_ORDER = OrderName(0, None)


def order_name(params: Mapping[str, Any]) -> OrderName:
    """The order that `orderId`, `origClientOrderId` or both name.

    Raises:
        Rejected: neither was sent, or one is not well formed; CLIENT_ID_MISMATCH: they can never mean the same order.
    """
    order_id = integer_of(params, "orderId")
    client_id = params.get("origClientOrderId")
    if client_id is None:
        if order_id is None:
            raise Rejected(Reason.MISSING_PARAMETER, "orderId")
        return OrderName(order_id, None)
    if client_id == "":
        raise Rejected(Reason.EMPTY_PARAMETER, "origClientOrderId")
    if type(client_id) is not str or CLIENT_ID_PATTERN.fullmatch(client_id) is None:
        raise Rejected(Reason.ILLEGAL_CHARACTERS, "origClientOrderId", CLIENT_ID_RANGE)
    is_double = order_id is not None
    if client_id.startswith(DERIVED_PREFIX):
        derived_id = _derived_order_id(client_id)
        if order_id not in (None, derived_id):
            raise Rejected(Reason.CLIENT_ID_MISMATCH)
        return OrderName(derived_id, None, is_nameless=True, is_double=is_double)
    # The engine takes an order id of 0 for none, and would cancel the order with the client id.
    return _NO_ORDER if order_id == 0 else OrderName(order_id, client_id, is_double=is_double)


def _derived_order_id(client_id: str) -> int:
    """The order id in a name of the derived form, written as the venue writes it; else 0."""
    order_id = parse_integer(client_id.removeprefix(DERIVED_PREFIX)) or 0
    return order_id if client_id == f"{DERIVED_PREFIX}{order_id}" else 0


def find_order(account: Account, market: MarketNumbers, name: OrderName) -> Order | None:
    """The order of the account in this market, open or among the last closed ones; None where the gateway knows none.

    Raises:
        Rejected: CLIENT_ID_MISMATCH: the order of the id has not the client id that was sent with it.
    """
    order = account.find(name.order_id, name.client_id)
    if order is None or order.market is not market:
        return None
    has_name = order.is_nameless if name.is_nameless else name.client_id in (None, order.client)
    if has_name:
        return order
    if name.is_double:
        raise Rejected(Reason.CLIENT_ID_MISMATCH)
    return None


def named_in(name: OrderName) -> tuple[int, bytes, int]:
    """The fields `order_id`, `client_id` and `flags` of a command that means the order of this name and no other."""
    client_id = NO_CLIENT_ID if name.client_id is None else name.client_id.encode()
    return name.order_id or 0, client_id, CommandFlag.NAMELESS_ONLY if name.is_nameless else 0
