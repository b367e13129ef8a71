"""What requests weigh, and that the weight is counted before the work."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.handlers import weights
from gateway.handlers.routes import ROUTES
from gateway.limits import WEIGHTLESS_BYTES_MAX, RateLimitSettings
from gateway.wire.http_side import HttpRequest
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000"}
BLOCK = WEIGHTLESS_BYTES_MAX


def weight_of(reply: dict[str, Any]) -> int:
    [weight] = [each["count"] for each in reply["rateLimits"] if each["rateLimitType"] == "REQUEST_WEIGHT"]
    assert isinstance(weight, int)
    return weight


def weighed(client: InProcessClient, frame: object) -> int:
    """What a request adds to the weight that replies show."""
    before = client.session.usage.count
    shown = weight_of(client.ask_frame(frame))
    assert shown == client.session.usage.count
    return shown - before


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"id": 1, "method": method, "params": params}


@pytest.mark.parametrize(
    ("method", "params", "weight"),
    [
        ("ping", {}, 1),
        ("exchangeInfo", {}, 20),
        ("depth", {"symbol": "BTCKZT"}, 5),
        ("depth", {"symbol": "BTCKZT", "limit": 100}, 5),
        ("depth", {"symbol": "BTCKZT", "limit": 101}, 25),
        ("depth", {"symbol": "BTCKZT", "limit": "500"}, 25),
        ("depth", {"symbol": "BTCKZT", "limit": 501}, 50),
        ("depth", {"symbol": "BTCKZT", "limit": 1000}, 50),
        ("depth", {"symbol": "BTCKZT", "limit": 1001}, 250),
        ("depth", {"symbol": "BTCKZT", "limit": 5000}, 250),
        ("depth", {"symbol": "BTCKZT", "limit": 10**9}, 250),
        ("depth", {"symbol": "NONE", "limit": 5000}, 250),
        ("depth", {"symbol": "BTCKZT", "limit": "many"}, 5),
        ("depth", {"symbol": "BTCKZT", "limit": [5000]}, 5),
        ("nonsense", {}, 1),
        ("account.status", {}, 20),
        ("openOrders.status", {}, 80),
        ("openOrders.status", {"symbol": "BTCKZT"}, 6),
        ("myTrades", {"symbol": "BTCKZT"}, 20),
        ("myTrades", {"symbol": "BTCKZT", "orderId": 1}, 5),
        ("order.status", {"symbol": "BTCKZT", "orderId": 1}, 4),
        ("order.cancel", {"symbol": "BTCKZT", "orderId": 1}, 1),
        ("session.status", {}, 2),
    ],
)
def test_a_request_weighs_what_it_asks_for(method: str, params: dict[str, Any], weight: int) -> None:
    trader = GatewayInProcess().trader(**RICH)
    assert weighed(trader, request(method, **params, timestamp=trader.time_ms())) == weight


@pytest.mark.parametrize(("size", "more"), [(100, 0), (BLOCK, 0), (BLOCK + 1, 1), (2 * BLOCK, 1), (15 * BLOCK + 1, 15)])
@pytest.mark.parametrize("method", ["ping", "order.place", "nonsense"])
def test_a_large_message_weighs_more(method: str, size: int, more: int) -> None:
    """An order too, which takes the fast path when it is small."""
    trader = GatewayInProcess().trader(**RICH)
    params = trader.limit("BTCKZT", "BUY", "0.01", "40000000") if method == "order.place" else {}
    frame = json.dumps(request(method, **params)).encode()
    assert weighed(trader, frame.ljust(max(size, len(frame)))) == 1 + more


def test_a_signature_weighs_what_its_kind_costs() -> None:
    rig = GatewayInProcess()
    client, account = rig.client(), rig.account(**RICH)
    ed25519, hmac = rig.ed25519_key(account), rig.hmac_key(account)
    assert weighed(client, request("account.status", **client.signed(hmac))) == 20
    assert weighed(client, request("account.status", **client.signed(ed25519))) == 20 + weights.ED25519_SIGNATURE
    wrong = {**client.signed(ed25519), "signature": "AAAA"}
    assert weighed(client, request("account.status", **wrong)) == 20 + weights.ED25519_SIGNATURE
    assert weighed(client, request("account.status", **{**wrong, "apiKey": "f" * 64})) == 20
    assert weighed(client, request("account.status", **{**wrong, "apiKey": [1]})) == 20
    # Where no signature is asked for, none is verified.
    assert weighed(client, request("ping", **wrong)) == 1
    assert weighed(client, request("session.logon", **client.signed(ed25519))) == 2


@pytest.mark.parametrize(("size", "weight"), [(1, 1), (BLOCK, 1), (BLOCK + 1, 2), (16 * BLOCK, 16)])
@pytest.mark.parametrize("piece", [b"{", b"[", b"\x00", b"x"])
def test_what_cannot_be_read_weighs_its_size(piece: bytes, size: int, weight: int) -> None:
    client = GatewayInProcess().client()
    client.send((piece * size)[:size])
    assert client.session.usage.count == weight


def test_what_cannot_be_read_is_refused_for_its_weight_beyond_the_limit() -> None:
    client = GatewayInProcess(RateLimitSettings(weight_per_minute=3)).client()
    outcomes = [client.ask_frame(b"{") for _ in range(5)]
    assert [reply["status"] for reply in outcomes] == [400, 400, 400, 429, 429]
    assert outcomes[-1]["error"]["data"]["retryAfter"] > client.time_ms()


@pytest.mark.parametrize(
    ("frame", "weight"),
    [
        (b'{"id":1,"method":"LIST_SUBSCRIPTIONS"}', 0),
        (b'{"id":1,"method":"LIST_SUBSCRIPTIONS"}'.ljust(BLOCK + 1), 1),
        (b"{", 1),
        (b"{" * (3 * BLOCK), 3),
    ],
)
def test_requests_on_a_stream_connection_weigh_nothing_but_their_size(frame: bytes, weight: int) -> None:
    client = GatewayInProcess().client(is_api=False)
    client.ask_frame(frame)
    assert client.session.usage.count == weight


def test_a_large_request_on_a_stream_connection_is_refused_beyond_the_limit() -> None:
    client = GatewayInProcess(RateLimitSettings(weight_per_minute=1)).client(is_api=False)
    frame = b'{"id":1,"method":"LIST_SUBSCRIPTIONS"}'.ljust(BLOCK + 1)
    codes = [client.ask_frame(frame).get("error", {}).get("code") for _ in range(2)]
    assert codes == [None, -1003]


@pytest.mark.parametrize(
    ("query", "weight"),
    [("symbol=BTCKZT", 5), ("symbol=BTCKZT&limit=5000", 250), ("symbol=NONE&limit=500", 25), ("symbol=A&symbol=B", 5),
     ("symbol=BTCKZT&x=" + "x" * BLOCK, 6)],
)  # fmt: skip
def test_over_http_as_well(query: str, weight: int) -> None:
    [answer] = GatewayInProcess().http(HttpRequest("GET", "/api/v3/depth", query, {}, b""))
    assert dict(answer.headers)["X-MBX-USED-WEIGHT-1M"] == str(weight)


def test_a_request_beyond_the_limit_is_not_begun() -> None:
    """It costs nothing but its refusal: neither the depth is written nor the signature verified."""
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=249))
    client = rig.client()
    key = rig.ed25519_key(rig.account(**RICH))
    book = rig.view.feeds.books[rig.view.projection.markets_by_symbol["BTCKZT"].number]
    book.snapshot = None  # type: ignore[assignment,method-assign]
    rig.view.keys.find = None  # type: ignore[assignment,method-assign]
    assert client.ask("depth", symbol="BTCKZT", limit=5000)["status"] == 429
    assert rig.get("/api/v3/depth", "symbol=BTCKZT&limit=5000")[0] == 429
    client.session.usage.add(230, rig.now_ms // 60_000, 10**9)
    assert client.ask("account.status", **client.signed(key))["status"] == 429


@pytest.mark.parametrize("name", ROUTES)
def test_a_method_that_weighs_by_its_parameters_weighs_no_less_than_its_route_says(name: str) -> None:
    route = ROUTES[name]
    if route.weigh is not None:
        for params in ({}, {"limit": 1, "symbol": "BTCKZT", "orderId": 1}, {"limit": None}, {"symbol": 5}):
            assert route.weigh(params) >= route.weight
