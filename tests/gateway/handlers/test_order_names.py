"""One name, one order: whatever names an order means the same one for every method, and for the engine."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.records import NO_CLIENT_ID, Command, CommandKind
from tests.worlds.accounts import MARKETS
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000", "ETH": "1000"}


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


@pytest.fixture
def trader(rig: GatewayInProcess) -> InProcessClient:
    """Their order 1 is called "mine" and rests, 2 has no name and rests, 3 was called "gone" and is cancelled, and 4, called
    "there", rests in another market. Order 5 is another's, called "mine"."""
    trader = rig.trader(**RICH)
    trader.place("BTCKZT", "BUY", "0.01", "40000000", newClientOrderId="mine")
    trader.place("BTCKZT", "BUY", "0.01", "41000000")
    trader.place("BTCKZT", "BUY", "0.01", "42000000", newClientOrderId="gone")
    trader.result("order.cancel", symbol="BTCKZT", orderId=3, timestamp=rig.now_ms)
    trader.place("ETHKZT", "BUY", "0.01", "1000000", newClientOrderId="there")
    rig.trader(**RICH).place("BTCKZT", "BUY", "0.01", "43000000", newClientOrderId="mine")
    return trader


NAMES = [
    # orderId  origClientOrderId            order   code of a cancel, of a query
    (1,        None,                        1,      None,   None),
    (None,     "mine",                      1,      None,   None),
    (1,        "mine",                      1,      None,   None),
    ("1",      "mine",                      1,      None,   None),
    (2,        None,                        2,      None,   None),
    (None,     "jibek-2",                   2,      None,   None),
    (2,        "jibek-2",                   2,      None,   None),
    (None,     "jibek-1",                   None,   -2011,  -2013),
    (1,        "jibek-1",                   None,   -2039,  -2039),
    (1,        "jibek-2",                   None,   -2039,  -2039),
    (2,        "jibek-1",                   None,   -2039,  -2039),
    (2,        "jibek-x",                   None,   -2039,  -2039),
    (2,        "mine",                      None,   -2039,  -2039),
    (1,        "gone",                      None,   -2039,  -2039),
    (1,        "nobody",                    None,   -2039,  -2039),
    (1,        "there",                     None,   -2039,  -2039),
    (0,        None,                        None,   -2011,  -2013),
    (0,        "mine",                      None,   -2011,  -2013),
    (99,       "mine",                      None,   -2011,  -2013),
    (99,       None,                        None,   -2011,  -2013),
    (4,        None,                        None,   -2011,  -2013),
    (4,        "there",                     None,   -2011,  -2013),
    (None,     "there",                     None,   -2011,  -2013),
    (5,        None,                        None,   -2011,  -2013),
    (5,        "mine",                      None,   -2011,  -2013),
    (None,     "jibek-4",                   None,   -2011,  -2013),
    (None,     "jibek-5",                   None,   -2011,  -2013),
    (None,     "jibek-02",                  None,   -2011,  -2013),
    (None,     "jibek-0",                   None,   -2011,  -2013),
    (None,     "jibek-",                    None,   -2011,  -2013),
    (None,     "jibek--2",                  None,   -2011,  -2013),
    (None,     "jibek-2.0",                 None,   -2011,  -2013),
    (None,     "jibek-cancel-2",            None,   -2011,  -2013),
    (None,     "jibek-9223372036854775807", None,   -2011,  -2013),
    (None,     "jibek-9223372036854775808", None,   -2011,  -2013),
    (None,     "jibek-99999999999999999999", None,  -2011,  -2013),
    (None,     "JIBEK-2",                   None,   -2011,  -2013),
    (None,     "jibek-+2",                  None,   -1100,  -1100),
    (None,     "",                          None,   -1105,  -1105),
    (None,     2,                           None,   -1100,  -1100),
    (None,     None,                        None,   -1102,  -1102),
]  # fmt: skip


def names(order_id: object, client_id: object) -> dict[str, object]:
    params = {"orderId": order_id, "origClientOrderId": client_id}
    return {name: value for name, value in params.items() if value is not None}


@pytest.mark.parametrize(("order_id", "client_id", "order", "cancel_code", "query_code"), NAMES)
def test_a_name_means_the_same_order_for_every_method(
    rig: GatewayInProcess,
    trader: InProcessClient,
    order_id: object,
    client_id: object,
    order: int | None,
    cancel_code: int | None,
    query_code: int | None,
) -> None:
    params = {"symbol": "BTCKZT", "timestamp": rig.now_ms, **names(order_id, client_id)}
    before = set(rig.projection.orders)
    shown, cancelled = trader.ask("order.status", **params), trader.ask("order.cancel", **params)
    assert shown.get("error", {}).get("code") == query_code
    assert cancelled.get("error", {}).get("code") == cancel_code
    if order is not None:
        assert (shown["result"]["orderId"], cancelled["result"]["orderId"]) == (order, order)
    assert before - set(rig.projection.orders) == ({order} if order else set())


@pytest.mark.parametrize(
    ("own_name", "named", "code"),
    [
        ({}, {"origClientOrderId": "jibek-1"}, None),
        ({}, {"orderId": 1, "origClientOrderId": "jibek-1"}, None),
        ({}, {"orderId": 1, "origClientOrderId": "mine"}, -2011),
        ({"newClientOrderId": "mine"}, {"origClientOrderId": "jibek-1"}, -2011),
        ({"newClientOrderId": "mine"}, {"orderId": 1, "origClientOrderId": "jibek-1"}, -2011),
        ({"newClientOrderId": "mine"}, {"orderId": 1, "origClientOrderId": "other"}, -2011),
        ({"newClientOrderId": "mine"}, {"orderId": 0, "origClientOrderId": "mine"}, -2011),
        ({"newClientOrderId": "mine"}, {"orderId": 1, "origClientOrderId": "mine"}, None),
    ],
    ids=repr,
)
def test_a_name_is_not_mistaken_before_the_gateway_has_read_the_order(
    rig: GatewayInProcess, own_name: dict[str, str], named: dict[str, Any], code: int | None
) -> None:
    """Place and cancel travel in one batch, so only the engine can tell whose name it is."""
    trader = rig.trader(**RICH)
    placing = trader.limit("BTCKZT", "BUY", "0.01", "40000000", **own_name)
    trader.send({"id": 1, "method": "order.place", "params": placing})
    trader.send({"id": 2, "method": "order.cancel", "params": {"symbol": "BTCKZT", "timestamp": rig.now_ms, **named}})
    rig.turn()
    replies = {reply["id"]: reply for reply in trader.take()}
    assert replies[1]["status"] == 200
    assert replies[2].get("error", {}).get("code") == code
    assert len(rig.projection.orders) == (0 if code is None else 1)


def test_what_is_shown_for_an_id_of_another_producer_names_no_order(rig: GatewayInProcess) -> None:
    """Its bytes are no text of the dialect, so the same text may be the name of another order."""
    trader = rig.trader(**RICH)
    trader.place("BTCKZT", "BUY", "0.01", "40000000", newClientOrderId="____")
    place = Command(
        kind=CommandKind.ORDER_PLACE, account=1, market=MARKETS["BTCKZT"], side=1, order_type=1, time_in_force=1,
        price_ticks=50_000, quantity_lots=1000, client_id=b'"},\xff',
    )  # fmt: skip
    rig.command(place)
    assert trader.result("order.status", symbol="BTCKZT", orderId=2, timestamp=rig.now_ms)["clientOrderId"] == "____"
    params = {"symbol": "BTCKZT", "origClientOrderId": "____", "timestamp": rig.now_ms}
    assert trader.result("order.status", **params)["orderId"] == 1
    assert trader.result("order.cancel", **params)["orderId"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_cancels_and_queries_agree_on_every_pair_of_names(seed: int) -> None:
    pick = random.Random(seed)
    rig = GatewayInProcess()
    traders = [rig.trader(**RICH) for _ in range(2)]
    for _ in range(600):
        trader = pick.choice(traders)
        if pick.random() < 0.4:
            place_one(trader, pick)
        else:
            ask_both(rig, trader, pick)


def place_one(trader: InProcessClient, pick: random.Random) -> None:
    symbol, price = pick.choice([("BTCKZT", "40000000"), ("ETHKZT", "1000000")])
    own_name = {"newClientOrderId": f"c{pick.randrange(4)}"} if pick.random() < 0.6 else {}
    trader.ask("order.place", **trader.limit(symbol, "BUY", "0.01", price, **own_name))


def ask_both(rig: GatewayInProcess, trader: InProcessClient, pick: random.Random) -> None:
    """Asks for an order and cancels it by the same name: both mean the same one, or none is cancelled."""
    last = rig.core.exchange.last_order_id
    order_id = pick.choice([None, pick.randint(0, last + 1)])
    client_id = pick.choice([None, f"c{pick.randrange(4)}", f"jibek-{order_id}", f"jibek-{pick.randint(0, last + 1)}"])
    params = {"symbol": pick.choice(["BTCKZT", "ETHKZT"]), "timestamp": rig.now_ms, **names(order_id, client_id)}
    before = dict(rig.core.exchange.orders)
    shown, cancelled = trader.ask("order.status", **params), trader.ask("order.cancel", **params)
    gone = before.keys() - rig.core.exchange.orders.keys()
    if shown["status"] == 200 and shown["result"]["status"] == "NEW":
        order = before[shown["result"]["orderId"]]
        assert gone == {order.id}, (params, shown, cancelled)
        assert order.account == rig.state.view.keys.get(trader.key.id).account.number  # type: ignore[union-attr]
        if client_id is not None:
            own_name = order.client_id.rstrip(b"\0").decode()
            assert client_id == (f"jibek-{order.id}" if order.client_id == NO_CLIENT_ID else own_name)
        assert order_id in (None, order.id)
    else:
        assert gone == set(), (params, shown, cancelled)
        assert cancelled["status"] != 200


@pytest.mark.parametrize(
    ("filled", "restriction", "code"),
    [
        ("0", "ONLY_NEW", None),
        ("0", "ONLY_PARTIALLY_FILLED", -2011),
        ("0.01", "ONLY_NEW", -2011),
        ("0.01", "ONLY_PARTIALLY_FILLED", None),
        ("0", "only_new", -1145),
        ("0", "", -1145),
        ("0", 1, -1145),
        ("0", True, -1145),
        ("0.01", None, None),
    ],
)
def test_a_cancel_may_ask_for_what_is_filled(
    rig: GatewayInProcess, filled: str, restriction: object, code: int | None
) -> None:
    """The fill travels in the batch of the cancel: the engine judges, whatever the gateway knows."""
    trader, taker = rig.trader(**RICH), rig.trader(**RICH)
    trader.place("BTCKZT", "SELL", "0.02", "40000000")
    if filled != "0":
        taker.send({"id": 1, "method": "order.place", "params": taker.limit("BTCKZT", "BUY", filled, "40000000")})
    params = {"symbol": "BTCKZT", "orderId": 1, "cancelRestrictions": restriction, "timestamp": rig.now_ms}
    reply = trader.ask("order.cancel", **params)
    assert reply.get("error", {}).get("code") == code
    if code == -2011:
        assert reply["error"]["msg"] == "Order was not canceled due to cancel restrictions."
    assert len(rig.projection.orders) == (0 if code is None else 1)
