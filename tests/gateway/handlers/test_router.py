"""Requests and replies over the whole gateway but its sockets, with the reference engine behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.records import CLIENT_ID_BYTES, Command, CommandKind, EventEntry, EventKind, MarketState, Permission
from gateway import limits
from gateway.limits import RateLimitSettings
from tests.worlds.accounts import BY_TEST, MARKETS
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000", "USDT": "1000000", "ETH": "1000"}


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


@pytest.fixture
def trader(rig: GatewayInProcess) -> InProcessClient:
    return rig.trader(**RICH)


# -- envelopes


@pytest.mark.parametrize("id", ["1", "ab-c", "ключ", 'quote"s', 7, -7, 0, 2**53, None, ""])
def test_an_id_comes_back_as_it_was_sent(rig: GatewayInProcess, id: object) -> None:
    reply = rig.client().ask_frame({"id": id, "method": "ping"})
    assert reply["id"] == id
    assert type(reply["id"]) is type(id)
    assert (reply["status"], reply["result"]) == (200, {})


@pytest.mark.parametrize(
    "frame",
    [b"", b"{", b"[]", b"1", b"null", b'{"id":1}', b'{"id":1.5,"method":"ping"}', b'{"id":true,"method":"ping"}',
     b'{"id":[1],"method":"ping"}', b'{"id":1,"method":7}', b'{"id":1,"method":"ping","params":[]}',
     b'{"id":1,"method":"ping","params":"x"}', b"[" * 5000],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_session_lives(rig: GatewayInProcess, frame: bytes) -> None:
    client = rig.client()
    assert client.ask_frame(frame)["error"]["code"] == -1135
    assert client.result("ping") == {}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b'{"id":1,"id":1,"method":"ping"}', -1101),
        (b'{"id":1,"method":"ping","method":"time"}', -1101),
        (b'{"id":1,"method":"depth","params":{"symbol":"BTCKZT","symbol":"ETHKZT"}}', -1101),
        (b'{"id":1,"method":"depth","params":{"symbol":"BTCKZT","x":{"a":1,"a":2}}}', -1101),
        (b'{"id":1,"method":"depth","params":{"symbol":"BTCKZT","x":{"a":1,"b":":"},"y":":"}}', None),
        (b'{"id":"a:b","method" : "depth","params":{"symbol":"BTCKZT","x":' + b"[" * 1000 + b"]" * 1000 + b"}}", -1135),
        (b'{"id":1,"method":"exchangeInfo","params":{"symbols":["BTCKZT","BTCKZT"]}}', -1101),
    ],
)
def test_a_name_twice_is_refused(rig: GatewayInProcess, frame: bytes, code: int | None) -> None:
    assert rig.client().ask_frame(frame).get("error", {}).get("code") == code


@pytest.mark.parametrize("method", ["order.amend.keepPriority", "orderList.place", "nonsense", "", "v3/nonsense"])
def test_an_unknown_method_is_refused_by_name(rig: GatewayInProcess, method: str) -> None:
    client = rig.client()
    code, message = client.refusal(method)
    assert code == -1020
    assert method.removeprefix("v3/") in message
    assert client.result("v3/ping") == {}


@pytest.mark.parametrize(
    ("value", "shown"), [(False, False), ("false", False), ("FALSE", False), (True, True), ("true", True), (None, True)]
)
def test_rate_limits_are_shown_unless_declined(rig: GatewayInProcess, value: object, shown: bool) -> None:
    assert ("rateLimits" in rig.client().ask("ping", returnRateLimits=value)) is shown
    assert ("rateLimits" in rig.client(shows_rate_limits=False).ask("ping")) is False


def test_order_methods_show_order_counts(trader: InProcessClient) -> None:
    reply = trader.ask("order.place", **trader.limit("BTCKZT", "BUY", "0.01", "40000000"))
    kinds = [(limit["rateLimitType"], limit["interval"], limit["count"]) for limit in reply["rateLimits"]]
    assert kinds[:2] == [("ORDERS", "SECOND", 1), ("ORDERS", "DAY", 1)]
    assert kinds[2][0] == "REQUEST_WEIGHT"


@pytest.mark.parametrize(
    ("method", "params", "kinds"),
    [
        ("order.place", {"side": "BUY", "type": "LIMIT_MAKER", "price": "40000000", "quantity": "0.01"}, 3),
        ("order.cancel", {"orderId": 1}, 1),
        ("openOrders.cancelAll", {}, 1),
    ],
)
def test_an_overloaded_pipeline_shows_order_counts_for_orders_only(
    trader: InProcessClient, method: str, params: dict[str, Any], kinds: int
) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "40000000")
    trader.session.waiting = limits.PipelineLimits().commands_per_session_max
    reply = trader.ask(method, symbol="BTCKZT", timestamp=trader.time_ms(), **params)
    assert reply["error"]["code"] == -1008
    assert len(reply["rateLimits"]) == kinds


# -- placing orders


def order(**changes: Any) -> dict[str, Any]:
    """A good limit order with some parameters changed; None takes one away."""
    params = {
        "symbol": "BTCKZT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
        "price": "50000000", **changes,
    }  # fmt: skip
    return {name: value for name, value in params.items() if value is not None}


MARKET = {"type": "MARKET", "timeInForce": None, "price": None}
MAKER = {"type": "LIMIT_MAKER", "timeInForce": None}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"symbol": None}, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ({"symbol": ""}, -1102, "'symbol'"),
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"symbol": "btckzt"}, -1121, "Invalid symbol."),
        ({"symbol": ["BTCKZT"]}, -1102, "'symbol'"),
        ({"side": None}, -1102, "'side'"),
        ({"side": "buy"}, -1117, "Invalid side."),
        ({"side": {}}, -1117, "Invalid side."),
        ({"type": None}, -1102, "'type'"),
        ({"type": "LIMIT_"}, -1116, "Invalid orderType."),
        ({"type": "STOP_LOSS"}, -1013, "Stop loss orders are not supported for this symbol."),
        ({"type": "TAKE_PROFIT_LIMIT"}, -1013, "Take profit limit orders are not supported"),
        ({"icebergQty": "0.001"}, -1013, "Iceberg orders are not supported for this symbol."),
        ({"trailingDelta": 10}, -1013, "Trailing stop orders are not supported for this symbol."),
        ({"pegPriceType": "PRIMARY_PEG"}, -1013, "Pegged orders are not supported"),
        ({"stopPrice": "1"}, -1106, "Parameter 'stopPrice' sent when not required."),
        ({"selfTradePreventionMode": "EXPIRE_TAKER"}, -1130, "'selfTradePreventionMode'"),
        ({"timeInForce": None}, -1102, "'timeInForce'"),
        ({"timeInForce": "GTD"}, -1115, "Invalid timeInForce."),
        ({"price": None}, -1102, "'price'"),
        ({"price": "0"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "50000001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "5e7"}, -1100, "Illegal characters found in parameter 'price'; legal range is '^([0-9]{1,20})"),
        ({"price": "-1"}, -1100, "'price'"),
        ({"price": "0.000000001"}, -1111, "Parameter 'price' has too much precision."),
        ({"price": "99999999999999999999"}, -1108, "Parameter 'price' overflowed."),
        ({"price": "90000000000"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": True}, -1100, "'price'"),
        ({"quantity": None}, -1102, "'quantity'"),
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": 0}, -1013, "Filter failure: LOT_SIZE"),
        ({"quoteOrderQty": "5"}, -1106, "'quoteOrderQty'"),
        ({**MARKET, "price": "1"}, -1106, "'price'"),
        ({**MARKET, "timeInForce": "GTC"}, -1106, "'timeInForce'"),
        ({**MARKET, "quantity": None}, -1102, "'quantity'"),
        ({**MARKET, "quoteOrderQty": "5"}, -1106, "'quantity'"),
        ({**MARKET, "quantity": None, "quoteOrderQty": "0"}, -1013, "Filter failure: NOTIONAL"),
        ({**MARKET, "quantity": None, "quoteOrderQty": "100.001"}, -1111, "'quoteOrderQty'"),
        ({**MAKER, "timeInForce": "GTC"}, -1106, "'timeInForce'"),
        ({"newClientOrderId": ""}, -1105, "Parameter 'newClientOrderId' was empty."),
        ({"newClientOrderId": "a b"}, -1100, "'newClientOrderId'"),
        ({"newClientOrderId": "x" * (CLIENT_ID_BYTES + 1)}, -1100, "'newClientOrderId'"),
        ({"newClientOrderId": 5}, -1100, "'newClientOrderId'"),
        ({"newClientOrderId": "jibek-5"}, -1130, "'newClientOrderId'"),
        ({"newOrderRespType": "LONG"}, -1130, "'newOrderRespType'"),
        ({"timestamp": None}, -1102, "'timestamp'"),
        ({"timestamp": "soon"}, -1100, "'timestamp'"),
        ({"recvWindow": 60001}, -1131, "recvWindow must be less than 60000."),
        (
            {"symbol": "ETHKZT", "side": "SELL", "quantity": "1001", "price": "1000000"},
            -2010,
            "Account has insufficient balance for requested action.",
        ),
        ({"quantity": "0.00001", "price": "1000"}, -1013, "Filter failure: NOTIONAL"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_an_order_that_is_refused(
    rig: GatewayInProcess, trader: InProcessClient, changes: dict[str, Any], code: int, words: str
) -> None:
    before, count = rig.core.state_hash(), len(rig.published)
    balances = list(rig.core.balances())
    params = order(**{"timestamp": rig.now_ms, **changes})
    refusal = trader.refusal("order.place", **params)
    assert refusal[0] == code
    assert words in refusal[1]
    # What only the engine can judge has passed through the journal; all else never got there.
    kinds = [event.kind for entry in rig.published[count:] for event in EventEntry(entry.data)]
    assert kinds == [EventKind.REJECTED] or (kinds == [] and rig.core.state_hash() == before)
    assert not rig.projection.orders
    assert list(rig.core.balances()) == balances


@pytest.mark.parametrize(
    ("changes", "price", "quantity"),
    [
        ({}, "50000000.00000000", "0.01000000"),
        ({"price": 50000000}, "50000000.00000000", "0.01000000"),
        ({"price": 5e7}, "50000000.00000000", "0.01000000"),
        ({"quantity": 0.01}, "50000000.00000000", "0.01000000"),
        ({"quantity": 1e-05, "price": 90000000}, "90000000.00000000", "0.00001000"),
        ({"quantity": "0.010"}, "50000000.00000000", "0.01000000"),
        ({"whatever": {"a": [1]}}, "50000000.00000000", "0.01000000"),
        (MAKER, "50000000.00000000", "0.01000000"),
        ({**MAKER, "postOnly": True}, "50000000.00000000", "0.01000000"),
        ({"postOnly": False, "reduceOnly": "false", "hidden": None}, "50000000.00000000", "0.01000000"),
        ({"selfTradePreventionMode": "NONE"}, "50000000.00000000", "0.01000000"),
        ({"icebergQty": None, "recvWindow": 5000.5}, "50000000.00000000", "0.01000000"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_an_order_in_every_form_that_clients_send(
    trader: InProcessClient, changes: dict[str, Any], price: str, quantity: str
) -> None:
    params = order(**{"timestamp": trader.rig.now_ms, "newOrderRespType": "RESULT", **changes})
    result = trader.result("order.place", **params)
    assert (result["price"], result["origQty"], result["status"]) == (price, quantity, "NEW")


def test_a_number_keeps_every_digit(trader: InProcessClient) -> None:
    trader.ask_frame(
        b'{"id":1,"method":"order.place","params":{"symbol":"BTCUSDT","side":"SELL","type":"LIMIT","timeInForce":"GTC",'
        b'"quantity":1e-6,"price":1234567.89,"timestamp":%d}}' % trader.rig.now_ms
    )
    (resting,) = trader.result("openOrders.status", timestamp=trader.rig.now_ms)
    assert (resting["origQty"], resting["price"]) == ("0.00000100", "1234567.89000000")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, "full"),
        (MAKER, "ack"),
        ({"newOrderRespType": "ACK"}, "ack"),
        ({"newOrderRespType": "RESULT"}, "result"),
        ({"newOrderRespType": "FULL", **MAKER}, "full"),
    ],
    ids=repr,
)
def test_the_reply_has_the_fields_of_its_type(trader: InProcessClient, changes: dict[str, Any], fields: str) -> None:
    ack = {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    result = ack | {
        "price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce", "type",
        "side", "workingTime", "selfTradePreventionMode",
    }  # fmt: skip
    reply = trader.result("order.place", **order(timestamp=trader.rig.now_ms, **changes))
    assert set(reply) == {"ack": ack, "result": result, "full": result | {"fills"}}[fields]


def test_fills_are_told_with_price_fee_and_trade(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "SELL", "0.10", "50000000")
    trader.place("BTCKZT", "SELL", "0.10", "50001000")
    taker = rig.trader(**RICH)
    result = taker.place("BTCKZT", "BUY", "0.15", "50001000")
    assert (result["status"], result["executedQty"]) == ("FILLED", "0.15000000")
    assert result["cummulativeQuoteQty"] == "7500050.00000000"
    assert [(fill["price"], fill["qty"], fill["commissionAsset"], fill["tradeId"]) for fill in result["fills"]] == [
        ("50000000.00000000", "0.10000000", "BTC", 1),
        ("50001000.00000000", "0.05000000", "BTC", 2),
    ]
    assert result["fills"][0]["commission"] == "0.00010000"


@pytest.mark.parametrize(
    ("changes", "status", "executed", "asked"),
    [
        ({"timeInForce": "IOC", "quantity": "0.3"}, "EXPIRED", "0.10000000", "0.00000000"),
        ({"timeInForce": "FOK", "quantity": "0.3"}, "EXPIRED", "0.00000000", "0.00000000"),
        ({"timeInForce": "GTC", "quantity": "0.3"}, "PARTIALLY_FILLED", "0.10000000", "0.00000000"),
        ({**MARKET, "quantity": "0.3"}, "EXPIRED", "0.10000000", "0.00000000"),
        ({**MARKET, "quantity": None, "quoteOrderQty": "1000000"}, "FILLED", "0.02000000", "1000000.00000000"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else None,
)
def test_what_is_left_of_an_order_ends_as_its_type_says(
    rig: GatewayInProcess, trader: InProcessClient, changes: dict[str, Any], status: str, executed: str, asked: str
) -> None:
    trader.place("BTCKZT", "SELL", "0.10", "50000000")
    taker = rig.trader(**RICH)
    result = taker.result("order.place", **order(timestamp=rig.now_ms, **changes))
    assert (result["executedQty"], result["origQuoteOrderQty"]) == (executed, asked)
    assert result["status"] == status
    status_now = taker.result("order.status", symbol="BTCKZT", orderId=result["orderId"], timestamp=rig.now_ms)
    assert status_now["status"] == result["status"]


def test_a_maker_order_that_would_take_is_refused(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "SELL", "0.10", "50000000")
    code, message = trader.refusal("order.place", **order(timestamp=rig.now_ms, **MAKER))
    assert (code, message) == (-2010, "Order would immediately match and take.")


def test_a_client_id_is_unique_among_open_orders(rig: GatewayInProcess, trader: InProcessClient) -> None:
    params = order(timestamp=rig.now_ms, newClientOrderId="x-TKT5PX2F.1_a:/-")
    assert trader.result("order.place", **params)["clientOrderId"] == "x-TKT5PX2F.1_a:/-"
    assert trader.refusal("order.place", **params) == (-2010, "Duplicate order sent.")
    trader.result("order.cancel", symbol="BTCKZT", origClientOrderId="x-TKT5PX2F.1_a:/-", timestamp=rig.now_ms)
    assert trader.result("order.place", **params)["orderId"] == 2


@pytest.mark.parametrize("whole_venue", [False, True])
def test_a_halted_market_takes_cancels_only(rig: GatewayInProcess, trader: InProcessClient, whole_venue: bool) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "50000000")
    market = 0 if whole_venue else MARKETS["BTCKZT"]
    command = Command(kind=CommandKind.MARKET_STATE_SET, market=market, state=MarketState.HALTED)
    rig.command(command, *BY_TEST)
    assert trader.refusal("order.place", **order(timestamp=rig.now_ms)) == (-2010, "Market is closed.")
    assert trader.result("exchangeInfo", symbol="BTCKZT")["symbols"][0]["status"] == "HALT"
    assert len(trader.result("openOrders.cancelAll", symbol="BTCKZT", timestamp=rig.now_ms)) == 1


def test_a_frozen_account_is_told_so(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "50000000")
    rig.command(Command(kind=CommandKind.ACCOUNT_FREEZE, account=1), *BY_TEST)
    status = trader.result("order.status", symbol="BTCKZT", orderId=1, timestamp=rig.now_ms)
    assert status["status"] == "CANCELED"
    assert trader.result("account.status", timestamp=rig.now_ms)["canTrade"] is False
    refusal = trader.refusal("order.place", **order(timestamp=rig.now_ms))
    assert refusal == (-2010, "This action is disabled on this account.")


# -- cancelling and asking


def test_a_cancel_tells_both_client_ids(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "50000000", newClientOrderId="mine")
    result = trader.result("order.cancel", symbol="BTCKZT", orderId="1", newClientOrderId="bye", timestamp=rig.now_ms)
    assert (result["origClientOrderId"], result["clientOrderId"], result["status"]) == ("mine", "bye", "CANCELED")


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ({}, -1102, "Mandatory parameter 'orderId' was not sent, was empty/null, or malformed."),
        ({"orderId": 99}, -2011, "Unknown order sent."),
        ({"origClientOrderId": "nobody"}, -2011, "Unknown order sent."),
        ({"origClientOrderId": "jibek-99"}, -2011, "Unknown order sent."),
        ({"orderId": "x"}, -1100, "Illegal characters found in parameter 'orderId'; legal range is '^[0-9]{1,20}$'."),
        ({"orderId": 1, "origClientOrderId": "other"}, -2039, "Client order ID is not correct for this order ID."),
        ({"orderId": 1, "cancelRestrictions": "NEVER"}, -1145, "Invalid cancelRestrictions"),
        ({"orderId": 1, "newClientOrderId": "a b"}, -1100, "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[A-Za-z0-9._:/-]{1,36}$'."),
        ({"orderId": 1, "symbol": "ETHKZT"}, -2011, "Unknown order sent."),
    ],
    ids=repr,
)  # fmt: skip
def test_a_cancel_that_is_refused(
    rig: GatewayInProcess, trader: InProcessClient, params: dict[str, Any], code: int, message: str
) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "50000000", newClientOrderId="mine")
    full = {"symbol": "BTCKZT", "timestamp": rig.now_ms, **params}
    assert trader.refusal("order.cancel", **full) == (code, message)
    assert len(rig.projection.orders) == 1


def test_an_order_without_a_client_id_is_found_by_the_derived_one(
    rig: GatewayInProcess, trader: InProcessClient
) -> None:
    assert trader.place("BTCKZT", "BUY", "0.01", "50000000")["clientOrderId"] == "jibek-1"
    params = {"symbol": "BTCKZT", "origClientOrderId": "jibek-1", "timestamp": rig.now_ms}
    assert trader.result("order.status", **params)["orderId"] == 1
    assert trader.result("order.cancel", **params)["origClientOrderId"] == "jibek-1"
    assert trader.result("order.status", **params)["status"] == "CANCELED"


def test_cancel_all_ends_the_orders_of_one_market(rig: GatewayInProcess, trader: InProcessClient) -> None:
    for price in ("50000000", "49000000"):
        trader.place("BTCKZT", "BUY", "0.01", price)
    trader.place("ETHKZT", "BUY", "0.01", "2000000")
    cancelled = trader.result("openOrders.cancelAll", symbol="BTCKZT", timestamp=rig.now_ms)
    assert [(order["orderId"], order["status"]) for order in cancelled] == [(1, "CANCELED"), (2, "CANCELED")]
    refusal = trader.refusal("openOrders.cancelAll", symbol="BTCKZT", timestamp=rig.now_ms)
    assert refusal == (-2011, "Unknown order sent.")
    (left,) = trader.result("openOrders.status", timestamp=rig.now_ms)
    assert left["symbol"] == "ETHKZT"


def test_cancel_all_names_more_orders_than_are_remembered(
    rig: GatewayInProcess, trader: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLOSED_ORDERS_MAX", 2)
    for _ in range(5):
        trader.place("BTCKZT", "BUY", "0.01", "50000000")
    cancelled = trader.result("openOrders.cancelAll", symbol="BTCKZT", timestamp=rig.now_ms)
    assert [order["orderId"] for order in cancelled] == [1, 2, 3, 4, 5]
    assert trader.refusal("order.status", symbol="BTCKZT", orderId=1, timestamp=rig.now_ms)[0] == -2013


def test_nobody_sees_or_cancels_the_orders_of_others(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "50000000", newClientOrderId="mine")
    other = rig.trader(**RICH)
    for name in ({"orderId": 1}, {"origClientOrderId": "mine"}, {"origClientOrderId": "jibek-1"}):
        params = {"symbol": "BTCKZT", "timestamp": rig.now_ms, **name}
        assert other.refusal("order.status", **params) == (-2013, "Order does not exist.")
        assert other.refusal("order.cancel", **params)[0] == -2011
    assert other.result("openOrders.status", timestamp=rig.now_ms) == []
    assert len(rig.projection.orders) == 1


def test_the_account_of_a_request_is_that_of_its_key(rig: GatewayInProcess, trader: InProcessClient) -> None:
    """Parameters that name the account of another do not change it."""
    trader.place("BTCKZT", "BUY", "0.01", "40000000")
    account = rig.projection.orders[1].account.number
    other = rig.trader(KZT="1000000")
    placed = other.place("BTCKZT", "BUY", "0.01", "50000000", account=account, accountId=account)
    assert rig.projection.orders[placed["orderId"]].account.number != account
    for client, order_id in ((trader, 1), (other, placed["orderId"])):
        (shown,) = client.result("openOrders.status", timestamp=rig.now_ms)
        assert shown["orderId"] == order_id


def test_balances_show_what_is_free_and_what_is_held(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "SELL", "0.25", "50000000")
    result = trader.result("account.status", timestamp=rig.now_ms, omitZeroBalances="true")
    shown = {balance["asset"]: (balance["free"], balance["locked"]) for balance in result["balances"]}
    assert shown["BTC"] == ("999.75000000", "0.25000000")
    assert result["permissions"] == ["USER_DATA", "SPOT"]


def test_own_trades_are_remembered(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "SELL", "0.10", "50000000")
    rig.trader(**RICH).place("BTCKZT", "BUY", "0.10", "50000000")
    (trade,) = trader.result("myTrades", symbol="BTCKZT", timestamp=rig.now_ms)
    assert (trade["isBuyer"], trade["isMaker"], trade["qty"], trade["commissionAsset"]) == (
        False,
        True,
        "0.10000000",
        "KZT",
    )


# -- time and limits


@pytest.mark.parametrize(
    ("offset_ms", "window", "code"),
    [(0, None, None), (999, None, None), (1000, None, -1021), (-5000, None, None), (-5001, None, -1021),
     (-60000, 60000, None), (-11, 10.5, -1021), (-10, "10", None)],
)  # fmt: skip
def test_the_window_of_a_timestamp(
    rig: GatewayInProcess, trader: InProcessClient, offset_ms: int, window: object, code: int | None
) -> None:
    for scale in (1, 1000):
        params = order(timestamp=(rig.now_ms + offset_ms) * scale, recvWindow=window)
        reply = trader.ask("order.place", **params)
        assert reply.get("error", {}).get("code") == code


def test_an_order_that_grew_old_in_the_queue_does_not_leave(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.send({"id": 1, "method": "order.place", "params": order(timestamp=rig.now_ms)})
    rig.now_ms += 5001
    assert rig.turn() == 0
    (reply,) = trader.take()
    assert reply["error"]["code"] == -1021


def test_request_weight_is_limited_by_address_and_minute() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=10))
    client = rig.client()
    for _ in range(10):
        client.result("ping")
    reply = client.ask("ping")
    assert (reply["status"], reply["error"]["code"]) == (429, -1003)
    assert 0 < reply["error"]["data"]["retryAfter"] - rig.now_ms <= 60_000
    assert rig.get("/api/v3/ping")[0] == 429
    rig.now_ms += 60_000
    assert client.result("ping") == {}


def test_unfilled_orders_are_limited_by_account() -> None:
    rig = GatewayInProcess(RateLimitSettings(orders_per_10_s=2))
    trader, other = rig.trader(**RICH), rig.trader(**RICH)
    for _ in range(2):
        trader.place("BTCKZT", "SELL", "0.01", "50000000")
    reply = trader.ask("order.place", **order(timestamp=rig.now_ms, side="SELL"))
    assert (reply["status"], reply["error"]["code"]) == (429, -1015)
    assert reply["error"]["msg"] == "Too many new orders; current limit is 2 orders per 10 SECOND."
    other.place("BTCKZT", "BUY", "0.01", "50000000")
    assert trader.ask("order.place", **order(timestamp=rig.now_ms, side="SELL"))["status"] == 200


def test_a_full_store_takes_cancels_only(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "50000000")
    rig.state.is_store_full = True
    assert trader.refusal("order.place", **order(timestamp=rig.now_ms))[0] == -1008
    assert trader.result("order.cancel", symbol="BTCKZT", orderId=1, timestamp=rig.now_ms)["status"] == "CANCELED"


def test_a_lost_answer_is_unknown_and_a_command_that_did_not_leave_is_refused(
    rig: GatewayInProcess, trader: InProcessClient
) -> None:
    trader.send({"id": 1, "method": "order.place", "params": order(timestamp=rig.now_ms)})
    batch = rig.pipeline.next_batch(rig.now_ms / 1000, rig.now_ms)
    assert batch is not None
    trader.send({"id": 2, "method": "order.place", "params": order(timestamp=rig.now_ms, recvWindow=60000)})
    data = batch.data
    rig.now_ms += 10_000
    rig.pipeline.expire(rig.now_ms / 1000)
    replies = {reply["id"]: reply["error"]["code"] for reply in trader.take()}
    assert replies == {1: -1007, 2: -1008}
    rig.execute(data)
    assert trader.take() == []
    assert len(trader.result("openOrders.status", timestamp=rig.now_ms)) == 1


# -- permissions


def test_a_key_may_only_do_what_it_was_given(rig: GatewayInProcess) -> None:
    account = rig.account(**RICH)
    reader, writer = rig.ed25519_key(account, Permission.READ), rig.hmac_key(account, Permission.TRADE)
    client = rig.client()
    client.ask("session.logon", **client.signed(reader))
    assert client.result("account.status", timestamp=rig.now_ms)["permissions"] == ["USER_DATA"]
    assert client.refusal("order.place", **order(timestamp=rig.now_ms))[0] == -2015
    assert client.result("order.place", **client.signed(writer, **order()))["orderId"] == 1
    assert client.refusal("account.status", **client.signed(writer))[0] == -2015


@pytest.mark.parametrize(
    "method",
    ["order.place", "order.cancel", "order.status", "openOrders.status", "openOrders.cancelAll", "account.status",
     "myTrades", "userDataStream.subscribe.signature"],
)  # fmt: skip
def test_without_a_key_nothing_private_is_told(rig: GatewayInProcess, method: str) -> None:
    client = rig.client()
    code, message = client.refusal(method, symbol="BTCKZT", timestamp=rig.now_ms)
    assert (code, message) == (-1102, "Mandatory parameter 'apiKey' was not sent, was empty/null, or malformed.")


# -- public data over the request path and over HTTP


def test_exchange_info_says_what_is_traded(rig: GatewayInProcess) -> None:
    info = rig.client().result("exchangeInfo")
    assert [symbol["symbol"] for symbol in info["symbols"]] == ["BTCKZT", "ETHKZT", "USDTKZT", "BTCUSDT"]
    market = info["symbols"][0]
    assert market["filters"][0]["filterType"] == "PRICE_FILTER"
    assert market["filters"][0]["tickSize"] == "1000.00000000"
    assert market["orderTypes"] == ["LIMIT", "LIMIT_MAKER", "MARKET"]
    assert (market["baseAsset"], market["quoteAsset"], market["status"]) == ("BTC", "KZT", "TRADING")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 4),
        ("symbol=ETHKZT", 1),
        ("symbols=%5B%22BTCKZT%22,%22ETHKZT%22%5D", 2),
        ("symbol=NOPE", -1121),
        ("symbols=[", -1100),
        ("symbols={}", -1130),
        ("symbol=BTCKZT&symbols=[]", -1128),
        ("symbol=BTCKZT&symbol=ETHKZT", -1101),
    ],
)
def test_exchange_info_over_http(rig: GatewayInProcess, query: str, expected: int) -> None:
    status, body = rig.get("/api/v3/exchangeInfo", query)
    if expected > 0:
        assert (status, len(body["symbols"])) == (200, expected)
    else:
        assert (status, body["code"]) == (400, expected)


@pytest.mark.parametrize(
    ("symbol", "code"),
    [
        ('"NOPE"', -1121),
        ('"btckzt"', -1121),
        ('""', -1102),
        ("5", -1102),
        ("[1]", -1102),
        ("[" * 1000 + "]" * 1000, -1102),
    ],
)
@pytest.mark.parametrize("method", ["exchangeInfo", "depth"])
def test_what_is_no_symbol_is_refused_alike(rig: GatewayInProcess, method: str, symbol: str, code: int) -> None:
    frame = f'{{"id":1,"method":"{method}","params":{{"symbol":{symbol}}}}}'
    assert rig.client().ask_frame(frame.encode())["error"]["code"] == code


def test_http_answers(rig: GatewayInProcess, trader: InProcessClient) -> None:
    trader.place("BTCKZT", "BUY", "0.01", "50000000")
    assert rig.get("/api/v3/ping") == (200, {})
    assert rig.get("/api/v3/time") == (200, {"serverTime": rig.now_ms})
    assert rig.get("/api/v3/depth", "symbol=BTCKZT&limit=5")[1]["bids"] == [["50000000.00000000", "0.01000000"]]
    assert rig.get("/api/v3/depth", "limit=5")[1]["code"] == -1102
    assert rig.get("/api/v3/depth", "symbol=BTCKZT&limit=x")[1]["code"] == -1100
    assert rig.get("/api/v3/nothing")[0] == 404
    assert rig.get("/api/v3/ping", method="DELETE")[0] == 405


def test_times_are_in_the_unit_that_was_asked_for(rig: GatewayInProcess) -> None:
    assert rig.client(unit=1).result("time") == {"serverTime": rig.now_ms * 1000}
    assert rig.client().result("time") == {"serverTime": rig.now_ms}
