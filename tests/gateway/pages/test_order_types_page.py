"""docs/order-types.md is current, and what it calls mandatory is what the gateway asks for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from engine.listing import Asset, Market
from engine.order_types import OrderType
from engine.reasons import Reason
from engine.records import COMMAND, MarketDefinition
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.orders import place_order
from gateway.dialect.rejects import Reject, Rejected
from gateway.dialect.requests import read_request
from gateway.pages.order_types_page import PAGE, mandatory_parameters, page

KZT, BTC = Asset(1, "KZT", 2), Asset(2, "BTC", 8)
DEFINITION = MarketDefinition(base_asset=2, quote_asset=1, tick_e8=1_000_00000000, lot_units=1_000)
MARKETS = {"BTCKZT": MarketNumbers(Market(1, "BTCKZT", BTC, KZT, DEFINITION, 0, 0))}
VALUES = {
    "timeInForce": "GTC", "price": "50000000", "stopPrice": "49000000", "quantity": "0.5", "quoteOrderQty": "1000",
}  # fmt: skip


def placed(params: dict[str, Any]) -> tuple[bytes, str] | Reject:
    frame = {"id": 1, "method": "order.place", "params": {"symbol": "BTCKZT", "side": "BUY", **params}}
    try:
        return place_order(read_request(orjson.dumps(frame)), MARKETS, 1)
    except Rejected as rejected:
        return rejected.reject


def plain(order_type: OrderType) -> dict[str, Any]:
    """The shortest order of a type: its mandatory parameters, the first of those that stand for each other."""
    names = [name.split(" or ")[0] for name in mandatory_parameters(order_type)]
    return {"type": order_type.name, **{name: VALUES[name] for name in names}}


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run python -m gateway.pages.order_types_page"


@pytest.mark.parametrize("order_type", OrderType, ids=lambda order_type: order_type.name)
def test_what_is_mandatory_is_enough_and_asked_for(order_type: OrderType) -> None:
    params = plain(order_type)
    done = placed(params)
    assert not isinstance(done, Reject), done
    command, answer = done
    assert COMMAND.unpack_from(command).order_type == order_type
    assert answer == ("FULL" if order_type.terms.full_answer else "ACK")
    for name in params.keys() - {"type"}:
        refusal = placed({other: value for other, value in params.items() if other != name})
        assert isinstance(refusal, Reject)
        assert (refusal.reason, refusal.details) == (Reason.MISSING_PARAMETER, (name,))


@pytest.mark.parametrize("order_type", OrderType, ids=lambda order_type: order_type.name)
def test_what_a_type_may_not_have_is_refused_by_name(order_type: OrderType) -> None:
    params = plain(order_type)
    allowed = {word for name in mandatory_parameters(order_type) for word in name.split(" or ")}
    for name in VALUES.keys() - allowed:
        refusal = placed({**params, name: VALUES[name]})
        assert isinstance(refusal, Reject), name
        assert (refusal.reason, refusal.details) == (Reason.PARAMETER_NOT_REQUIRED, (name,))


def test_a_quantity_and_a_quote_amount_exclude_each_other() -> None:
    refusal = placed({**plain(OrderType.MARKET), "quoteOrderQty": "1000"})
    assert isinstance(refusal, Reject)
    assert refusal.reason == Reason.PARAMETER_NOT_REQUIRED
