"""What an executionReport says of its order: `X`, `z` as of the event, and `w` as of the end of the command."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000"}
FIRST, SECOND, BELOW = "50000000", "50001000", "49999000"
"""Two sellers offer 0.1 at the first price and 0.1 at the second."""


def limit(price: str, quantity: str, time: str) -> dict[str, str]:
    return {"type": "LIMIT", "price": price, "quantity": quantity, "timeInForce": time}


def maker(price: str, quantity: str) -> dict[str, str]:
    return {"type": "LIMIT_MAKER", "price": price, "quantity": quantity}


NEW, PART, FULL = ("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("TRADE", "FILLED")
EXPIRED = ("EXPIRED", "EXPIRED")

ORDERS = [
    # the order                             what is reported: x, X, w; and z
    (limit(BELOW, "0.3", "GTC"),            [(*NEW, True, "0")]),
    (maker(BELOW, "0.3"),                   [(*NEW, True, "0")]),
    (limit(FIRST, "0.1", "GTC"),            [(*NEW, False, "0"), (*FULL, False, "0.1")]),
    (limit(FIRST, "0.3", "GTC"),            [(*NEW, True, "0"), (*PART, True, "0.1")]),
    (limit(SECOND, "0.3", "GTC"),           [(*NEW, True, "0"), (*PART, True, "0.1"), (*PART, True, "0.2")]),
    (limit(SECOND, "0.2", "GTC"),           [(*NEW, False, "0"), (*PART, False, "0.1"), (*FULL, False, "0.2")]),
    (limit(SECOND, "0.15", "GTC"),          [(*NEW, False, "0"), (*PART, False, "0.1"), (*FULL, False, "0.15")]),
    (limit(FIRST, "0.3", "IOC"),            [(*NEW, False, "0"), (*PART, False, "0.1"), (*EXPIRED, False, "0.1")]),
    (limit(BELOW, "0.3", "IOC"),            [(*NEW, False, "0"), (*EXPIRED, False, "0")]),
    (limit(FIRST, "0.1", "IOC"),            [(*NEW, False, "0"), (*FULL, False, "0.1")]),
    (limit(FIRST, "0.1", "FOK"),            [(*NEW, False, "0"), (*FULL, False, "0.1")]),
    (limit(FIRST, "0.3", "FOK"),            [(*NEW, False, "0"), (*EXPIRED, False, "0")]),
    ({"type": "MARKET", "quantity": "0.1"}, [(*NEW, False, "0"), (*FULL, False, "0.1")]),
    ({"type": "MARKET", "quantity": "0.3"}, [(*NEW, False, "0"), (*PART, False, "0.1"), (*PART, False, "0.2"), (*EXPIRED, False, "0.2")]),
    ({"type": "MARKET", "quoteOrderQty": "5000000"}, [(*NEW, False, "0"), (*FULL, False, "0.1")]),
]  # fmt: skip


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


def follower(rig: GatewayInProcess) -> InProcessClient:
    client = rig.trader(**RICH)
    client.result("userDataStream.subscribe")
    return client


def reports(client: InProcessClient) -> list[dict[str, Any]]:
    events = [frame["event"] for frame in client.take() if "event" in frame]
    return [event for event in events if event["e"] == "executionReport"]


def reported(client: InProcessClient) -> list[tuple[str, str, bool, str]]:
    return [(report["x"], report["X"], report["w"], f"{float(report['z']):g}") for report in reports(client)]


@pytest.mark.parametrize(("order", "expected"), ORDERS, ids=lambda value: str(value)[:60])
def test_a_taker_learns_where_its_order_is(
    rig: GatewayInProcess, order: dict[str, str], expected: list[tuple[str, str, bool, str]]
) -> None:
    seller, taker = rig.trader(**RICH), follower(rig)
    for price in (FIRST, SECOND):
        seller.place("BTCKZT", "SELL", "0.1", price)
    result = taker.result(
        "order.place", symbol="BTCKZT", side="BUY", timestamp=rig.now_ms, newOrderRespType="RESULT", **order
    )
    assert reported(taker) == expected
    last = expected[-1]
    assert result["status"] == last[1]
    shown = taker.result("order.status", symbol="BTCKZT", orderId=result["orderId"], timestamp=rig.now_ms)
    assert shown["status"] == last[1]
    is_open = bool(taker.result("openOrders.status", timestamp=rig.now_ms))
    assert {report[2] for report in expected} == {is_open}


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("0.04", [(*PART, True, "0.04")]), ("0.1", [(*FULL, False, "0.1")]), ("0.3", [(*FULL, False, "0.1")])],
)
def test_a_maker_learns_where_its_order_is(
    rig: GatewayInProcess, quantity: str, expected: list[tuple[str, str, bool, str]]
) -> None:
    seller, taker = follower(rig), rig.trader(**RICH)
    seller.place("BTCKZT", "SELL", "0.1", FIRST)
    seller.take()
    taker.place("BTCKZT", "BUY", quantity, FIRST)
    assert reported(seller) == expected


def test_whoever_trades_with_themselves_learns_of_both_sides(rig: GatewayInProcess) -> None:
    trader = follower(rig)
    trader.place("BTCKZT", "SELL", "0.1", FIRST)
    trader.take()
    trader.place("BTCKZT", "BUY", "0.3", FIRST)
    assert reported(trader) == [(*NEW, True, "0"), (*FULL, False, "0.1"), (*PART, True, "0.1")]


def test_an_order_that_is_cancelled_is_in_no_book(rig: GatewayInProcess) -> None:
    trader = follower(rig)
    trader.place("BTCKZT", "BUY", "0.3", FIRST)
    trader.result("order.cancel", symbol="BTCKZT", orderId=1, timestamp=rig.now_ms)
    assert reported(trader) == [(*NEW, True, "0"), ("CANCELED", "CANCELED", False, "0")]


def test_orders_of_one_batch_are_reported_apart(rig: GatewayInProcess) -> None:
    """What ends an order in the next command does not count for the reports of the first."""
    trader = follower(rig)
    for id, params in enumerate((limit(FIRST, "0.1", "GTC"), maker(BELOW, "0.1")), 1):
        placing = {"symbol": "BTCKZT", "side": "BUY", "timestamp": rig.now_ms, **params}
        trader.send({"id": id, "method": "order.place", "params": placing})
    trader.send(
        {"id": 3, "method": "order.cancel", "params": {"symbol": "BTCKZT", "orderId": 1, "timestamp": rig.now_ms}}
    )
    rig.turn()
    assert reported(trader) == [(*NEW, True, "0"), (*NEW, True, "0"), ("CANCELED", "CANCELED", False, "0")]


def test_whoever_subscribes_later_gets_the_same(rig: GatewayInProcess) -> None:
    seller = rig.trader(**RICH)
    seller.place("BTCKZT", "SELL", "0.1", FIRST)
    seller.result("userDataStream.subscribe")
    rig.trader(**RICH).place("BTCKZT", "BUY", "0.04", FIRST)
    assert reported(seller) == [(*PART, True, "0.04")]
