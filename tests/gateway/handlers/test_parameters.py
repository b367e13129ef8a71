"""Every parameter that the specification names, for every method that the venue offers: obeyed, refused by name, or ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from engine.records import Command, CommandKind, MarketState
from gateway.dialect.requests import limit_of
from gateway.handlers.routes import ROUTES
from gateway.limits import DEPTH_LEVELS_MAX
from tests.worlds.accounts import BY_TEST, MARKETS
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000", "ETH": "1000"}

SIGNED = "apiKey signature timestamp recvWindow"
"""Obeyed by all methods that need a key: tests/gateway/auth has their tests."""
PLACING = (
    "symbol side type timeInForce price quantity quoteOrderQty newClientOrderId newOrderRespType stopPrice trailingDelta "
    "icebergQty strategyId strategyType selfTradePreventionMode pegPriceType pegOffsetType pegOffsetValue"
)
SPECIFICATION = {
    "ping": "",
    "time": "",
    "exchangeInfo": "symbol symbols permissions showPermissionSets symbolStatus",
    "depth": "symbol limit symbolStatus",
    "session.logon": "",
    "session.status": "",
    "session.logout": "",
    "session.subscriptions": "",
    "order.place": PLACING,
    "order.cancel": "symbol orderId origClientOrderId newClientOrderId cancelRestrictions",
    "order.status": "symbol orderId origClientOrderId",
    "openOrders.status": "symbol",
    "openOrders.cancelAll": "symbol",
    "account.status": "omitZeroBalances",
    "myTrades": "symbol orderId startTime endTime fromId limit",
    "userDataStream.subscribe": "",
    "userDataStream.subscribe.signature": "",
    "userDataStream.unsubscribe": "subscriptionId",
}
"""The parameters of each method in the public specification, without `SIGNED`."""


class World:
    """A trader with orders 1 ("mine"), 2 and 3 (in ETHKZT) in the books, and with trade 1 of order 4, a sell."""

    def __init__(self) -> None:
        self.rig = rig = GatewayInProcess()
        self.trader = trader = rig.trader(**RICH)
        trader.place("BTCKZT", "BUY", "0.01", "40000000", newClientOrderId="mine")
        trader.place("BTCKZT", "BUY", "0.02", "41000000")
        trader.place("ETHKZT", "BUY", "0.01", "1000000")
        trader.place("BTCKZT", "SELL", "0.01", "50000000")
        rig.trader(**RICH).place("BTCKZT", "BUY", "0.01", "50000000")
        halted = Command(kind=CommandKind.MARKET_STATE_SET, market=MARKETS["USDTKZT"], state=MarketState.HALTED)
        rig.command(halted, *BY_TEST)

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        reply = self.trader.ask(method, **{"timestamp": self.rig.now_ms, **params})
        return reply["result"] if reply["status"] == 200 else reply["error"]["code"]


class Obeyed(NamedTuple):
    """A request, and what its result shows of the parameter."""

    method: str
    parameter: str
    params: dict[str, Any]
    seen: Callable[[Any], Any]
    expected: Any


def order(**changes: Any) -> dict[str, Any]:
    params = {
        "symbol": "BTCKZT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "42000000", "quantity": "0.01",
        "newOrderRespType": "RESULT", **changes,
    }  # fmt: skip
    return {name: value for name, value in params.items() if value is not None}


MARKET = {"type": "MARKET", "price": None, "timeInForce": None, "quantity": None}
ONE = {"symbol": "BTCKZT"}


def symbols(info: Any) -> list[str]:
    return [market["symbol"] for market in info["symbols"]]


def field(name: str) -> Callable[[Any], Any]:
    return lambda result: result[name]


def ids(orders: Any) -> list[int]:
    return [order["orderId"] for order in orders]


def same(result: Any) -> Any:
    return result


OBEYED = [
    Obeyed("exchangeInfo", "symbol", {"symbol": "ETHKZT"}, symbols, ["ETHKZT"]),
    Obeyed("exchangeInfo", "symbols", {"symbols": ["ETHKZT", "BTCKZT"]}, symbols, ["ETHKZT", "BTCKZT"]),
    Obeyed("exchangeInfo", "symbols", {"symbols": '["ETHKZT"]'}, symbols, ["ETHKZT"]),
    Obeyed("exchangeInfo", "permissions", {"permissions": "SPOT"}, lambda info: len(symbols(info)), 4),
    Obeyed("exchangeInfo", "permissions", {"permissions": ["SPOT", "MARGIN"]}, lambda info: len(symbols(info)), 4),
    Obeyed("exchangeInfo", "permissions", {"permissions": '["MARGIN"]'}, symbols, []),
    Obeyed("exchangeInfo", "permissions", {"permissions": "TRD_GRP_004"}, symbols, []),
    Obeyed("exchangeInfo", "permissions", {"permissions": "spot"}, same, -1130),
    Obeyed("exchangeInfo", "permissions", {"permissions": [7]}, same, -1130),
    Obeyed("exchangeInfo", "permissions", {"permissions": 7}, same, -1130),
    Obeyed("exchangeInfo", "permissions", {"permissions": "SPOT", "symbol": "ETHKZT"}, same, -1128),
    Obeyed("exchangeInfo", "permissions", {"permissions": "SPOT", "symbols": ["ETHKZT"]}, same, -1128),
    Obeyed("exchangeInfo", "symbols", {"symbol": "ETHKZT", "symbols": ["ETHKZT"]}, same, -1128),
    Obeyed("exchangeInfo", "showPermissionSets", {"showPermissionSets": False}, lambda i: i["symbols"][0]["permissionSets"], []),
    Obeyed("exchangeInfo", "showPermissionSets", {"showPermissionSets": "true"}, lambda i: i["symbols"][0]["permissionSets"], [["SPOT"]]),
    Obeyed("exchangeInfo", "showPermissionSets", {"showPermissionSets": 0}, same, -1130),
    Obeyed("exchangeInfo", "symbolStatus", {"symbolStatus": "HALT"}, symbols, ["USDTKZT"]),
    Obeyed("exchangeInfo", "symbolStatus", {"symbolStatus": "TRADING"}, symbols, ["BTCKZT", "ETHKZT", "BTCUSDT"]),
    Obeyed("exchangeInfo", "symbolStatus", {"symbolStatus": "BREAK", "permissions": "SPOT"}, symbols, []),
    Obeyed("exchangeInfo", "symbolStatus", {"symbolStatus": "HALT", "symbol": "USDTKZT"}, same, -1128),
    Obeyed("exchangeInfo", "symbolStatus", {"symbolStatus": "HALT", "symbols": ["USDTKZT"]}, same, -1128),
    Obeyed("exchangeInfo", "symbolStatus", {"symbolStatus": "halt"}, same, -1122),
    Obeyed("depth", "symbol", {"symbol": "ETHKZT"}, lambda book: book["bids"][0][0], "1000000.00000000"),
    Obeyed("depth", "limit", {**ONE, "limit": 1}, lambda book: len(book["bids"]), 1),
    Obeyed("depth", "symbolStatus", {**ONE, "symbolStatus": "TRADING"}, lambda book: len(book["bids"]), 2),
    Obeyed("depth", "symbolStatus", {"symbol": "USDTKZT", "symbolStatus": "HALT"}, field("bids"), []),
    Obeyed("depth", "symbolStatus", {"symbol": "USDTKZT", "symbolStatus": "TRADING"}, same, -1220),
    Obeyed("depth", "symbolStatus", {**ONE, "symbolStatus": 1}, same, -1122),
    Obeyed("order.place", "symbol", order(symbol="ETHKZT", price="1000000"), field("symbol"), "ETHKZT"),
    Obeyed("order.place", "side", order(side="SELL", price="60000000"), field("side"), "SELL"),
    Obeyed("order.place", "type", order(type="LIMIT_MAKER", timeInForce=None), field("type"), "LIMIT_MAKER"),
    Obeyed("order.place", "timeInForce", order(timeInForce="IOC"), field("status"), "EXPIRED"),
    Obeyed("order.place", "price", order(), field("price"), "42000000.00000000"),
    Obeyed("order.place", "quantity", order(), field("origQty"), "0.01000000"),
    Obeyed("order.place", "quoteOrderQty", order(**MARKET, side="SELL", quoteOrderQty="820000"), field("executedQty"), "0.02000000"),
    Obeyed("order.place", "newClientOrderId", order(newClientOrderId="yours"), field("clientOrderId"), "yours"),
    Obeyed("order.place", "newOrderRespType", order(newOrderRespType="FULL"), field("fills"), []),
    Obeyed("order.place", "selfTradePreventionMode", order(selfTradePreventionMode="NONE"), field("selfTradePreventionMode"), "NONE"),
    Obeyed("order.cancel", "symbol", {"symbol": "ETHKZT", "orderId": 3}, field("symbol"), "ETHKZT"),
    Obeyed("order.cancel", "orderId", {**ONE, "orderId": 2}, field("orderId"), 2),
    Obeyed("order.cancel", "origClientOrderId", {**ONE, "origClientOrderId": "mine"}, field("orderId"), 1),
    Obeyed("order.cancel", "newClientOrderId", {**ONE, "orderId": 1, "newClientOrderId": "bye"}, field("clientOrderId"), "bye"),
    Obeyed("order.cancel", "cancelRestrictions", {**ONE, "orderId": 1, "cancelRestrictions": "ONLY_NEW"}, field("orderId"), 1),
    Obeyed("order.cancel", "cancelRestrictions", {**ONE, "orderId": 1, "cancelRestrictions": "ONLY_PARTIALLY_FILLED"}, same, -2011),
    Obeyed("order.status", "symbol", {"symbol": "ETHKZT", "orderId": 3}, field("symbol"), "ETHKZT"),
    Obeyed("order.status", "orderId", {**ONE, "orderId": 2}, field("orderId"), 2),
    Obeyed("order.status", "origClientOrderId", {**ONE, "origClientOrderId": "mine"}, field("orderId"), 1),
    Obeyed("openOrders.status", "symbol", {"symbol": "ETHKZT"}, ids, [3]),
    Obeyed("openOrders.status", "symbol", {}, ids, [1, 2, 3]),
    Obeyed("openOrders.status", "symbol", {"symbol": ""}, same, -1102),
    Obeyed("openOrders.cancelAll", "symbol", ONE, ids, [1, 2]),
    Obeyed("account.status", "omitZeroBalances", {"omitZeroBalances": True}, lambda result: len(result["balances"]), 3),
    Obeyed("account.status", "omitZeroBalances", {"omitZeroBalances": "TRUE"}, lambda result: len(result["balances"]), 3),
    Obeyed("account.status", "omitZeroBalances", {"omitZeroBalances": None}, lambda result: len(result["balances"]), 4),
    Obeyed("account.status", "omitZeroBalances", {"omitZeroBalances": 1}, same, -1130),
    Obeyed("account.status", "omitZeroBalances", {"omitZeroBalances": "yes"}, same, -1130),
    Obeyed("myTrades", "symbol", {"symbol": "ETHKZT"}, ids, []),
    Obeyed("myTrades", "orderId", {**ONE, "orderId": 1}, ids, []),
    Obeyed("myTrades", "startTime", {**ONE, "startTime": 1_900_000_000_000}, ids, []),
    Obeyed("myTrades", "endTime", {**ONE, "endTime": 1_700_000_000_000}, ids, []),
    Obeyed("myTrades", "fromId", {**ONE, "fromId": 2}, ids, []),
    Obeyed("myTrades", "limit", {**ONE, "limit": 1}, ids, [4]),
    Obeyed("userDataStream.unsubscribe", "subscriptionId", {"subscriptionId": 3}, same, -2036),
]  # fmt: skip

REFUSED = [
    # method        parameter                   values that are refused     code
    ("order.place", "stopPrice",                ["1", 0],                   -1106),
    ("order.place", "trailingDelta",            [10, "10"],                 -1013),
    ("order.place", "icebergQty",               ["0.001"],                  -1013),
    ("order.place", "strategyId",               [1, "7"],                   -1013),
    ("order.place", "strategyType",             [1_000_000],                -1013),
    ("order.place", "pegPriceType",             ["PRIMARY_PEG"],            -1013),
    ("order.place", "pegOffsetType",            ["PRICE_LEVEL"],            -1013),
    ("order.place", "pegOffsetValue",           [1],                        -1013),
    ("order.place", "selfTradePreventionMode",  ["EXPIRE_TAKER", 1],        -1130),
    # Not in the specification of this dialect: those of its sibling markets, which clients send by mistake.
    ("order.place", "reduceOnly",               [True, "true", "True"],     -1013),
    ("order.place", "closePosition",            [True],                     -1013),
    ("order.place", "postOnly",                 [True, "true"],             -1013),
    ("order.place", "hidden",                   [True],                     -1013),
    ("order.place", "isIsolated",               ["TRUE"],                   -1013),
    ("order.place", "computeCommissionRates",   [True],                     -1013),
    ("order.place", "goodTillDate",             [1_900_000_000_000],        -1013),
    ("order.place", "expireTime",               [1_900_000_000_000],        -1013),
    ("order.place", "minExecutionQty",          ["0.01"],                   -1013),
    ("order.place", "minQty",                   ["0.01"],                   -1013),
    ("order.place", "displayQty",               ["0.01"],                   -1013),
    ("order.place", "maxSlippageBps",           [5],                        -1013),
    ("order.place", "activatePrice",            ["1"],                      -1013),
    ("order.place", "activationPrice",          ["1"],                      -1013),
    ("order.place", "callbackRate",             ["1"],                      -1013),
    ("order.place", "positionSide",             ["LONG"],                   -1013),
    ("order.place", "priceMatch",               ["QUEUE"],                  -1013),
    ("order.place", "sideEffectType",           ["MARGIN_BUY"],             -1013),
    ("order.place", "reduceOnly",               [1, 0, "yes", "", [True]],  -1130),
    ("order.place", "postOnly",                 [1, "post"],                -1130),
]  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    """For requests that change nothing."""
    return World()


def test_the_tables_have_every_parameter_of_every_method() -> None:
    named = {(method, name) for method, names in SPECIFICATION.items() for name in names.split()}
    covered = {(row.method, row.parameter) for row in OBEYED} | {(method, name) for method, name, _, _ in REFUSED}
    assert SPECIFICATION.keys() == ROUTES.keys()
    assert named <= covered, sorted(named - covered)


@pytest.mark.parametrize("row", OBEYED, ids=lambda row: f"{row.method} {row.parameter} {row.params}"[:100])
def test_a_parameter_is_obeyed(row: Obeyed) -> None:
    result = World().ask(row.method, row.params)
    assert (result if isinstance(result, int) else row.seen(result)) == row.expected


@pytest.mark.parametrize(("method", "name", "values", "code"), REFUSED)
def test_a_parameter_that_would_change_an_order_is_refused_by_name(
    world: World, method: str, name: str, values: list[object], code: int
) -> None:
    before = len(world.rig.published)
    for value in values:
        refused, message = world.trader.refusal(method, timestamp=world.rig.now_ms, **order(**{name: value}))
        assert refused == code, (name, value, message)
        words = {"icebergQty": "Iceberg", "trailingDelta": "Trailing", "peg": "Pegged"}
        assert next((word for start, word in words.items() if name.startswith(start)), f"'{name}'") in message
    assert len(world.rig.published) == before


@pytest.mark.parametrize("value", [False, "false", "FALSE", None])
@pytest.mark.parametrize("name", ["reduceOnly", "closePosition", "postOnly", "hidden", "isIsolated"])
def test_a_flag_that_is_false_changes_nothing(name: str, value: object) -> None:
    world = World()
    params = {**order(), name: value, "timestamp": world.rig.now_ms}
    assert world.trader.result("order.place", **params)["status"] == "NEW"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("positionSide", "BOTH"),
        ("priceMatch", "NONE"),
        ("sideEffectType", "NO_SIDE_EFFECT"),
        ("workingType", "MARK_PRICE"),
    ],
)
def test_a_value_that_changes_nothing_is_taken(name: str, value: str) -> None:
    assert World().ask("order.place", order(**{name: value}))["status"] == "NEW"


@pytest.mark.parametrize("value", [True, "true"])
def test_a_maker_order_is_post_only_already(value: object) -> None:
    world = World()
    result = world.ask("order.place", order(type="LIMIT_MAKER", timeInForce=None, postOnly=value))
    assert (result["status"], result["type"]) == ("NEW", "LIMIT_MAKER")


@pytest.mark.parametrize(
    "method", ["ping", "depth", "exchangeInfo", "order.status", "openOrders.status", "account.status", "myTrades"]
)
def test_other_parameters_are_ignored(world: World, method: str) -> None:
    """Clients send parameters of their own; only those that would change an order are refused."""
    params: dict[str, Any] = {"symbol": "BTCKZT", "orderId": 4}
    usual = world.ask(method, params)
    assert world.ask(method, {**params, "whatever": {"a": [1]}, "Limit": 1, "reduceOnly": True}) == usual != -1102


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (1, None),
        ("1", None),
        (None, None),
        (10**18, None),
        (str(2**63 - 1), None),
        (0, -1130),
        ("0", -1130),
        (-1, -1100),
        ("-1", -1100),
        (2**63, -1100),
        (10**30, -1100),
        (1.0, -1100),
        ("1.0", -1100),
        ("", -1100),
        (" 1", -1100),
        ("1e1", -1100),
        (True, -1100),
        ([1], -1100),
    ],
    ids=repr,
)
@pytest.mark.parametrize("method", ["depth", "myTrades"])
def test_a_limit_is_read_alike_by_every_method(world: World, method: str, limit: object, code: int | None) -> None:
    result = world.ask(method, {"symbol": "BTCKZT", "limit": limit})
    assert (result if code is not None else None) == code


def test_a_limit_above_the_most_is_the_most() -> None:
    assert limit_of({"limit": DEPTH_LEVELS_MAX + 1}, 100, DEPTH_LEVELS_MAX) == DEPTH_LEVELS_MAX
    assert limit_of({"limit": DEPTH_LEVELS_MAX - 1}, 100, DEPTH_LEVELS_MAX) == DEPTH_LEVELS_MAX - 1


@pytest.mark.parametrize("value", [1, 0, "yes", "", [], 1.0])
def test_a_truth_value_that_is_none_is_refused_before_anything_is_done(world: World, value: object) -> None:
    code, message = world.trader.refusal("ping", returnRateLimits=value)
    assert (code, message) == (-1130, "Data sent for parameter 'returnRateLimits' is not valid.")
    placed = world.trader.ask("order.place", timestamp=world.rig.now_ms, returnRateLimits=value, **order())
    assert placed["error"]["code"] == -1130


@pytest.mark.parametrize("shown", [True, False])
def test_a_truth_value_that_is_null_was_not_sent(world: World, shown: bool) -> None:
    reply = world.rig.client(shows_rate_limits=shown).ask("ping", returnRateLimits=None)
    assert ("rateLimits" in reply) is shown


QUERIES = [
    ("depth", {"symbol": "BTCKZT", "limit": "1"}),
    ("depth", {"symbol": "BTCKZT", "limit": "0"}),
    ("depth", {"symbol": "BTCKZT", "limit": "-1"}),
    ("depth", {"symbol": "BTCKZT", "limit": ""}),
    ("depth", {"symbol": "BTCKZT", "limit": "1e1"}),
    ("depth", {"symbol": "btckzt"}),
    ("depth", {"symbol": ""}),
    ("depth", {}),
    ("depth", {"symbol": "BTCKZT", "symbolStatus": "HALT"}),
    ("depth", {"symbol": "BTCKZT", "symbolStatus": ""}),
    ("exchangeInfo", {"symbols": '["BTCKZT","ETHKZT"]'}),
    ("exchangeInfo", {"symbols": '["BTCKZT","BTCKZT"]'}),
    ("exchangeInfo", {"symbols": "BTCKZT"}),
    ("exchangeInfo", {"permissions": "SPOT"}),
    ("exchangeInfo", {"permissions": '["MARGIN"]'}),
    ("exchangeInfo", {"permissions": ""}),
    ("exchangeInfo", {"showPermissionSets": "false"}),
    ("exchangeInfo", {"showPermissionSets": "0"}),
    ("exchangeInfo", {"symbolStatus": "HALT"}),
    ("exchangeInfo", {"symbol": "BTCKZT", "permissions": "SPOT"}),
    ("time", {"whatever": "1"}),
]


@pytest.mark.parametrize(("method", "params"), QUERIES, ids=repr)
def test_a_parameter_means_over_http_what_it_means_on_a_session(
    world: World, method: str, params: dict[str, str]
) -> None:
    status, body = world.rig.get(f"/api/v3/{method}", "&".join(f"{name}={value}" for name, value in params.items()))
    reply = world.trader.ask(method, **params)
    assert (status, body) == (reply["status"], reply.get("result", reply.get("error")))


def test_times_are_read_and_written_in_microseconds_too() -> None:
    world = World()
    rig = world.rig
    client: InProcessClient = rig.client(unit=1)
    client.key = world.trader.key
    client.logon(client.key)
    now_us = rig.now_ms * 1000
    params = {"symbol": "BTCKZT", "timestamp": now_us, "startTime": now_us, "endTime": now_us}
    (trade,) = client.result("myTrades", **params)
    assert trade["time"] == now_us
    assert client.result("myTrades", **{**params, "startTime": now_us + 1, "endTime": now_us + 1}) == []
    assert client.result("order.status", symbol="BTCKZT", orderId=1, timestamp=now_us)["time"] == now_us


def test_when_to_try_again_is_in_the_unit_of_the_connection() -> None:
    rig = GatewayInProcess()
    rig.state.rate_limits.tiers = [rig.state.rate_limits.default._replace(weight_per_minute=0)]
    for unit in (1000, 1):
        data = rig.client(unit=unit).ask("ping")["error"]["data"]
        assert data["serverTime"] == rig.now_ms * 1000 // unit
        assert data["retryAfter"] % (60_000_000 // unit) == 0


def test_no_message_of_a_connection_in_microseconds_has_a_time_in_milliseconds() -> None:
    world = World()
    rig = world.rig
    client, stream = rig.client(unit=1), rig.client(unit=1, is_api=False, combined=True)
    client.key = world.trader.key
    names = ["btckzt@trade", "btckzt@depth@100ms", "btckzt@bookTicker"]
    stream.send({"id": 1, "method": "SUBSCRIBE", "params": names})
    messages: list[Any] = [client.ask("session.logon", **client.signed(client.key))]
    for method in ("userDataStream.subscribe", "session.status", "time", "exchangeInfo"):
        messages.append(client.ask(method))
    for method, params in (
        ("order.place", order(type="LIMIT_MAKER", timeInForce=None, newOrderRespType="ACK")),
        ("order.place", order(price="40000000", side="SELL", newOrderRespType="FULL")),
        ("order.status", {**ONE, "orderId": 1}),
        ("openOrders.status", {}),
        ("order.cancel", {**ONE, "orderId": 1}),
        ("openOrders.cancelAll", ONE),
        ("account.status", {}),
        ("myTrades", ONE),
    ):
        messages.append(client.ask(method, timestamp=rig.now_ms, **params))
    rig.deposit(1, "BTC", "1")
    rig.view.feeds.send_depth(100, rig.now_ms * 1000)
    messages += [client.ask("userDataStream.unsubscribe"), client.ask("session.logout"), *client.take()]
    streamed = stream.take()
    assert all(message.get("status", 200) == 200 for message in messages), messages
    assert {message["stream"] for message in streamed[1:]} == set(names)
    times = [number for message in messages + streamed for number in numbers(message) if number > 10**11]
    assert len(times) > 40
    assert all(rig.now_ms * 1000 <= time for time in times), sorted(times)[:3]


def numbers(value: Any) -> list[int]:
    """All whole numbers in a JSON value, however deep."""
    if type(value) is int:
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [number for item in inner for number in numbers(item)]
